"""What a device sends, checked before anything is made of it.

A worker of this machine is read as strictly as one of a stranger's board: what it sends becomes
records that are kept. Every `parse_...` raises ProtocolError where something else came.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from atb.devices import COARSE_CLOCK, Block, LaunchFailure, Loaded, OperatorTime
from atb.devices.host import STATE_FIELDS
from atb.devices.worker.answer_limits import AnswerLimit

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = [
    "ProtocolError",
    "parse_block",
    "parse_builds",
    "parse_clusters",
    "parse_facts",
    "parse_failure",
    "parse_line",
    "parse_loaded",
    "parse_number",
    "parse_operators",
    "parse_output",
    "parse_state",
    "parse_text",
]

_MOST_CHARACTERS = 500  # of one text that is kept
_MOST_ENTRIES = 64  # of a mapping
_MOST_OPERATORS = 100_000
_MOST_CPUS = 4096
_MOST_DIMENSIONS = 8
_MOST_COUNT = 2**63 - 1  # that a database holds
#: Of one reading, and of a clock that counts from 1970: sums of so many stay numbers.
_MOST_SECONDS = 1e12
#: What a block always tells, and what it tells where the system does; by iteration.
_ALWAYS = ("wall_seconds", "cpu_seconds", "voluntary_switches", "involuntary_switches")
_WHERE_TOLD = ("wait_seconds", "process_cpu_seconds")
_COUNTS = ("voluntary_switches", "involuntary_switches")
_BLOCK_FIELDS = (*_ALWAYS, *_WHERE_TOLD, "warmup_seconds", "started_at", "span_seconds")
_FAULTS = ("minor_faults", "major_faults")
_BLOCK_NAMES = frozenset((*_BLOCK_FIELDS, *_FAULTS))
_WHOLE, _NUMBERS = frozenset({int}), frozenset({int, float})
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class ProtocolError(ValueError):
    """A device sent what it should not; the text says what."""


def parse_line(line: bytes | str, limit: AnswerLimit | None = None) -> dict[str, Any]:
    """A JSON object of finite numbers.

    Args:
        line: The bytes or the text that came.
        limit: How much was asked for, of what comes from a device.
    """
    if limit is not None and isinstance(line, bytes) and not limit.admits(line):
        raise ProtocolError(f"{len(line):,} bytes, more than was asked for: {line[:80]!r}")
    try:
        answer = _JSON.decode(line.decode() if isinstance(line, bytes) else line)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"{line[:80]!r}") from error
    if not isinstance(answer, dict):
        raise ProtocolError(f"{line[:80]!r}")
    return answer


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no number")


_JSON = json.JSONDecoder(parse_constant=_refuse_constant)


def parse_text(value: Any, what: str, *, most: int = _MOST_CHARACTERS) -> str:
    """A text of printable characters."""
    if not isinstance(value, str) or len(value) > most or not value.isprintable():
        raise ProtocolError(f"{_short(value)} as {what}")
    return value


def parse_number(value: Any, what: str, *, least: float = 0.0) -> float:
    """A finite number."""
    try:
        number = float(value) if _is_number(value) else math.nan
    except OverflowError:
        number = math.nan
    if not (math.isfinite(number) and number >= least):
        raise ProtocolError(f"{_short(value)} as {what}")
    return number


def parse_failure(answer: Mapping[str, Any]) -> LaunchFailure:
    """What a worker answers where it cannot do its work."""
    cause, detail = answer["cause"], answer.get("detail")
    if cause not in LaunchFailure.CAUSES or not isinstance(detail, str):
        raise ProtocolError(f"the failure {_short(cause)}: {_short(detail)}")
    return LaunchFailure(cause, detail)


def parse_loaded(answer: Mapping[str, Any]) -> Loaded:
    """What loading showed."""
    providers, memory = answer.get("providers"), answer.get("memory_bytes")
    vocabulary = answer.get("vocabulary_size")
    if not isinstance(providers, list) or len(providers) > _MOST_ENTRIES:
        raise ProtocolError(f"{_short(providers)} as providers")
    return Loaded(
        parse_number(answer.get("load_seconds"), "load_seconds"),
        parse_number(answer.get("first_seconds"), "first_seconds"),
        tuple(parse_text(provider, "a provider") for provider in providers),
        parse_number(answer.get("output_checksum"), "output_checksum", least=-math.inf),
        None if memory is None else _count(memory, "memory_bytes"),
        None if vocabulary is None else _count(vocabulary, "vocabulary_size"),
    )


def parse_builds(answer: Any) -> dict[str, str]:
    """Builds of libraries by name."""
    return _texts({} if answer is None else answer, "builds", most=4 * _MOST_CHARACTERS)


def parse_block(answer: Mapping[str, Any], *, iterations: int, warmup: int | None) -> Block:
    """Readings of a block of so many iterations.

    Args:
        answer: The fields of `Block`.
        iterations: How many there must be.
        warmup: How many before; None for any number.
    """
    strangers = answer.keys() - _BLOCK_NAMES
    if strangers:
        raise ProtocolError(f"the reading {_short(min(strangers))}")
    fields: dict[str, Any] = {
        "started_at": _seconds(answer.get("started_at"), "started_at"),
        "warmup_seconds": _readings(answer, "warmup_seconds", {warmup}),
    }
    for name in _ALWAYS:
        fields[name] = _readings(answer, name, {iterations})
    if not min(fields["wall_seconds"], default=1.0) > 0:
        raise ProtocolError(f"0 s for an iteration: {COARSE_CLOCK}")
    for name in _WHERE_TOLD:
        fields[name] = _readings(answer, name, {0, iterations})
    for name in _FAULTS:
        if answer.get(name) is not None:
            fields[name] = _count(answer[name], name)
    if answer.get("span_seconds") is not None:
        fields["span_seconds"] = _seconds(answer["span_seconds"], "span_seconds")
    return Block(**fields)


def _seconds(value: Any, name: str) -> float:
    number = parse_number(value, name)
    if number > _MOST_SECONDS:
        raise ProtocolError(f"{number} as {name}")
    return number


def _readings(
    answer: Mapping[str, Any], name: str, lengths: set[int] | set[int | None]
) -> tuple[float, ...]:
    values = answer.get(name, [])
    if not isinstance(values, list) or not (None in lengths or len(values) in lengths):
        length = len(values) if isinstance(values, list) else _short(values)
        raise ProtocolError(f"{length} readings of {name}")
    # whole lists at a time: millions of readings are decoded with every look into a database
    kinds, most = (_WHOLE, _MOST_COUNT) if name in _COUNTS else (_NUMBERS, _MOST_SECONDS)
    found = set(map(type, values))
    if values and not (found <= kinds and 0 <= min(values) <= max(values) <= most):
        raise ProtocolError(f"{_short(values)} as {name}")
    return tuple(values if name in _COUNTS or int not in found else map(float, values))


def parse_operators(answer: Mapping[str, Any]) -> tuple[OperatorTime, ...]:
    """Where the time goes."""
    rows = answer.get("operators")
    if not isinstance(rows, list) or len(rows) > _MOST_OPERATORS:
        raise ProtocolError(f"{_short(rows)} as operators")
    if not all(isinstance(row, dict) for row in rows):
        raise ProtocolError("an operator that is no object")
    return tuple(
        OperatorTime(
            parse_text(row.get("operator"), "an operator"),
            parse_text(row.get("name"), "an operator's name", most=4 * _MOST_CHARACTERS),
            parse_number(row.get("seconds"), "seconds"),
            _count(row.get("count"), "count"),
            parse_number(row.get("share"), "share"),
        )
        for row in rows
    )


def parse_output(answer: Mapping[str, Any]) -> npt.NDArray[np.float32]:
    """The first output: float32 of the shape that it tells."""
    shape, text = answer.get("shape"), answer.get("values")
    if not isinstance(shape, list) or len(shape) > _MOST_DIMENSIONS or not isinstance(text, str):
        raise ProtocolError(f"an output of the shape {_short(shape)}")
    sizes = [_count(size, "a size of the output") for size in shape]
    try:
        values = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ProtocolError("an output that is no base64") from error
    if len(values) != 4 * math.prod(sizes):
        raise ProtocolError(f"{len(values)} bytes of output for the shape {sizes}")
    import numpy as np

    return np.frombuffer(values, dtype="<f4").reshape(sizes)


def parse_facts(value: Any) -> dict[str, str]:
    """Facts that identify a machine, or versions by name: short texts."""
    return _texts(value, "facts", most=_MOST_CHARACTERS)


def parse_clusters(value: Any) -> tuple[tuple[int, ...], ...]:
    """Groups of CPUs, none of them twice."""
    if not isinstance(value, list) or not all(isinstance(group, list) for group in value):
        raise ProtocolError(f"{_short(value)} as groups of CPUs")
    groups = tuple(tuple(_count(cpu, "a CPU") for cpu in group) for group in value)
    cpus = [cpu for group in groups for cpu in group]
    if len(cpus) > _MOST_CPUS or len(set(cpus)) < len(cpus):
        raise ProtocolError(f"{_short(value)} as groups of CPUs")
    return groups


def parse_state(value: Any) -> dict[str, Any]:
    """Readings of `STATE_FIELDS`: numbers, short texts, or None."""
    if not isinstance(value, dict) or not set(value) <= set(STATE_FIELDS):
        raise ProtocolError(f"{_short(value)} as its state")
    readings: dict[str, Any] = dict.fromkeys(STATE_FIELDS)
    for name, reading in value.items():
        if isinstance(reading, str):
            readings[name] = parse_text(reading, name)
        elif reading is not None:
            parse_number(reading, name, least=-math.inf)
            readings[name] = reading
    return readings


def _texts(value: Any, what: str, *, most: int) -> dict[str, str]:
    if not isinstance(value, dict) or len(value) > _MOST_ENTRIES:
        raise ProtocolError(f"{_short(value)} as {what}")
    for name in value:
        if not _NAME.fullmatch(name):
            raise ProtocolError(f"the name {_short(name)} among {what}")
    return {name: parse_text(text, name, most=most) for name, text in value.items()}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _count(value: Any, what: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**63:
        raise ProtocolError(f"{_short(value)} as {what}")
    return value


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}..."
