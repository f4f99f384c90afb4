"""What measuring itself costs: the parent while a child is timed, a reading, a probe.

1. CPU time of this process while it waits for long blocks of a child, and over all blocks of a
   real campaign, as a share of one core. It holds the reading of the answer too, which comes when
   the child is no longer timed.
2. What an iteration pays for its own readings, outside the clocks and within them.
3. What each probe of the device's state takes; they run between blocks.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from atb.devices.contract import Block, Runtime, WorkerSession
from atb.devices.host.state import PROBES, read_state
from atb.devices.local import LocalDevice
from atb.devices.registry import find_runtime
from atb.devices.settings import RunSettings
from atb.models.published import resolve
from atb.models.space import SPACES
from atb.profiler.campaign.campaign import run_campaign
from atb.profiler.campaign.plan import Plan
from atb.profiler.database.writer import ProfileDatabase
from benchmarks.shared.record import machine, write_result

MODELS = ("bert-tiny", "tinybert-4", "minilm-12")
BLOCK_SECONDS, BLOCKS = 10.0, 3
SAMPLES = 25
PROBE_CALLS = 200
READ_CALLS = 20_000
AIM_SHARE, AIM_PROBE_SECONDS = 0.01, 0.005


class WatchedDevice(LocalDevice):
    """This machine; adds up what its blocks cost this process."""

    def __init__(self) -> None:
        super().__init__()
        self.wall_seconds = 0.0
        self.cpu_seconds = 0.0

    def launch(self, runtime: Runtime, settings: RunSettings) -> WorkerSession:
        """Prepare a worker that is watched."""
        return _WatchedLaunch(self, super().launch(runtime, settings))


class _WatchedLaunch:
    """Passes everything on."""

    def __init__(self, device: WatchedDevice, launch: WorkerSession) -> None:
        self._device = device
        self._launch = launch
        self.load = launch.load
        self.output, self.operators, self.tokenise = (
            launch.output,
            launch.operators,
            launch.tokenise,
        )

    def run(self, key: str, *, iterations: int, warmup: int = 0) -> Block:
        wall, cpu = time.perf_counter(), time.process_time()
        block = self._launch.run(key, iterations=iterations, warmup=warmup)
        self._device.cpu_seconds += time.process_time() - cpu
        self._device.wall_seconds += time.perf_counter() - wall
        return block

    def __enter__(self) -> Self:
        self._launch.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._launch.__exit__(kind, error, traceback)


def long_blocks(name: str, seconds: float, folder: Path) -> dict[str, Any]:
    """The parent during long blocks of one model."""
    device = WatchedDevice()
    runtime, settings = find_runtime(device), RunSettings()
    artefact = runtime.build(resolve(name), settings, folder)
    with device.launch(runtime, settings) as launch:
        launch.load("model", artefact)
        once = min(launch.run("model", iterations=5).wall_seconds)
        iterations = max(1, round(seconds / once))
        device.wall_seconds = device.cpu_seconds = 0.0
        blocks = [launch.run("model", iterations=iterations) for _ in range(BLOCKS)]
    return {
        "model": name,
        "iterations": iterations,
        "timed_seconds": sum(sum(block.wall_seconds) for block in blocks),
        "parent_cpu_seconds": device.cpu_seconds,
        "share_of_a_core": device.cpu_seconds / device.wall_seconds,
    }


def campaign(samples: int, folder: Path) -> dict[str, Any]:
    """The parent during the blocks of a campaign, and during all of it."""
    device = WatchedDevice()
    wall, cpu = time.perf_counter(), time.process_time()
    plan = Plan.sample(SPACES["mini"], samples)
    with ProfileDatabase(folder / "profile.db", create=True) as database:
        run_campaign(device, find_runtime(device), RunSettings(), plan, database)
    return {
        "architectures": samples,
        "block_seconds": device.wall_seconds,
        "parent_cpu_seconds": device.cpu_seconds,
        "share_of_a_core": device.cpu_seconds / device.wall_seconds,
        "seconds_in_all": time.perf_counter() - wall,
        "parent_cpu_seconds_in_all": time.process_time() - cpu,
    }


_READ = f"""
import json, sys, threading, time
sys.path.insert(0, sys.argv[1])
import timing
queue = timing.RunQueue([threading.get_native_id()])
begun = time.perf_counter()
for _ in range({READ_CALLS}):
    queue.read()
queue_seconds = time.perf_counter() - begun
block = timing.measure(lambda: None, {READ_CALLS}, 1000, limit_seconds=10.0)
within = sorted(block["wall_seconds"])[{READ_CALLS} // 2]
print(json.dumps([block["span_seconds"], within, queue_seconds]))
"""


def readings() -> dict[str, float]:
    """What the readings of an iteration cost, from iterations that do nothing."""
    from atb.devices.worker.core import timing

    folder = str(Path(timing.__file__).parent)
    environment = {"OPENBLAS_NUM_THREADS": "1"}  # as the local device starts it
    done = subprocess.run(
        [sys.executable, "-P", "-c", _READ, folder],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
    )
    span, within, queue = json.loads(done.stdout)
    return {
        "seconds_of_a_run_queue_reading": queue / READ_CALLS,
        "seconds_of_an_iteration": span / READ_CALLS,
        "seconds_within_the_clock": within,
    }


def probes() -> dict[str, Any]:
    """What each probe takes, and all together."""

    def take(probe: Callable[[], object]) -> dict[str, float]:
        taken = []
        for _ in range(PROBE_CALLS):
            begun = time.perf_counter()
            probe()
            taken.append(time.perf_counter() - begun)
        return {"median_seconds": float(np.median(taken)), "most_seconds": max(taken)}

    root = Path("/")

    def guarded(probe: Callable[[Path], object]) -> None:
        # where this machine does not tell it, the attempt is what it costs
        with contextlib.suppress(ValueError, IndexError):
            probe(root)

    rows = {
        " ".join(names): take(lambda probe=probe: guarded(probe)) for names, probe in PROBES.items()
    }
    return {"each": rows, "all": take(read_state)}


def show(figures: Mapping[str, Any]) -> None:
    """Print a plain table."""
    for row in figures["long_blocks"]:
        print(f"parent during blocks of {row['model']:12} {row['share_of_a_core']:8.3%} of a core")
    share = figures["campaign"]["share_of_a_core"]
    print(f"parent during blocks of a campaign      {share:8.3%} of a core (aim {AIM_SHARE:.0%})")
    for name, seconds in figures["readings"].items():
        print(f"{name.replace('_', ' '):40} {1e6 * seconds:7.2f} µs")
    for name, row in {**figures["probes"]["each"], "all": figures["probes"]["all"]}.items():
        print(f"probe {name:70} {1e3 * row['median_seconds']:7.3f} ms")


def main() -> None:
    """Measure all of it and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--seconds", type=float, default=BLOCK_SECONDS, help="Seconds of a long block."
    )
    parser.add_argument(
        "--samples", type=int, default=SAMPLES, help="Architectures of the campaign."
    )
    arguments = parser.parse_args()
    started = machine()
    with tempfile.TemporaryDirectory() as folder:
        figures = {
            "aims": {"share_of_a_core": AIM_SHARE, "probe_seconds": AIM_PROBE_SECONDS},
            "probes": probes(),
            "readings": readings(),
            "long_blocks": [long_blocks(name, arguments.seconds, Path(folder)) for name in MODELS],
            "campaign": campaign(arguments.samples, Path(folder)),
        }
    show(figures)
    print(f"written: {write_result('harness_cost', figures, started)}")


if __name__ == "__main__":
    main()
