"""What `atb compare` compares, read from words such as `tinybert-4,precision=int8`."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atb.commands.arguments.target import DEFAULT_PRECISION, choose_precision
from atb.errors import InputError

if TYPE_CHECKING:
    from atb.commands.arguments.target import TargetOptions
    from atb.devices import Device
    from atb.devices.runtimes import ArtefactCache
    from atb.profiler.comparison import Side

__all__ = ["parse_side"]

#: Settings that a side may have of its own, named as the options are, and what they are read as.
_SETTINGS: dict[str, type[str] | type[int]] = {
    "runtime": str,
    "precision": str,
    "threads": int,
    "batch": int,
    "sequence-length": int,
    "affinity": str,
}
#: A comma that begins a setting; lists of CPUs and names of files may have commas of their own.
_SEPARATOR = re.compile(r",(?=[\w-]+=)")
_MODEL_SUFFIX = ".onnx"


def parse_side(
    text: str, options: TargetOptions, cache: ArtefactCache | None = None
) -> tuple[Device, Side]:
    """Read one of the two: an architecture, a known name or FILE.onnx, and settings of its own.

    Args:
        text: Such as `minilm-6,threads=2` or `model.onnx`.
        options: The device, and the settings that hold where it has none of its own.
        cache: Where built models are kept.

    Returns:
        The device, and the side of a `ComparisonResult` on it.

    Raises:
        InputError: A part of it is unknown or impossible.
    """
    from atb.models import resolve
    from atb.profiler import ModelFile, Subject
    from atb.profiler.comparison import Side

    name, *parts = _SEPARATOR.split(text)
    own: dict[str, Any] = dict(_setting(part, text) for part in parts)
    subject: Subject
    if name.lower().endswith(_MODEL_SUFFIX):
        if "precision" in own:
            raise InputError(f"{text!r}: a file is timed as it is; leave its precision out.")
        subject = ModelFile.of(Path(name))
    else:
        subject = resolve(name)
    asked = own.get("precision", options.precision)
    if isinstance(subject, ModelFile):
        own["precision"] = DEFAULT_PRECISION
    target = replace(options, **own).find(cache)
    precision = choose_precision(subject, target.runtime, asked)
    return target.device, Side(
        subject, target.runtime, replace(target.settings, precision=precision)
    )


def _setting(part: str, text: str) -> tuple[str, str | int]:
    name, _, value = part.partition("=")
    if name not in _SETTINGS:
        raise InputError(f"{text!r} sets {name!r}: a side may set {', '.join(_SETTINGS)}.")
    try:
        return name.replace("-", "_"), _SETTINGS[name](value)
    except ValueError as error:
        raise InputError(f"{text!r} sets {name} to {value!r}: give a whole number.") from error
