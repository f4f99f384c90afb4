"""More than latency: where the time of a model goes, and what stands before it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from atb.devices import Device, OperatorTime, RunSettings, Runtime
from atb.devices.runtimes import all_runtimes
from atb.errors import InputError
from atb.profiler import Conditions, Subject
from atb.profiler.campaign.scheduler import ArtefactStore

_OPERATOR_ITERATIONS = 30
_TOKENISATION_ITERATIONS = 200
#: Plain English of many short words, repeated until it fills any sequence.
_TEXT = (
    "The quick measurement of small language models on ordinary devices needs patience, because "
    "neighbours, clocks and caches change what a single number says about the machine. "
)
_CHARACTERS_A_TOKEN = 8  # more than enough for English


@dataclass(frozen=True, slots=True)
class BreakDown:
    """Where the time of one model goes, as the runtime's own profiler says.

    Attributes:
        subject: Which model.
        conditions: Under which.
        operators: The longest first.
    """

    subject: Subject
    conditions: Conditions
    operators: tuple[OperatorTime, ...]

    def by_kind(self) -> dict[str, float]:
        """Share of the time by kind of operator, the largest first."""
        shares: dict[str, float] = {}
        for operator in self.operators:
            shares[operator.operator] = shares.get(operator.operator, 0.0) + operator.share
        return dict(sorted(shares.items(), key=lambda pair: -pair[1]))

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "architecture": str(self.subject),
            "conditions": self.conditions.to_json(),
            "operators": [asdict(operator) for operator in self.operators],
        }


@dataclass(frozen=True, slots=True)
class Tokenisation:
    """What splitting a text into tokens takes, which an end-to-end latency adds.

    Attributes:
        conditions: Under which; the sequence length is that of the text.
        seconds: Median for one text.
        runs: How many were timed.
    """

    conditions: Conditions
    seconds: float
    runs: int

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "conditions": self.conditions.to_json(),
            "tokenisation_seconds": self.seconds,
            "runs": self.runs,
        }


def require_operators(runtime: Runtime) -> None:
    """Make sure that a runtime tells what its operators take.

    Raises:
        InputError: It does not.
    """
    known = all_runtimes()
    telling = [name for name, other in known.items() if other.tells_operators]
    if runtime.name in known and runtime.name not in telling:
        raise InputError(
            f"{runtime.name} does not tell what its operators take: leave --operators out, or give "
            f"--runtime {' or '.join(telling)}."
        )


def break_down(
    device: Device, runtime: Runtime, settings: RunSettings, subjects: Iterable[Subject]
) -> list[BreakDown]:
    """Profile each model once, in a worker of its own; nothing is stored.

    Raises:
        LaunchFailure: The runtime does not tell, or the worker failed.
    """
    conditions, found = Conditions.of(device, runtime, settings), []
    with ArtefactStore(runtime, settings) as artefacts:
        for subject in subjects:
            artefact = artefacts.get(subject)
            with device.launch(runtime, settings) as worker:
                worker.load(str(subject), artefact)
                operators = worker.operators(str(subject), iterations=_OPERATOR_ITERATIONS)
            artefacts.drop(subject)
            found.append(BreakDown(subject, conditions, operators))
    return found


def time_tokenisation(
    device: Device, runtime: Runtime, settings: RunSettings, *, vocabulary: Path
) -> Tokenisation:
    """Time the tokeniser on the device, in a worker that does nothing else; nothing is stored.

    Args:
        device: Where.
        runtime: Its worker does it.
        settings: Sequence length, and sequences in a batch.
        vocabulary: One token a line.

    Raises:
        LaunchFailure: The library is not there, or the worker failed.
    """
    length = settings.sequence_length
    text = _TEXT * (1 + length * _CHARACTERS_A_TOKEN // len(_TEXT))
    with device.launch(runtime, settings) as worker:
        block = worker.tokenise(
            vocabulary,
            text,
            sequence_length=length,
            iterations=_TOKENISATION_ITERATIONS,
        )
    seconds = settings.batch * float(np.median(block.wall_seconds))
    return Tokenisation(Conditions.of(device, runtime, settings), seconds, len(block.wall_seconds))
