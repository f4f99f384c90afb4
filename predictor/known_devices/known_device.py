"""Known devices: what was measured on one, as fitted predictors that others can use without it.

A file of one is JSON of the kind `known-device`:
    known-device 1: name; for each set of conditions the document of a latency-predictor, the share
        of rows held out that it predicts within 5 %, and the day of the last measurement.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atb.devices import RunSettings, check_known_name, find_known_file, known_files
from atb.errors import BadFile, InputError
from atb.files import check_document, read_document, write_document
from atb.predictor import LATENCY_PREDICTOR, PREDICTOR_FORMAT, TrainingSummary, read_checksummed
from atb.profiler import Conditions

if TYPE_CHECKING:
    from atb.predictor import WorkPredictor

_KIND, _FORMAT = "known-device", 1
_REMEDY = "bundle it again with `atb devices bundle`"


@dataclass(frozen=True)
class KnownPredictor:
    """A predictor of one set of conditions, and how good it is.

    The predictor itself is made of its document when it is asked for: a list of what is known
    need not import what predicts.

    Attributes:
        conditions: Under which it holds; they name the known device.
        summary: What it was fitted on, and how well.
        within_5: Share of rows held out in turn that are predicted within 5 %.
        measured_on: Day of the last measurement that it was fitted on, in UTC.
        document: What `atb.predictor.file.document_of` makes of it.
        source: Where it was found, for messages.
    """

    conditions: Conditions
    summary: TrainingSummary
    within_5: float
    measured_on: date
    document: Mapping[str, Any] = field(repr=False)
    source: str = "The predictor"

    def __post_init__(self) -> None:
        if not 0 <= self.within_5 <= 1:
            raise ValueError(f"a share of {self.within_5!r} within 5 %")

    @classmethod
    def of(cls, predictor: WorkPredictor, within_5: float, measured_on: date) -> KnownPredictor:
        """Make one of a fitted predictor."""
        from atb.predictor import document_of

        document = document_of(predictor)
        return cls(predictor.conditions, predictor.summary, within_5, measured_on, document)

    @cached_property
    def predictor(self) -> WorkPredictor:
        """The predictor, made of its document.

        Raises:
            BadFile: The document does not hold a usable one.
        """
        from atb.predictor import predictor_of

        return predictor_of(self.document, self.source, remedy=_REMEDY)

    @property
    def description(self) -> str:
        """Text of its conditions without the device."""
        return str(self.conditions).removeprefix(f"{self.conditions.device}, ")

    def to_json(self) -> dict[str, Any]:
        """Plain values for `--json`, without the predictor itself and the facts of the device."""
        conditions, summary = self.conditions, self.summary
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
        """Name of its processor."""
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
            BadFile: Its file does not hold a usable one.
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
        """Plain values for `--json`, without the predictors themselves."""
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
    return "; ".join(known.description for known in predictors)


def write_known_device(device: KnownDevice, path: Path) -> None:
    """Write a known device; from `read_known_device` its predictors predict the same bits."""
    predictors = [
        {
            "within_5": known.within_5,
            "measured_on": known.measured_on.isoformat(),
            "predictor": known.document,
        }
        for known in device.predictors
    ]
    content = {"name": device.name, "predictors": predictors}
    write_document(path, content, kind=_KIND, format=_FORMAT)


def read_known_device(path: Path) -> KnownDevice:
    """Read a known device; what is in a predictor beyond its summary is read when it is used.

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
            f"{path} does not hold a usable known device ({reason}): {_REMEDY}."
        ) from error


def _known_predictor(entry: Mapping[str, Any], source: str) -> KnownPredictor:
    document = check_document(
        entry["predictor"], source, kind=LATENCY_PREDICTOR, format=PREDICTOR_FORMAT
    )
    conditions, summary = read_checksummed(document, source, _headline, remedy=_REMEDY)
    measured_on = date.fromisoformat(entry["measured_on"])
    return KnownPredictor(conditions, summary, entry["within_5"], measured_on, document, source)


def _headline(content: Mapping[str, Any]) -> tuple[Conditions, TrainingSummary]:
    """Conditions and summary; the conditions can be printed, wherever the file comes from."""
    conditions = Conditions.from_json(content["conditions"])
    texts = [conditions.device, conditions.runtime, conditions.runtime_version]
    for text in (*texts, *(text for fact in conditions.platform for text in fact)):
        if not text.isprintable():
            raise ValueError(f"{text!r} cannot be printed")
    return conditions, TrainingSummary.from_fields(content)


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


def list_known_devices() -> list[KnownDevice]:
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
