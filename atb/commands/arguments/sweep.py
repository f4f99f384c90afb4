"""Settings as lists: `--threads 1,2 --precision fp32,int8` names every combination of them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from atb.commands.arguments import completion
from atb.commands.arguments.groups import Options, option
from atb.commands.arguments.options import DEFAULT_CACHE, TARGET, CacheSize, RuntimeName
from atb.commands.arguments.target import MeasuringTarget, find_serving, parse_affinity
from atb.errors import InputError

if TYPE_CHECKING:
    from atb.devices import Device
    from atb.devices.runtimes import ArtefactCache

_T = TypeVar("_T")

#: Between sets of CPUs; a comma stands between the CPUs of one.
_SETS = "/"
SCENARIO = "Scenario"
_CLUSTERS = "clusters"


def parse_list(text: str, read: Callable[[str], _T], option: str) -> list[_T]:
    """Turn `1,2,4` into its values, in order and without doubles.

    Args:
        text: What the user wrote.
        read: Turns one part into a value, or raises ValueError.
        option: For the message, such as `--threads`.

    Raises:
        InputError: A part cannot be read.
    """
    found: dict[_T, None] = {}
    for part in text.split(","):
        try:
            found[read(part.strip())] = None
        except ValueError as error:
            raise InputError(
                f"{option} is {text!r}: write one value, or several like 1,2."
            ) from error
    return list(found)


def expand_affinity(text: str | None, device: Device) -> list[tuple[int, ...] | None]:
    """Turn `0,1/2,3` into two sets of CPUs, and `clusters` into one set for each cluster.

    Args:
        text: What the user wrote; None leaves it to the system.
        device: Whose clusters are meant, the fastest first.

    Raises:
        InputError: A set is not a list of CPUs, or the device does not tell its clusters.
    """
    if text is None:
        return [None]
    if text == _CLUSTERS:
        clusters: Sequence[Sequence[int]] = getattr(device, "clusters", ())
        if not clusters:
            raise InputError(
                f"{device.name} does not tell which of its CPUs are equally fast: "
                "list them, such as --affinity 0,1/2,3."
            )
        return [tuple(cluster) for cluster in clusters]
    return [parse_affinity(part) for part in text.split(_SETS)]


class SweepOptions(Options, panel=TARGET):
    """Where and how to measure; a list of values measures each of them."""

    device: str | None = option(
        default=None,
        metavar="NAME",
        help="Measure on this device, as the argument DEVICE says it; by default on local.",
        autocompletion=completion.devices,
    )
    runtime: RuntimeName = None
    precision: str = option(
        default="fp32",
        metavar="fp32,int8",
        help="Measure in each of these numeric precisions.",
        autocompletion=completion.precisions,
    )
    threads: str = option(
        default="1", metavar="1,2", help="Compute one inference with each of these thread counts."
    )
    batch: str = option(
        default="1", metavar="1,8", help="Compute this many sequences in one inference."
    )
    sequence_length: str = option(
        default="128", metavar="32,128", help="Give each sequence this many tokens."
    )
    affinity: str | None = option(
        default=None,
        metavar="CPUS",
        help="Pin the worker to these CPUs: 0,1 together, 0/1 one after the other, `clusters` "
        "each group of equally fast CPUs; by default it is not pinned.",
    )
    cache: CacheSize = DEFAULT_CACHE
    scenario: str = option(
        default="hot-loop",
        metavar="NAME",
        help="Run inferences in this rhythm: hot-loop, fixed-rate or single-shot (with "
        "--interval), sustained (with --duration), cold-start, throughput (with --streams).",
        autocompletion=completion.scenarios,
        rich_help_panel=SCENARIO,
    )
    interval: str | None = option(
        default=None,
        metavar="100ms",
        help="Start one inference in each interval of fixed-rate, or idle this long before a "
        "single-shot; these scenarios have no default.",
        rich_help_panel=SCENARIO,
    )
    streams: str = option(
        default="1",
        metavar="1,2",
        help="Keep this many inferences running at once, for throughput.",
        rich_help_panel=SCENARIO,
    )
    duration: str | None = option(
        default=None,
        metavar="2min",
        help="Run sustained for this time; by default for 2 minutes.",
        rich_help_panel=SCENARIO,
    )

    def targets(
        self,
        device: Device,
        cache: ArtefactCache | None = None,
        precisions: Sequence[str] = (),
    ) -> list[MeasuringTarget]:
        """Every combination of the settings, in the order in which they are measured.

        Args:
            device: Where; its clusters of CPUs are meant by `clusters`.
            cache: Where what it builds is kept.
            precisions: In place of those that are given.

        Raises:
            InputError: A setting cannot be read, or a combination is impossible.
        """
        from atb.devices import RunSettings
        from atb.units import parse_duration

        lists: dict[str, Sequence[Any]] = {
            "precision": precisions or parse_list(self.precision, str, "--precision"),
            "threads": parse_list(self.threads, int, "--threads"),
            "affinity": expand_affinity(self.affinity, device),
            "batch": parse_list(self.batch, int, "--batch"),
            "sequence_length": parse_list(self.sequence_length, int, "--sequence-length"),
            "scenario": [self.scenario],
            "interval_seconds": [None if self.interval is None else parse_duration(self.interval)],
            "streams": parse_list(self.streams, int, "--streams"),
        }
        runtime = find_serving(device, self.runtime, lists["precision"], cache)
        return [
            MeasuringTarget(device, runtime, RunSettings(**dict(zip(lists, values, strict=True))))
            for values in itertools.product(*lists.values())
        ]
