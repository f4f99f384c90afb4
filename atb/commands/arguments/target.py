"""From the words of the command line to a device, a runtime, settings and conditions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from atb.commands.arguments.groups import Options, option
from atb.commands.arguments.options import (
    DEFAULT_CACHE,
    TARGET,
    CacheSize,
    DeviceName,
    Precision,
    RuntimeName,
    Threads,
)
from atb.errors import InputError
from atb.messages import LOG

if TYPE_CHECKING:
    from atb.devices import Device, RunSettings, Runtime
    from atb.devices.runtimes import ArtefactCache
    from atb.profiler import Conditions, Subject
    from atb.profiler.database import ProfileDatabase, ProfileReader
    from atb.search import Budget, Verifier

#: What --precision is where it is not given.
DEFAULT_PRECISION = "fp32"


@dataclass(frozen=True)
class MeasuringTarget:
    """Where and how something is to be measured."""

    device: Device
    runtime: Runtime
    settings: RunSettings

    @property
    def where(self) -> tuple[Device, Runtime, RunSettings]:
        """The three, as a campaign takes them."""
        return self.device, self.runtime, self.settings

    @property
    def conditions(self) -> Conditions:
        """The conditions of a measurement made there."""
        from atb.profiler import Conditions

        return Conditions.of(*self.where)

    def verifier(self, database: ProfileDatabase, budget: Budget) -> Verifier:
        """Measures finalists of a search there, until a budget is spent."""
        from atb.search import Verifier

        return Verifier(*self.where, database, budget=budget)


class TargetOptions(Options, panel=TARGET):
    """Where and how something is to be measured, as the command line says it."""

    device: DeviceName = "local"
    runtime: RuntimeName = None
    precision: Precision = "fp32"
    threads: Threads = 1
    batch: int = option(default=1, help="Compute this many sequences in one inference.")
    sequence_length: int = option(default=128, help="Give each sequence this many tokens.")
    affinity: str | None = option(
        default=None,
        metavar="CPUS",
        help="Pin the worker to these CPUs, such as 0,1; by default it is not pinned.",
    )
    cache: CacheSize = DEFAULT_CACHE

    def find(self, cache: ArtefactCache | None) -> MeasuringTarget:
        """The device, the runtime and the settings.

        Raises:
            InputError: One of them is unknown or impossible.
        """
        from atb.devices import RunSettings

        settings = RunSettings(
            precision=self.precision,
            threads=self.threads,
            affinity=parse_affinity(self.affinity),
            batch=self.batch,
            sequence_length=self.sequence_length,
        )
        return find_target(self.device, self.runtime, settings, cache)


def parse_affinity(text: str | None) -> tuple[int, ...] | None:
    """Turn `0,2` into CPUs.

    Raises:
        InputError: It is not a list of whole numbers.
    """
    if text is None:
        return None
    try:
        return tuple(sorted({int(part) for part in text.split(",")}))
    except ValueError as error:
        raise InputError(f"--affinity is {text!r}: write CPUs like 0 or 0,1.") from error


def open_cache(size: str) -> ArtefactCache | None:
    """Where what runtimes build is kept, up to such a size as `2GB`; None for nothing at all.

    Raises:
        InputError: It is no size.
    """
    from atb.devices.runtimes import ArtefactCache
    from atb.units import parse_amount

    limit_bytes = int(parse_amount(size, "B", or_none=True))
    return ArtefactCache(None, limit_bytes, LOG.info) if limit_bytes else None


def find_serving(
    device: Device, runtime: str | None, precisions: Sequence[str], cache: ArtefactCache | None
) -> Runtime:
    """A runtime of the device that serves these precisions, and builds nothing that is kept.

    Raises:
        InputError: There is none of that name, or it does not serve one of them.
    """
    from atb.devices import find_runtime
    from atb.devices.runtimes import CachedRuntime

    found = find_runtime(device, runtime)
    for precision in precisions:
        if precision not in found.precisions:
            raise InputError(
                f"{found.name} on {device.name} does not serve {precision}: "
                f"choose {' or '.join(found.precisions)}."
            )
    at_once = getattr(found, "builds_at_once", False)
    return found if cache is None or at_once else CachedRuntime(found, cache)


def find_target(
    device: str, runtime: str | None, settings: RunSettings, cache: ArtefactCache | None = None
) -> MeasuringTarget:
    """Find the device and the runtime.

    Raises:
        InputError: One of them is unknown, or does not serve the precision.
    """
    from atb.devices import find_device

    place = find_device(device)
    return MeasuringTarget(
        place, find_serving(place, runtime, [settings.precision], cache), settings
    )


def choose_precision(subject: Subject, runtime: Runtime, asked: str) -> str:
    """The precision in which a subject is timed; a file has the one that it has.

    Where a runtime does not serve that of a file, it computes it in the one that it serves first.

    Raises:
        InputError: Another one than that of a file was asked for.
    """
    from atb.profiler import ModelFile

    if not isinstance(subject, ModelFile):
        return asked
    own = subject.precision if subject.precision in runtime.precisions else runtime.precisions[0]
    if asked not in (DEFAULT_PRECISION, own):
        raise InputError(
            f"{subject.name} computes in {own} on {runtime.name}, and {asked} was asked for: a "
            "file is timed as it is; leave --precision out, or give it to an architecture, as in "
            f"tinybert-4,precision={asked}."
        )
    return own


def print_emulated(conditions: Conditions) -> None:
    """Say that latencies are an emulator's, where they are."""
    if conditions.emulator is not None:
        LOG.info(
            f"{conditions.device} is emulated by {conditions.emulator}: what it computes is right, "
            "but how long that takes says nothing about a real processor"
        )


def agreeing_conditions(
    database: ProfileReader, campaign: str | None = None, **wanted: Any
) -> list[Conditions]:
    """All sets of conditions in a database that agree with the fields that are given.

    Args:
        database: Where to look.
        campaign: Only those of the campaign of this label.
        wanted: Fields of `Conditions.to_json` by name; None leaves one open.

    Raises:
        InputError: None agrees.
    """
    own = [found.conditions for found in database.campaigns() if found.label == campaign]
    if campaign is not None and not own:
        raise InputError(
            f"The database has no campaign {campaign}: see what it has with `atb profile --list`."
        )
    given = {name: value for name, value in wanted.items() if value is not None}
    found = [
        conditions
        for conditions in (database.conditions() if campaign is None else own)
        if all(conditions.to_json()[name] == value for name, value in given.items())
    ]
    if not found:
        words = ", ".join(f"{name} {value}" for name, value in given.items()) or "any conditions"
        raise InputError(
            f"The database holds no measurements for {words}: "
            "see what it has with `atb profile --list`."
        )
    return found


def choose_conditions(
    database: ProfileReader, campaign: str | None = None, **wanted: Any
) -> Conditions:
    """The one set of conditions that `agreeing_conditions` finds.

    Raises:
        InputError: None agrees, or several do.
    """
    found = agreeing_conditions(database, campaign, **wanted)
    if len(found) > 1:
        options = "--device, --runtime, --precision, --threads, --batch, --sequence-length"
        listed = "; ".join(str(conditions) for conditions in found)
        raise InputError(
            f"The database holds {len(found)} sets of conditions ({listed}): "
            f"choose one with {options}."
        )
    return found[0]
