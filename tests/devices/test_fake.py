from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from atb.devices.contract import Block, LaunchFailure
from atb.devices.fake import FakeCosts, FakeDevice
from atb.devices.settings import RunSettings
from atb.models.architecture import Architecture

ARCHITECTURE = Architecture(4, 312, 12, 312, 1200)
SETTINGS = RunSettings()


def run(
    device: FakeDevice,
    folder: Path,
    *,
    architecture: Architecture = ARCHITECTURE,
    iterations: int = 5,
    warmup: int = 0,
) -> Block:
    runtime = device.runtimes["fake"]
    artefact = runtime.build(architecture, SETTINGS, folder)
    with device.launch(runtime, SETTINGS) as launch:
        launch.load("model", artefact)
        return launch.run("model", iterations=iterations, warmup=warmup)


def test_without_noise_every_iteration_takes_the_exact_latency(tmp_path: Path) -> None:
    device = FakeDevice()
    exact = device.latency(ARCHITECTURE, SETTINGS)
    block = run(device, tmp_path, warmup=2)
    assert block.wall_seconds == block.cpu_seconds == (exact,) * 5
    assert block.warmup_seconds == (exact,) * 2


def test_latency_is_the_sum_of_its_costs() -> None:
    costs = FakeCosts(
        fixed_seconds=1e-3,
        layer_seconds=1e-4,
        value_seconds=1e-8,
        multiply_adds_per_second=1e10,
        int8_speedup=4,
        parallel_share=0.5,
    )
    device = FakeDevice(costs=costs)
    besides = 1e-3 + 4 * 1e-4 + 128 * 312 * 1e-8
    work = ARCHITECTURE.multiply_adds(128) / 1e10
    for settings, seconds in (
        (SETTINGS, work),
        (RunSettings(precision="int8"), work / 4),
        (RunSettings(threads=2), work * (0.5 + 0.25)),
    ):
        assert device.latency(ARCHITECTURE, settings) == pytest.approx(besides + seconds)


def test_a_larger_batch_and_a_longer_sequence_take_longer() -> None:
    device = FakeDevice()
    assert (
        device.latency(ARCHITECTURE, RunSettings(sequence_length=64))
        < device.latency(ARCHITECTURE, SETTINGS)
        < device.latency(ARCHITECTURE, RunSettings(batch=2))
    )


def test_its_clock_advances_by_what_was_run(tmp_path: Path) -> None:
    device = FakeDevice()
    block = run(device, tmp_path, iterations=1000)
    assert device.now() - block.started_at == pytest.approx(sum(block.wall_seconds))


def test_noise_is_repeatable_and_as_wide_as_asked_for(tmp_path: Path) -> None:
    first, again, other = (
        run(FakeDevice(noise=0.04, seed=seed), tmp_path, iterations=2000) for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other
    assert np.std(first.cpu_seconds) / np.mean(first.cpu_seconds) == pytest.approx(0.04, rel=0.1)


def test_noise_of_a_launch_stays_the_same_within_it(tmp_path: Path) -> None:
    device = FakeDevice(launch_noise=0.05)
    blocks = [run(device, tmp_path) for _ in range(2)]
    assert [len(set(block.wall_seconds)) for block in blocks] == [1, 1]
    assert blocks[0].wall_seconds != blocks[1].wall_seconds


def test_preemption_shows_in_wall_time_and_switches_but_not_in_cpu_time(tmp_path: Path) -> None:
    device = FakeDevice(preemption=0.2)
    exact = device.latency(ARCHITECTURE, SETTINGS)
    block = run(device, tmp_path, iterations=500)
    assert set(block.cpu_seconds) == {exact}
    for wall, switches in zip(block.wall_seconds, block.involuntary_switches, strict=True):
        assert (wall > exact) == (switches == 1)
    assert 50 < sum(block.involuntary_switches) < 150


def test_a_slowdown_follows_the_simulated_clock(tmp_path: Path) -> None:
    device = FakeDevice(slowdown=lambda elapsed: 2.0 if elapsed > 10 else 1.0)
    exact = device.latency(ARCHITECTURE, SETTINGS)
    assert run(device, tmp_path).wall_seconds == (exact,) * 5
    calm = device.state()["frequency_hertz"]
    device.wait(10)
    assert run(device, tmp_path).wall_seconds == (2 * exact,) * 5
    assert device.state()["frequency_hertz"] == calm / 2


@pytest.mark.parametrize("cause", LaunchFailure.CAUSES)
def test_an_architecture_fails_with_the_cause_it_was_told(cause: str, tmp_path: Path) -> None:
    device = FakeDevice(failures={str(ARCHITECTURE): cause})
    with pytest.raises(LaunchFailure) as caught:
        run(device, tmp_path)
    assert caught.value.cause == cause
    assert run(device, tmp_path, architecture=Architecture(1, 8, 2, 8, 8)).wall_seconds


def test_a_launch_that_failed_answers_no_more(tmp_path: Path) -> None:
    device = FakeDevice(failures={str(ARCHITECTURE): "crash"})
    runtime = device.runtimes["fake"]
    artefact = runtime.build(ARCHITECTURE, SETTINGS, tmp_path)
    with device.launch(runtime, SETTINGS) as launch:
        launch.load("model", artefact)
        for _ in range(2):
            with pytest.raises(LaunchFailure):
                launch.run("model", iterations=1)
