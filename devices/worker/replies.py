"""What a device sends, checked before anything is made of it.

A worker of this machine is read as strictly as one of a stranger's board: what it sends becomes
records that are kept. Every `parse_...` raises ProtocolError where something else came.
"""

from __future__ import annotations

import contextlib
import json
import math
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, NotRequired, TypedDict

from msgspec import Meta

from atb.devices import COARSE_CLOCK, Block, LaunchFailure, Loaded, OperatorTime
from atb.devices.host import STATE_FIELDS
from atb.devices.worker.answer_limits import AnswerLimit
from atb.plain import from_plain, to_plain

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_MOST_CPUS = 4096

_Text = Annotated[str, Meta(max_length=500)]  # that is kept
_LongText = Annotated[str, Meta(max_length=2000)]
_Name = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9_.-]{1,64}\Z")]
_Finite = Annotated[float, Meta(ge=-sys.float_info.max, le=sys.float_info.max)]
_Number = Annotated[float, Meta(ge=0, le=sys.float_info.max)]
#: Of one reading, and of a clock that counts from 1970: sums of so many stay numbers.
_Seconds = Annotated[float, Meta(ge=0, le=1e12)]
_Whole = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]  # that a database holds
_Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]


class _Loaded(TypedDict):
    load_seconds: _Number
    first_seconds: _Number
    providers: Annotated[tuple[_Text, ...], Meta(max_length=64)]
    output_checksum: _Finite
    memory_bytes: NotRequired[_Count | None]
    vocabulary_size: NotRequired[_Count | None]


class _Block(TypedDict):
    started_at: _Seconds
    wall_seconds: tuple[_Seconds, ...]
    cpu_seconds: tuple[_Seconds, ...]
    voluntary_switches: tuple[_Count, ...]
    involuntary_switches: tuple[_Count, ...]
    warmup_seconds: tuple[_Seconds, ...]
    wait_seconds: tuple[_Seconds, ...]
    process_cpu_seconds: tuple[_Seconds, ...]
    minor_faults: NotRequired[_Count | None]
    major_faults: NotRequired[_Count | None]
    span_seconds: NotRequired[_Seconds | None]


class _Operator(TypedDict):
    operator: _Text
    name: _LongText
    seconds: _Number
    count: _Count
    share: _Number


class _Output(TypedDict):
    shape: Annotated[tuple[_Count, ...], Meta(max_length=8)]
    values: bytes  # which come as base64


#: What a block always tells by iteration, and what it tells where the system does.
_ALWAYS = ("wall_seconds", "cpu_seconds", "voluntary_switches", "involuntary_switches")
_WHERE_TOLD = ("wait_seconds", "process_cpu_seconds")
_NO_READINGS: Mapping[str, list[float]] = {
    n: [] for n in (*_ALWAYS, *_WHERE_TOLD, "warmup_seconds")
}


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


def _parse(kind: Any, value: Any) -> Any:
    """A value of this type and within its limits; NumPy's numbers are numbers."""
    try:
        return from_plain(kind, value)
    except ValueError as error:
        with contextlib.suppress(ValueError, TypeError, NotImplementedError):
            return from_plain(kind, to_plain(value))  # of a device in this process
        raise ProtocolError(f"{_short(value)} ({error})") from error


def parse_text(value: Any, what: str, *, most: int = 500) -> str:
    """A text of printable characters."""
    if not isinstance(value, str) or len(value) > most or not value.isprintable():
        raise ProtocolError(f"{_short(value)} as {what}")
    return value


def parse_number(value: Any, what: str) -> float:
    """A finite number that is not negative."""
    try:
        number: float = _parse(_Number, value)
    except ProtocolError as error:
        raise ProtocolError(f"{_short(value)} as {what}") from error
    return number


def parse_failure(answer: Mapping[str, Any]) -> LaunchFailure:
    """What a worker answers where it cannot do its work."""
    cause, detail = answer["cause"], answer.get("detail")
    if cause not in LaunchFailure.CAUSES or not isinstance(detail, str):
        raise ProtocolError(f"the failure {_short(cause)}: {_short(detail)}")
    return LaunchFailure(cause, detail)


def parse_loaded(answer: Mapping[str, Any]) -> Loaded:
    """What loading showed."""
    loaded = Loaded(**_parse(_Loaded, answer))
    for provider in loaded.providers:
        parse_text(provider, "a provider")
    return loaded


def parse_builds(answer: Any) -> dict[str, str]:
    """Builds of libraries by name."""
    return _texts(_LongText, {} if answer is None else answer)


def parse_block(answer: Mapping[str, Any], *, iterations: int, warmup: int | None) -> Block:
    """Readings of a block of so many iterations.

    Args:
        answer: The fields of `Block`.
        iterations: How many there must be.
        warmup: How many before; None for any number.
    """
    strangers = answer.keys() - _Block.__annotations__.keys()
    if strangers:
        raise ProtocolError(f"the reading {_short(min(strangers))}")
    fields = _parse(_Block, {**_NO_READINGS, **answer})
    lengths: dict[str, tuple[int, ...]] = {
        **dict.fromkeys(_ALWAYS, (iterations,)),
        **dict.fromkeys(_WHERE_TOLD, (0, iterations)),
    }
    if warmup is not None:
        lengths["warmup_seconds"] = (warmup,)
    for name, wanted in lengths.items():
        if len(fields[name]) not in wanted:
            raise ProtocolError(f"{len(fields[name])} readings of {name}")
    if not min(fields["wall_seconds"], default=1.0) > 0:
        raise ProtocolError(f"0 s for an iteration: {COARSE_CLOCK}")
    return Block(**fields)


def parse_operators(answer: Mapping[str, Any]) -> tuple[OperatorTime, ...]:
    """Where the time goes."""
    rows = _parse(Annotated[list[_Operator], Meta(max_length=100_000)], answer.get("operators"))
    for row in rows:
        parse_text(row["operator"] + row["name"], "an operator", most=sys.maxsize)
    return tuple(OperatorTime(**row) for row in rows)


def parse_output(answer: Mapping[str, Any]) -> npt.NDArray[np.float32]:
    """The first output: float32 of the shape that it tells."""
    output = _parse(_Output, answer)
    shape, values = output["shape"], output["values"]
    if len(values) != 4 * math.prod(shape):
        raise ProtocolError(f"{len(values)} bytes of output for the shape {list(shape)}")
    import numpy as np

    return np.frombuffer(values, dtype="<f4").reshape(shape)


def parse_facts(value: Any) -> dict[str, str]:
    """Facts that identify a machine, or versions by name: short texts."""
    return _texts(_Text, value)


def parse_clusters(value: Any) -> tuple[tuple[int, ...], ...]:
    """Groups of CPUs, none of them twice."""
    groups: tuple[tuple[int, ...], ...] = _parse(tuple[tuple[_Count, ...], ...], value)
    cpus = [cpu for group in groups for cpu in group]
    if len(cpus) > _MOST_CPUS or len(set(cpus)) < len(cpus):
        raise ProtocolError(f"{_short(value)} as groups of CPUs")
    return groups


def parse_state(value: Any) -> dict[str, Any]:
    """Readings of `STATE_FIELDS`: numbers, short texts, or None."""
    readings = _parse(dict[str, _Whole | _Finite | _Text | None], value)
    if not readings.keys() <= set(STATE_FIELDS):
        raise ProtocolError(f"{_short(value)} as its state")
    for name, reading in readings.items():
        if isinstance(reading, str):
            parse_text(reading, name)
    return {**dict.fromkeys(STATE_FIELDS), **readings}


def _texts(kind: Any, value: Any) -> dict[str, str]:
    texts: dict[str, str] = _parse(Annotated[dict[_Name, kind], Meta(max_length=64)], value)
    return {name: parse_text(text, name, most=sys.maxsize) for name, text in texts.items()}


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}..."
