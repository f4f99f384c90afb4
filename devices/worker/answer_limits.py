"""How much may come for each request: what a device can leave in the memory of this machine.

JSON takes up to thirty times its bytes when it is read, nearly all of it for what has parts of its
own. So beside the bytes of an answer its parts are counted, before it is read.
"""

from __future__ import annotations

from dataclasses import dataclass

#: The longest line that is taken from any device.
LINE_BYTES = 64 << 20
_BYTES_OF_ITERATION = 256  # six readings as text, with room
_PARTS_OF_ITERATION = 8
_MOST_OPERATORS = 100_000
_PARTS = (b"{", b"[", b":", b",")


@dataclass(frozen=True, slots=True)
class AnswerLimit:
    """How much an answer may be.

    Attributes:
        size_bytes: The most bytes that its line may have.
        parts: Brackets, colons and commas in it: what is read becomes at most so many objects.
    """

    size_bytes: int
    parts: int

    def admits(self, line: bytes) -> bool:
        """Whether a line may be read."""
        return len(line) <= self.size_bytes and sum(map(line.count, _PARTS)) <= self.parts

    def __or__(self, other: AnswerLimit) -> AnswerLimit:
        """What admits whatever one of the two does."""
        return AnswerLimit(max(self.size_bytes, other.size_bytes), max(self.parts, other.parts))


SMALL = AnswerLimit(1 << 16, 4_000)
#: Of a line that was not asked for: how a worker ended, or what a login shell says.
UNASKED = SMALL
#: Of the agent's own answers, by request.
AGENT_LIMITS = {
    "facts": AnswerLimit(1 << 18, 20_000),
    **dict.fromkeys(("state", "clock", "put", "start", "stop"), SMALL),
}
#: Of a worker's answers, by request; those of blocks depend on how many iterations were asked for.
_WORKER_LIMITS = {
    "hello": SMALL,
    "load": AnswerLimit(1 << 18, 20_000),  # builds of libraries
    "output": AnswerLimit(LINE_BYTES, 4_000),  # one text
    "operators": AnswerLimit(8 << 20, 12 * _MOST_OPERATORS),
}


def limit_of_block(iterations: int) -> AnswerLimit:
    """How much the readings of so many iterations may be, of all streams, and before the block."""
    return AnswerLimit(
        min(SMALL.size_bytes + _BYTES_OF_ITERATION * iterations, LINE_BYTES),
        SMALL.parts + _PARTS_OF_ITERATION * iterations,
    )


def limit_of_request(request: str) -> AnswerLimit:
    """How much a worker may answer to a request that is none for a block."""
    return _WORKER_LIMITS[request]
