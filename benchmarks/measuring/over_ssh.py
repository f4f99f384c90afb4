"""The same architectures measured on this machine and on itself over SSH: do they agree?

An OpenSSH server is started on loopback with keys of its own. Each round begins a fresh worker here
and one there, and takes blocks of all architectures in random order, here and there one right after
the other. What is compared is the median over the blocks of a worker, round by round, so that what
drifts cancels. The interval is that of the mean of the logarithms.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import statistics
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from scipy import stats

from atb.devices.contract import Artefact, Device
from atb.devices.local import LocalDevice
from atb.devices.settings import RunSettings
from atb.models.architecture import Architecture
from atb.profiler.statistics.estimators import block_value
from benchmarks.shared.paths import TEST_SUPPORT

sys.path.insert(0, str(TEST_SUPPORT))

ARCHITECTURES = (
    "L1-H128-A2-Q128-F512",
    "L2-H128-A2-Q128-F512",
    "L2-H192-A4-Q192-F768",
    "L3-H192-A4-Q192-F768",
    "L4-H256-A4-Q256-F1024",
    "L4-H312-A12-Q312-F1200",
)
CONFIDENCE = 0.95

T = TypeVar("T")


def time_round(
    places: dict[str, Device],
    artefacts: dict[str, Artefact],
    settings: RunSettings,
    *,
    blocks: int,
    block_seconds: float,
    rng: np.random.Generator,
) -> dict[str, dict[str, float]]:
    """Seconds of each architecture by place, the median of its blocks in one fresh worker."""
    values: dict[str, dict[str, list[float]]] = {
        name: {place: [] for place in places} for name in artefacts
    }
    counts: dict[str, int] = {}
    with contextlib.ExitStack() as stack:
        launches = {
            place: stack.enter_context(device.launch(device.runtimes["onnxruntime"], settings))
            for place, device in shuffled(places, rng)
        }
        for name, artefact in artefacts.items():
            fastest = []
            for launch in launches.values():
                launch.load(name, artefact)
                fastest += launch.run(name, iterations=5, warmup=5).wall_seconds
            counts[name] = max(5, math.ceil(block_seconds / min(fastest)))
        for _ in range(blocks):
            for name, _ in shuffled(artefacts, rng):
                for place, launch in shuffled(launches, rng):
                    block = launch.run(name, iterations=counts[name], warmup=2)
                    seconds = block_value(block, threads=settings.threads).seconds
                    values[name][place].append(seconds)
    return {
        name: {place: statistics.median(taken) for place, taken in found.items()}
        for name, found in values.items()
    }


def shuffled(named: Mapping[str, T], rng: np.random.Generator) -> list[tuple[str, T]]:
    """In random order."""
    return [(name, named[name]) for name in rng.permutation(list(named)).tolist()]


def ratio(here: list[float], there: list[float]) -> dict[str, Any]:
    """Over SSH to local: the mean of the rounds and its interval."""
    logarithms = np.log(np.array(there) / np.array(here))
    mean = float(logarithms.mean())
    half = math.inf
    if len(logarithms) > 1:
        error = float(logarithms.std(ddof=1)) / math.sqrt(len(logarithms))
        half = error * float(stats.t.ppf((1 + CONFIDENCE) / 2, len(logarithms) - 1))
    return {"ratio": math.exp(mean), "interval": [math.exp(mean - half), math.exp(mean + half)]}


def parse_arguments() -> argparse.Namespace:
    """Words of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--blocks", type=int, default=9)
    parser.add_argument("--block-ms", type=float, default=50.0)
    parser.add_argument(
        "--architecture", action="append", help="Architecture to time; six by default."
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--name", default="over_ssh", help="Name of the result file.")
    arguments = parser.parse_args()
    if arguments.rounds < 2:
        parser.error("--rounds must be 2 or more: an interval needs them")
    return arguments


def main() -> None:
    """Measure, print and record."""
    arguments = parse_arguments()
    from openssh import running_openssh
    from remote_devices import remote_device

    from benchmarks.shared.record import machine, write_result

    started = machine()
    rng = np.random.default_rng(arguments.seed)
    settings = RunSettings()
    names = arguments.architecture or list(ARCHITECTURES)
    with running_openssh() as server, tempfile.TemporaryDirectory() as folder:
        local, remote = LocalDevice(), remote_device(server)
        runtime = local.runtimes["onnxruntime"]
        artefacts = {
            name: runtime.build(Architecture.parse(name), settings, Path(folder)) for name in names
        }
        found: dict[str, dict[str, list[float]]] = {
            name: {"local": [], "ssh": []} for name in names
        }
        places: dict[str, Device] = {"local": local, "ssh": remote}
        try:
            for number in range(arguments.rounds):
                taken = time_round(
                    places,
                    artefacts,
                    settings,
                    blocks=arguments.blocks,
                    block_seconds=arguments.block_ms / 1e3,
                    rng=rng,
                )
                for name, seconds in taken.items():
                    for place in places:
                        found[name][place].append(seconds[place])
                print(f"round {number + 1} of {arguments.rounds}", file=sys.stderr, flush=True)
        finally:
            remote.close()
    rows = {name: ratio(taken["local"], taken["ssh"]) for name, taken in found.items()}
    for name, row in rows.items():
        low, high = row["interval"]
        print(f"{name:26} {row['ratio']:.4f}  [{low:.4f}, {high:.4f}]")
    largest = max(abs(row["ratio"] - 1) for row in rows.values())
    print(f"largest distance of a mean from 1: {largest:.2%}")
    figures = {
        "rounds": arguments.rounds,
        "confidence": CONFIDENCE,
        "largest_distance": largest,
        "ratios": rows,
        "seconds": found,
    }
    print(write_result(arguments.name, figures, started))


if __name__ == "__main__":
    main()
