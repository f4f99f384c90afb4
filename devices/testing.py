"""Test suites that every device and every runtime passes; subclass one and give its factory.

class TestMyBoard(DeviceConformance):
    def make_device(self) -> Device:
        return MyBoard()
"""

from __future__ import annotations

import ast
import contextlib
from collections.abc import Iterator, Set
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from atb.devices.contract import (
    Artefact,
    Block,
    Device,
    LaunchFailure,
    OperatorTime,
    Runtime,
    WorkerRuntime,
    WorkerSession,
)
from atb.devices.host import STATE_FIELDS
from atb.devices.local import LocalDevice
from atb.devices.runtimes import (
    all_runtimes,
    check_device,
    describe_artefact,
    find_runner,
    timing_output,
)
from atb.devices.settings import RunSettings
from atb.models import Architecture

_SMALL = Architecture(1, 20, 2, 12, 28)
_OTHER = Architecture(2, 28, 3, 9, 20)
_SETTINGS = RunSettings(sequence_length=8, batch=2)


def _check_block(block: Block, *, iterations: int, warmup: int) -> None:
    """What holds for the readings of every block, whatever they are."""
    assert len(block.warmup_seconds) == warmup
    always = (
        block.wall_seconds,
        block.cpu_seconds,
        block.voluntary_switches,
        block.involuntary_switches,
    )
    where_told = (block.wait_seconds, block.process_cpu_seconds)
    assert {len(readings) for readings in always} == {iterations}
    assert {len(readings) for readings in where_told} <= {0, iterations}
    assert min(block.wall_seconds) > 0
    assert all(min(readings) >= 0 for readings in (*always, *where_told) if readings)
    assert all(n is None or n >= 0 for n in (block.minor_faults, block.major_faults))
    # a hair less, since decimal fractions of seconds are rounded
    assert block.span_seconds is None or block.span_seconds >= 0.999 * max(block.wall_seconds)


class RuntimeConformance:
    """What a runtime owes its callers."""

    def make_runtime(self) -> Runtime:
        raise NotImplementedError("give the runtime under test")

    def test_it_says_what_it_is(self) -> None:
        runtime = self.make_runtime()
        assert isinstance(runtime, Runtime)
        assert runtime.name
        assert runtime.version
        assert "fp32" in runtime.precisions

    def test_every_precision_gives_a_file_of_its_own(self, tmp_path: Path) -> None:
        runtime = self.make_runtime()
        artefacts = [
            runtime.build(_SMALL, replace(_SETTINGS, precision=precision), tmp_path)
            for precision in runtime.precisions
        ]
        assert len({artefact.path for artefact in artefacts}) == len(runtime.precisions)
        assert {artefact.path for artefact in artefacts} == set(tmp_path.iterdir())

    def test_an_artefact_describes_its_file(self, tmp_path: Path) -> None:
        artefact = self.make_runtime().build(_SMALL, _SETTINGS, tmp_path)
        assert artefact == describe_artefact(artefact.path)
        assert artefact.size_bytes > 0

    def test_the_same_architecture_gives_the_same_bytes(self, tmp_path: Path) -> None:
        hashes = set()
        for name in ("first", "second"):
            (tmp_path / name).mkdir()
            artefact = self.make_runtime().build(_SMALL, _SETTINGS, tmp_path / name)
            hashes.add(artefact.sha256)
        assert len(hashes) == 1

    def test_a_folder_that_is_not_there_is_a_build_error(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(LaunchFailure) as caught:
            self.make_runtime().build(_SMALL, _SETTINGS, tmp_path / "file")
        assert caught.value.cause == "build-error"


def sent_imports(source: str) -> set[str]:
    """The modules that a file imports where it runs, on Python 3.9; those for types alone do not.

    Raises:
        SyntaxError: Python 3.9 does not understand it.
    """
    modules = set()
    for top in ast.parse(source, feature_version=(3, 9)).body:
        if isinstance(top, ast.If) and ast.unparse(top.test) == "TYPE_CHECKING":
            continue
        for node in ast.walk(top):
            if isinstance(node, ast.Import):
                modules |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                modules.add(node.module or "atb")
    return modules


class WorkerRuntimeConformance(RuntimeConformance):
    """What a runtime that workers serve owes besides; it is registered under its name."""

    def make_runtime(self) -> WorkerRuntime:
        raise NotImplementedError("give the runtime under test")

    def test_it_is_found_by_its_name(self) -> None:
        runtime = self.make_runtime()
        assert isinstance(runtime, WorkerRuntime)
        assert type(all_runtimes()[runtime.name]) is type(runtime)
        assert find_runner(runtime.name) == runtime.runner
        assert runtime.distributions

    def test_its_runner_needs_nothing_of_this_package(self) -> None:
        modules = sent_imports(self.make_runtime().runner.read_text("utf-8"))
        assert "atb" not in {module.partition(".")[0] for module in modules}

    def test_this_machine_computes_the_reference(self) -> None:
        runtime, device = self.make_runtime(), LocalDevice()
        for precision in runtime.precisions:
            settings = RunSettings(precision=precision, sequence_length=16, batch=2)
            result = check_device(device, runtime, settings)
            assert result.passed, f"{precision}: {result}"
            assert result.providers

    def test_it_tells_what_its_operators_take_if_it_says_so(self, tmp_path: Path) -> None:
        runtime = self.make_runtime()
        artefact = runtime.build(_SMALL, _SETTINGS, tmp_path)
        with LocalDevice().launch(runtime, _SETTINGS) as worker:
            worker.load("small", artefact)
            if runtime.tells_operators:
                assert worker.operators("small", iterations=2)
            else:
                with pytest.raises(LaunchFailure) as caught:
                    worker.operators("small", iterations=2)
                assert caught.value.cause == "load-error"


class DeviceConformance:
    """What a device owes its callers, with each of its runtimes.

    Attributes:
        slow_runtimes: Those whose models take long to build or load; they have a test of their own.
    """

    slow_runtimes: frozenset[str] = frozenset()

    def make_device(self) -> Device:
        raise NotImplementedError("give the device under test")

    def build(self, device: Device, folder: Path, *architectures: Architecture) -> list[Artefact]:
        """Artefacts for the device's first runtime."""
        runtime = next(iter(device.runtimes.values()))
        return [runtime.build(architecture, _SETTINGS, folder) for architecture in architectures]

    @contextlib.contextmanager
    def launched(
        self, folder: Path | None = None, settings: RunSettings = _SETTINGS
    ) -> Iterator[WorkerSession]:
        """A worker of the device's first runtime; it has loaded `small` if there is a folder."""
        device = self.make_device()
        with device.launch(next(iter(device.runtimes.values())), settings) as worker:
            if folder is not None:
                worker.load("small", self.build(device, folder, _SMALL)[0])
            yield worker

    def test_it_says_what_it_is(self) -> None:
        device = self.make_device()
        assert isinstance(device, Device)
        assert device.name
        assert {"processor", "architecture", "logical_cpus", "memory", "system"} <= set(
            device.platform
        )
        assert all(device.runtimes[name].name == name for name in device.runtimes)

    def test_its_platform_does_not_change(self) -> None:
        assert dict(self.make_device().platform) == dict(self.make_device().platform)

    def test_its_state_has_every_field(self) -> None:
        assert set(STATE_FIELDS) <= set(self.make_device().state())

    def test_waiting_advances_its_clock(self) -> None:
        device = self.make_device()
        before = device.now()
        device.wait(0.01)
        assert device.now() - before >= 0.009

    def test_blocks_of_several_models_interleave(self, tmp_path: Path) -> None:
        device = self.make_device()
        runtime = next(iter(device.runtimes.values()))
        small, other = self.build(device, tmp_path, _SMALL, _OTHER)
        before = device.now()
        with device.launch(runtime, _SETTINGS) as launch:
            for key, artefact in (("small", small), ("other", other)):
                loaded = launch.load(key, artefact)
                assert loaded.load_seconds > 0
                assert loaded.first_seconds > 0
                assert loaded.providers
                assert np.isfinite(loaded.output_checksum)
                assert loaded.memory_bytes is None or loaded.memory_bytes >= 0
            blocks = [
                launch.run(key, iterations=3, warmup=2)
                for key in ("small", "other", "small", "other")
            ]
        for block in blocks:
            _check_block(block, iterations=3, warmup=2)
        starts = [block.started_at for block in blocks]
        assert starts == sorted(starts)
        assert before <= starts[0]
        assert starts[-1] <= device.now()

    @pytest.mark.parametrize("scenario", ["hot-loop", "sustained", "cold-start"])
    def test_one_inference_follows_the_other(self, scenario: str, tmp_path: Path) -> None:
        block = self.run_block(tmp_path, replace(_SETTINGS, scenario=scenario))
        _check_block(block, iterations=4, warmup=2)

    @pytest.mark.parametrize("scenario", ["fixed-rate", "single-shot"])
    def test_time_passes_between_inferences_that_are_paced(
        self, scenario: str, tmp_path: Path
    ) -> None:
        interval_seconds = 0.02
        settings = replace(_SETTINGS, scenario=scenario, interval_seconds=interval_seconds)
        block = self.run_block(tmp_path, settings)
        _check_block(block, iterations=4, warmup=2)
        # one interval of the three, since a busy machine may begin the first one late
        assert block.span_seconds is None or block.span_seconds > interval_seconds

    @pytest.mark.parametrize("streams", [1, 3])
    def test_streams_serve_their_requests_together(self, streams: int, tmp_path: Path) -> None:
        settings = replace(_SETTINGS, scenario="throughput", streams=streams)
        block = self.run_block(tmp_path, settings)
        _check_block(block, iterations=4 * streams, warmup=2 * streams)

    def run_block(self, folder: Path, settings: RunSettings) -> Block:
        """Four iterations after two of warm-up."""
        with self.launched(folder, settings) as worker:
            return worker.run("small", iterations=4, warmup=2)

    def test_operators_say_where_the_time_goes(self, tmp_path: Path) -> None:
        with self.launched(tmp_path) as worker:
            operators: tuple[OperatorTime, ...] = ()
            cause = None
            try:
                operators = worker.operators("small", iterations=3)
            except LaunchFailure as failure:
                cause = failure.cause
        assert operators or cause == "load-error"
        if not operators:
            pytest.skip("this runtime does not tell")
        assert [o.seconds for o in operators] == sorted(
            (o.seconds for o in operators), reverse=True
        )
        assert min(o.count for o in operators) >= 1
        assert all(o.operator and o.name and o.seconds >= 0 for o in operators)
        assert sum(o.share for o in operators) == pytest.approx(1)

    def test_splitting_text_into_tokens_is_timed(self, tmp_path: Path) -> None:
        vocabulary = tmp_path / "vocabulary.txt"
        vocabulary.write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nwords\n", "utf-8")
        with self.launched() as worker:
            block = worker.tokenise(vocabulary, "words " * 99, sequence_length=8, iterations=4)
            _check_block(block, iterations=4, warmup=len(block.warmup_seconds))
            with pytest.raises(LaunchFailure) as caught:
                worker.tokenise(tmp_path / "no.txt", "words", sequence_length=8, iterations=4)
            assert caught.value.cause == "load-error"

    def test_a_model_may_have_settings_of_its_own(self, tmp_path: Path) -> None:
        device = self.make_device()
        runtime = next(iter(device.runtimes.values()))
        (artefact,) = self.build(device, tmp_path, _SMALL)
        paced = replace(_SETTINGS, scenario="fixed-rate", interval_seconds=0.02)
        with device.launch(runtime, paced) as launch:
            launch.load("paced", artefact)
            launch.load("hot", artefact, settings=_SETTINGS)
            spans = {k: launch.run(k, iterations=4).span_seconds for k in ("paced", "hot")}
        assert spans["paced"] is not None
        assert spans["hot"] is not None
        assert spans["paced"] > 0.055 > spans["hot"]

    def test_no_warmup_is_none(self, tmp_path: Path) -> None:
        with self.launched(tmp_path) as worker:
            assert worker.run("small", iterations=1).warmup_seconds == ()

    def test_each_runtime_and_precision_computes_the_reference(self) -> None:
        self.check_runtimes(set(self.make_device().runtimes) - self.slow_runtimes)

    @pytest.mark.slow
    def test_slow_runtimes_compute_the_reference_too(self) -> None:
        here = self.slow_runtimes & set(self.make_device().runtimes)
        if not here:
            pytest.skip("none of its runtimes is slow")
        self.check_runtimes(here)

    def check_runtimes(self, names: Set[str]) -> None:
        """Let these runtimes compute, in each precision."""
        device = self.make_device()
        for runtime in (device.runtimes[name] for name in sorted(names)):
            for precision in runtime.precisions:
                settings = RunSettings(precision=precision, sequence_length=16)
                result = check_device(device, runtime, settings)
                assert result.passed, f"{runtime.name} {precision}: {result}"
                assert result.providers

    def test_every_sequence_of_a_batch_is_computed(self, tmp_path: Path) -> None:
        with self.launched(tmp_path) as worker:
            output = worker.output("small")
        np.testing.assert_allclose(output, timing_output(_SMALL, _SETTINGS), atol=1e-4)

    def test_a_broken_artefact_is_a_load_error_and_ends_the_launch(self, tmp_path: Path) -> None:
        device = self.make_device()
        runtime = next(iter(device.runtimes.values()))
        (artefact,) = self.build(device, tmp_path, _SMALL)
        artefact.path.write_bytes(b"no model")
        with device.launch(runtime, _SETTINGS) as launch:
            with pytest.raises(LaunchFailure) as caught:
                launch.load("broken", artefact)
            assert caught.value.cause == "load-error"
            with pytest.raises(LaunchFailure):
                launch.run("broken", iterations=1)

    def test_a_key_that_is_not_loaded_is_a_load_error(self) -> None:
        with self.launched() as worker, pytest.raises(LaunchFailure) as caught:
            worker.run("nothing", iterations=1)
        assert caught.value.cause == "load-error"

    def test_a_launch_that_was_left_answers_no_more(self) -> None:
        with self.launched() as worker:
            pass
        with pytest.raises(LaunchFailure):
            worker.run("nothing", iterations=1)

    def test_launches_follow_each_other(self, tmp_path: Path) -> None:
        device = self.make_device()
        runtime = next(iter(device.runtimes.values()))
        (artefact,) = self.build(device, tmp_path, _SMALL)
        checksums = set()
        for _ in range(2):
            with device.launch(runtime, _SETTINGS) as launch:
                checksums.add(launch.load("small", artefact).output_checksum)
        assert len(checksums) == 1
