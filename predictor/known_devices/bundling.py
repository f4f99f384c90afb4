"""From what was measured on a device to a known one: a predictor for each set of conditions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from operator import itemgetter

import numpy as np

from atb.devices import RunSettings, check_known_name
from atb.devices.runtimes import runtime_names
from atb.errors import InputError
from atb.predictor import TrainingSet, fit_judged
from atb.predictor.known_devices.known_device import KnownDevice, KnownPredictor
from atb.profiler import Conditions
from atb.profiler.statistics import Measurement


@dataclass(frozen=True, slots=True)
class SkippedConditions:
    """Conditions of which there is no predictor, and why, as a sentence."""

    conditions: Conditions
    reason: str


@dataclass(frozen=True, slots=True)
class DeviceTrainingSets:
    """Training sets of one device, one for each set of conditions.

    Attributes:
        sets: Rows of each set of conditions, with the day of the last measurement.
        left_out: Conditions that are not among them.
    """

    sets: tuple[tuple[TrainingSet, date], ...]
    left_out: tuple[SkippedConditions, ...]


def collect_training_sets(
    measured: Mapping[Conditions, Iterable[Measurement]],
) -> DeviceTrainingSets:
    """Rows to fit on, of each runtime and settings those of the version measured last.

    Args:
        measured: All measurements of one device, by conditions.

    Raises:
        InputError: They are of several devices, or none has enough to fit on.
    """
    _require_one_device(list(measured))
    newest: dict[tuple[str, RunSettings], tuple[float, TrainingSet]] = {}
    left_out = []
    for conditions, every in measured.items():
        measurements = list(every)
        try:
            found = TrainingSet.from_measurements(measurements)
        except InputError as error:
            left_out.append(SkippedConditions(conditions, str(error)))
            continue
        at = max(record.readings.started_at for m in measurements for record in m.blocks)
        place = conditions.runtime, conditions.settings
        versions = sorted([*filter(None, [newest.get(place)]), (at, found)], key=itemgetter(0))
        newest[place] = versions[-1]
        version = newest[place][1].conditions.runtime_version
        for _, older in versions[:-1]:
            reason = f"Version {version} was measured later: a device has one of each runtime."
            left_out.append(SkippedConditions(older.conditions, reason))
    if not newest:
        reasons = "; ".join(f"{one.conditions}: {one.reason.rstrip('.')}" for one in left_out)
        raise InputError(f"There is nothing to bundle ({reasons}).")
    days = ((found, datetime.fromtimestamp(at, UTC).date()) for at, found in newest.values())
    return DeviceTrainingSets(tuple(sorted(days, key=_preference)), tuple(left_out))


def _preference(found: tuple[TrainingSet, date]) -> int:
    """Position of the runtime among those of this package; foreign ones come last."""
    names = runtime_names()
    runtime = found[0].conditions.runtime
    return names.index(runtime) if runtime in names else len(names)


def _require_one_device(conditions: Sequence[Conditions]) -> None:
    if not conditions:
        raise InputError("There are no measurements to bundle: measure with `atb profile`.")
    devices = dict.fromkeys(found.device for found in conditions)
    if len(devices) > 1:
        raise InputError(
            f"The measurements are of several devices ({', '.join(devices)}): "
            "choose one with --device."
        )
    platforms = [dict(found.platform) for found in conditions]
    facts = {
        name: list(dict.fromkeys(str(platform.get(name)) for platform in platforms))
        for name in sorted({name for platform in platforms for name in platform})
    }
    if any(len(values) > 1 for values in facts.values()):
        words = (f"{name}: {' and '.join(v)}" for name, v in facts.items() if len(v) > 1)
        raise InputError(
            f"The measurements of {conditions[0].device} are of several machines "
            f"({'; '.join(words)}): choose those of one with --campaign."
        )


def bundle_device(
    name: str,
    sets: Sequence[tuple[TrainingSet, date]],
    *,
    seed: int = 0,
    tell: Callable[[int, int, str], None] | None = None,
) -> KnownDevice:
    """Fit a predictor for each set of conditions, each as `atb predictor train` alone would.

    Args:
        name: What to call the device; its predictors' conditions name it so.
        sets: Training sets and days, as `collect_training_sets` gives them.
        seed: Splits the folds of each fit, so that none hangs on which others there are.
        tell: Called with how many are done, how many there are, and the next conditions.

    Raises:
        InputError: A known device cannot be called so.
    """
    check_known_name(name)
    predictors = []
    for done, (training_set, day) in enumerate(sets):
        if tell is not None:
            tell(done, len(sets), str(training_set.conditions))
        fitted, held_out = fit_judged(training_set, np.random.default_rng(seed))
        errors = np.abs(held_out / training_set.seconds - 1)
        renamed = replace(fitted, conditions=replace(fitted.conditions, device=name))
        predictors.append(KnownPredictor.of(renamed, float(np.mean(errors <= 0.05)), day))
    if tell is not None:
        tell(len(sets), len(sets), "")
    return KnownDevice(name, tuple(predictors))
