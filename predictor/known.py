"""Known devices: what was measured on one, as fitted predictors that others can use without it.

A file of one is JSON of the kind `known-device`:
    known-device 1: name; for each set of conditions the document of a latency-predictor, the share
        of rows held out that it predicts within 5 %, and the day of the last measurement.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from atb.devices.known_files import check_known_name, find_known_file, known_files
from atb.devices.settings import RunSettings
from atb.errors import BadFile, InputError
from atb.files import read_document, write_document
from atb.predictor.file import document_of, predictor_of
from atb.predictor.predictor import WorkPredictor
from atb.profiler.conditions import Conditions

__all__ = [
    "KnownDevice",
    "KnownPredictor",
    "find_known_device",
    "known_devices",
    "read_known_device",
    "write_known_device",
]

_KIND, _FORMAT = "known-device", 1
_AGAIN = "bundle it again with `atb devices bundle`"


@dataclass(frozen=True, slots=True)
class KnownPredictor:
    """A predictor of one set of conditions, and how good it is.

    Attributes:
        predictor: Its conditions name the known device.
        within_5: Share of rows held out in turn that are predicted within 5 %.
        measured_on: Day of the last measurement that it was fitted on, in UTC.
    """

    predictor: WorkPredictor
    within_5: float
    measured_on: date

    def __post_init__(self) -> None:
        if not 0 <= self.within_5 <= 1:
            raise ValueError(f"a share of {self.within_5!r} within 5 %")

    @property
    def conditions(self) -> Conditions:
        """Under which it holds."""
        return self.predictor.conditions

    @property
    def words(self) -> str:
        """Its conditions without the device."""
        return str(self.conditions).removeprefix(f"{self.conditions.device}, ")

    def to_json(self) -> dict[str, Any]:
        """What it is and how good, without the predictor itself and the facts of the device."""
        conditions, summary = self.conditions, self.predictor.summary
        return {
            "runtime": conditions.runtime,
            "runtime_version": conditions.runtime_version,
            **conditions.settings.to_json(),
            "rows": summary.rows,
            "cross_validated_mape": summary.cross_validated_mape,
            "within_5": self.within_5,
            "measured_on": self.measured_on.isoformat(),
        }


@dataclass(frozen=True, slots=True)
class KnownDevice:
    """Predictors of one device.

    Attributes:
        name: What it is called, in the conditions of its predictors too.
        predictors: At least one, of one piece of hardware, and of each runtime and settings one;
            the runtime to prefer first.

    Raises:
        ValueError: They are none such.
        InputError: A known device cannot be called so.
    """

    name: str
    predictors: tuple[KnownPredictor, ...]

    def __post_init__(self) -> None:
        check_known_name(self.name)
        if not self.predictors:
            raise ValueError("it has no predictor")
        first = self.predictors[0].conditions
        seen = set()
        for conditions in (known.conditions for known in self.predictors):
            if (conditions.device, conditions.platform) != (self.name, first.platform):
                raise ValueError(f"its predictors are of several devices ({conditions.device})")
            place = conditions.runtime, conditions.settings
            if place in seen:
                raise ValueError(f"it has two predictors for {conditions}")
            seen.add(place)

    @property
    def platform(self) -> Mapping[str, str]:
        """Facts that identify its hardware."""
        return dict(self.predictors[0].conditions.platform)

    @property
    def processor(self) -> str:
        """What computes there."""
        return self.platform.get("processor", "unknown processor")

    @property
    def runtimes(self) -> tuple[str, ...]:
        """Names of the runtimes that were measured."""
        return tuple(dict.fromkeys(known.conditions.runtime for known in self.predictors))

    def choose(self, **wanted: Any) -> WorkPredictor:
        """The predictor that agrees with the fields that are given.

        Of several it is the one of the first runtime and of the usual settings, as everywhere
        where nothing is said.

        Args:
            wanted: Fields of `Conditions.to_json` by name; None leaves one open.

        Raises:
            InputError: None agrees, or several do.
        """
        given = {name: value for name, value in wanted.items() if value is not None}
        agreeing = _narrow(self.predictors, given)
        if not agreeing:
            asked = ", ".join(f"{name} {value}" for name, value in given.items())
            raise InputError(
                f"The known device {self.name} was not measured with {asked}: "
                f"choose among {_listed(self.predictors)}."
            )
        usual = {"runtime": agreeing[0].conditions.runtime, **RunSettings().to_json()}
        for name, value in usual.items():
            agreeing = _narrow(agreeing, {name: value}) or agreeing
        if len(agreeing) > 1:
            raise InputError(
                f"The known device {self.name} has {len(agreeing)} predictors that agree "
                f"({_listed(agreeing)}): choose one with --runtime, --precision, --threads, "
                "--batch, --sequence-length."
            )
        return agreeing[0].predictor

    def to_json(self) -> dict[str, Any]:
        """What it is, without the predictors themselves."""
        return {
            "name": self.name,
            "processor": self.processor,
            "platform": dict(self.platform),
            "runtimes": list(self.runtimes),
            "conditions": [known.to_json() for known in self.predictors],
        }


def _narrow(
    predictors: Sequence[KnownPredictor], fields: Mapping[str, Any]
) -> tuple[KnownPredictor, ...]:
    return tuple(
        known
        for known in predictors
        if all(known.conditions.to_json().get(n) == value for n, value in fields.items())
    )


def _listed(predictors: Sequence[KnownPredictor]) -> str:
    return "; ".join(known.words for known in predictors)


def write_known_device(device: KnownDevice, path: Path) -> None:
    """Write a known device; from `read_known_device` its predictors predict the same bits."""
    predictors = [
        {
            "within_5": known.within_5,
            "measured_on": known.measured_on.isoformat(),
            "predictor": document_of(known.predictor),
        }
        for known in device.predictors
    ]
    content = {"name": device.name, "predictors": predictors}
    write_document(path, content, kind=_KIND, format=_FORMAT)


def read_known_device(path: Path) -> KnownDevice:
    """Read a known device.

    Raises:
        BadFile: The file is missing, truncated, foreign, of another format, or was changed.
    """
    document = read_document(path, kind=_KIND, format=_FORMAT)
    try:
        entries = list(document["predictors"])
        predictors = tuple(
            _known_predictor(entry, f"Predictor {number} of {path}")
            for number, entry in enumerate(entries, start=1)
        )
        return KnownDevice(document["name"], predictors)
    except BadFile:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        reason = str(error).rstrip(".")
        raise BadFile(
            f"{path} does not hold a usable known device ({reason}): {_AGAIN}."
        ) from error


def _known_predictor(entry: Mapping[str, Any], where: str) -> KnownPredictor:
    predictor = predictor_of(entry["predictor"], where, again=_AGAIN)
    _check_words(predictor.conditions)
    return KnownPredictor(predictor, entry["within_5"], date.fromisoformat(entry["measured_on"]))


def _check_words(conditions: Conditions) -> None:
    """Make sure that what comes from a stranger can be shown and compared."""
    texts = [conditions.device, conditions.runtime, conditions.runtime_version]
    for text in (*texts, *(word for fact in conditions.platform for word in fact)):
        if not isinstance(text, str) or not text.isprintable():
            raise ValueError(f"{text!r} in place of a word")
    settings = conditions.settings
    counts = settings.threads, settings.batch, settings.sequence_length, settings.streams
    for number in (*counts, *(settings.affinity or ())):
        if type(number) is not int:
            raise ValueError(f"{number!r} in place of a whole number")


def find_known_device(name: str) -> KnownDevice:
    """A known device by name.

    Raises:
        InputError: There is none.
        BadFile: Its file cannot be used.
    """
    path = find_known_file(name)
    if path is None:
        names = ", ".join(known_files())
        raise InputError(
            f"There is no known device {name!r}: "
            + (f"choose one of {names}." if names else "make one with `atb devices bundle`.")
        )
    return _read_named(name, path)


def known_devices() -> list[KnownDevice]:
    """All known devices, in the order of their names.

    Raises:
        BadFile: The file of one cannot be used.
    """
    return [_read_named(name, path) for name, path in known_files().items()]


def _read_named(name: str, path: Path) -> KnownDevice:
    found = read_known_device(path)
    if found.name != name:
        raise BadFile(f"{path} holds the known device {found.name}: call it {found.name}.json.")
    return found
