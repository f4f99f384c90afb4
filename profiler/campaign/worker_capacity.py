"""How many models one worker may hold, on machines whose memory is small."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

from atb.devices import RunSettings
from atb.profiler import ModelFile, Subject
from atb.profiler.campaign.plan import size_bytes

__all__ = ["WorkerCapacity"]

_BYTES_EACH = 4
#: What is read from a file and what the runtime makes of it may both stay.
_COPIES = 2
#: Of the memory that is available; the rest is for the runtime, the sentinels, and wrong estimates.
_SHARE = 0.5
#: Of what was loaded when memory ran out: models of the same size differ in what they take.
_SAFE_SHARE = 0.9


class WorkerCapacity:
    """What the models of one worker may take together.

    Args:
        settings: Of which batch and length decide how large intermediate values are.
        known_bytes: What a model took when it was loaded before; None where nobody told.
    """

    def __init__(self, settings: RunSettings, known_bytes: Callable[[Subject], int | None]) -> None:
        self._settings = settings
        self._known_bytes = known_bytes
        self._available = math.inf
        self._shown = math.inf  # what was seen not to fit

    @property
    def limit_bytes(self) -> float:
        """By `needed_bytes`; a model that needs more has a worker of its own."""
        return min(self._available, self._shown)

    def tell_available(self, available_bytes: float | None) -> None:
        """Take what the device says of its memory now; None where it does not."""
        if available_bytes is not None:
            self._available = _SHARE * available_bytes

    def tell_short(self, company: Iterable[Subject], loaded: Iterable[Subject]) -> None:
        """Learn that memory ran out, or may have.

        Args:
            company: All that were to share the worker.
            loaded: Those that it held by then.
        """
        held = _SAFE_SHARE * sum(map(self.needed_bytes, loaded))
        half = sum(map(self.needed_bytes, company)) / 2
        self._shown = min(self._shown, held or half)

    def parts(self, group: Sequence[Subject], most_members: int) -> list[list[Subject]]:
        """A group as consecutive parts that fit; what does not fit even alone stands alone."""
        parts: list[list[Subject]] = []
        needed = 0.0
        for subject in group:
            own = self.needed_bytes(subject)
            if not parts or len(parts[-1]) == most_members or needed + own > self.limit_bytes:
                parts.append([])
                needed = 0.0
            parts[-1].append(subject)
            needed += own
        return parts

    def needed_bytes(self, subject: Subject) -> float:
        """What a model takes, as it was seen or else by its shape."""
        known = self._known_bytes(subject)
        return known or _COPIES * size_bytes(subject) + _values_bytes(subject, self._settings)


def _values_bytes(subject: Subject, settings: RunSettings) -> int:
    """About what one layer's intermediate values take; a model file does not tell its widths."""
    if isinstance(subject, ModelFile):
        return 0
    tokens = settings.streams * settings.batch * settings.sequence_length
    a = subject
    widths = 4 * a.hidden + 3 * a.qkv + 2 * a.feed_forward + 2 * a.heads * settings.sequence_length
    return _BYTES_EACH * tokens * widths
