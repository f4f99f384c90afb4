from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from atb.devices.contract import Block, LaunchFailure
from atb.devices.fake.device import FakeCosts, FakeDevice
from atb.devices.host.state import energy_between
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
    settings: RunSettings = SETTINGS,
) -> Block:
    runtime = device.runtimes["fake"]
    artefact = runtime.build(architecture, settings, folder)
    with device.launch(runtime, settings) as launch:
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


def launch_of(device: FakeDevice, folder: Path, *models: Architecture) -> list[float]:
    """Seconds of each model in one launch."""
    runtime = device.runtimes["fake"]
    with device.launch(runtime, SETTINGS) as launch:
        for model in models:
            launch.load(str(model), runtime.build(model, SETTINGS, folder))
        return [launch.run(str(model), iterations=1).wall_seconds[0] for model in models]


def factors_of(device: FakeDevice, folder: Path, launches: int) -> np.ndarray:
    """How much longer two models take than they should, float64 [launches, 2]."""
    models = ARCHITECTURE, Architecture(3, 96, 3, 96, 384)
    exact = [device.latency(model, SETTINGS) for model in models]
    found = [launch_of(device, folder, *models) for _ in range(launches)]
    return np.array(found) / exact


def test_noise_of_a_launch_is_each_models_own(tmp_path: Path) -> None:
    factors = factors_of(FakeDevice(launch_noise=0.02), tmp_path, 300)
    assert factors.std(axis=0) == pytest.approx([0.02, 0.02], rel=0.15)
    assert abs(np.corrcoef(factors.T)[0, 1]) < 0.2  # what is timed beside it says nothing of it


def test_noise_of_the_level_is_shown_by_no_launch(tmp_path: Path) -> None:
    factors = factors_of(FakeDevice(level_noise=0.02), tmp_path, 3)
    assert factors == pytest.approx(np.tile(factors[0], (3, 1)))
    assert factors[0, 0] != pytest.approx(factors[0, 1], rel=1e-4)
    another_day = factors_of(FakeDevice(level_noise=0.02, seed=1), tmp_path, 1)
    assert another_day[0, 0] != pytest.approx(factors[0, 0], rel=1e-4)


def test_models_share_a_drift_in_part(tmp_path: Path) -> None:
    device = FakeDevice(sharing_noise=0.3, slowdown=lambda elapsed: 1.1)
    one, other = np.log(factors_of(device, tmp_path, 1)[0]) / np.log(1.1)
    assert one == pytest.approx(device.power(ARCHITECTURE))
    assert 0 < abs(one - other) < 1.5
    wholly = factors_of(FakeDevice(slowdown=lambda elapsed: 1.1), tmp_path, 1)[0]
    assert wholly == pytest.approx([1.1, 1.1])


def test_preemption_shows_in_wall_time_and_switches_but_not_in_cpu_time(tmp_path: Path) -> None:
    device = FakeDevice(preemption=0.2)
    exact = device.latency(ARCHITECTURE, SETTINGS)
    block = run(device, tmp_path, iterations=500)
    assert set(block.cpu_seconds) == {exact}
    for wall, switches in zip(block.wall_seconds, block.involuntary_switches, strict=True):
        assert (wall > exact) == (switches == 1)
    assert 50 < sum(block.involuntary_switches) < 150
    waited = np.subtract(block.wall_seconds, block.cpu_seconds)
    np.testing.assert_allclose(block.wait_seconds, waited, atol=1e-12)


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


def test_single_shots_are_cold_by_a_known_factor(tmp_path: Path) -> None:
    device = FakeDevice()
    exact = device.latency(ARCHITECTURE, SETTINGS)
    settings = RunSettings(scenario="single-shot", interval_seconds=0.5)
    block = run(device, tmp_path, iterations=4, warmup=1, settings=settings)
    cold = device.costs.idle_factor * exact
    assert block.wall_seconds == block.cpu_seconds == (cold,) * 4
    assert block.warmup_seconds == (cold,)
    assert block.span_seconds == pytest.approx(3 * 0.5 + 4 * cold)


def test_a_fixed_rate_is_kept_and_cold_only_after_a_pause(tmp_path: Path) -> None:
    device = FakeDevice()
    exact = device.latency(ARCHITECTURE, SETTINGS)
    cold = device.costs.idle_factor * exact
    relaxed = RunSettings(scenario="fixed-rate", interval_seconds=0.5)
    block = run(device, tmp_path, iterations=4, warmup=1, settings=relaxed)
    assert block.warmup_seconds == (exact,)  # the first one begins the schedule
    assert block.wall_seconds == (cold,) * 4
    assert block.span_seconds == pytest.approx(3 * 0.5 + cold)
    too_fast = RunSettings(scenario="fixed-rate", interval_seconds=exact / 2)
    block = run(device, tmp_path, iterations=4, settings=too_fast)
    assert block.wall_seconds == (exact,) * 4
    assert block.span_seconds == pytest.approx(4 * exact)


@pytest.mark.parametrize(("streams", "crowding"), [(1, 1), (4, 1), (6, 1.5)])
def test_streams_share_the_cpus(streams: int, crowding: float, tmp_path: Path) -> None:
    device = FakeDevice()
    exact = device.latency(ARCHITECTURE, SETTINGS)
    settings = RunSettings(scenario="throughput", streams=streams)
    block = run(device, tmp_path, iterations=5, warmup=2, settings=settings)
    assert len(block.wall_seconds) == 5 * streams
    assert len(block.warmup_seconds) == 2 * streams
    assert set(block.cpu_seconds) == {exact}
    assert block.process_cpu_seconds == ()
    np.testing.assert_allclose(block.wall_seconds, crowding * exact)
    np.testing.assert_allclose(block.wait_seconds, (crowding - 1) * exact, atol=1e-15)
    assert block.span_seconds == pytest.approx(5 * crowding * exact)


def test_all_threads_together_compute_what_one_would(tmp_path: Path) -> None:
    device = FakeDevice()
    settings = RunSettings(threads=4)
    block = run(device, tmp_path, settings=settings)
    assert block.wall_seconds == (device.latency(ARCHITECTURE, settings),) * 5
    np.testing.assert_allclose(block.process_cpu_seconds, device.latency(ARCHITECTURE, SETTINGS))


def test_memory_grows_with_weights_and_tokens(tmp_path: Path) -> None:
    device = FakeDevice()
    costs = device.costs
    whole = costs.memory_bytes(ARCHITECTURE, SETTINGS)
    assert costs.memory_bytes(ARCHITECTURE, RunSettings(precision="int8")) < whole / 2
    assert costs.memory_bytes(ARCHITECTURE, RunSettings(batch=8)) > whole
    artefact = device.runtimes["fake"].build(ARCHITECTURE, SETTINGS, tmp_path)
    with device.launch(device.runtimes["fake"], SETTINGS) as launch:
        assert launch.load("model", artefact).memory_bytes == whole


def test_its_operators_are_the_terms_of_its_costs(tmp_path: Path) -> None:
    device = FakeDevice()
    runtime = device.runtimes["fake"]
    with device.launch(runtime, SETTINGS) as launch:
        launch.load("model", runtime.build(ARCHITECTURE, SETTINGS, tmp_path))
        operators = launch.operators("model", iterations=3)
    terms = device.costs.terms(ARCHITECTURE, SETTINGS)
    assert {o.name: o.seconds for o in operators} == terms
    assert operators[0].name == "multiply-adds"
    assert sum(o.seconds for o in operators) == device.latency(ARCHITECTURE, SETTINGS)


def test_tokenising_takes_so_much_a_token(tmp_path: Path) -> None:
    device = FakeDevice()
    (tmp_path / "vocabulary.txt").touch()
    with device.launch(device.runtimes["fake"], SETTINGS) as launch:
        block = launch.tokenise(
            tmp_path / "vocabulary.txt", "words", sequence_length=128, iterations=3
        )
    assert block.wall_seconds == (128 * device.costs.token_seconds,) * 3


def test_its_energy_is_power_times_simulated_time_where_it_is_counted() -> None:
    assert FakeDevice().state()["energy_joules"] is None
    device = FakeDevice(costs=FakeCosts(watts=5))
    before = device.state()
    device.wait(10)
    assert energy_between(before, device.state()) == pytest.approx(50)
