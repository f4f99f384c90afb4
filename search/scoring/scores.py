"""The file of scores: one line each, written at once, so that a killed search loses nothing.

Format history: 1, the first. A line is a JSON object with `format`, `proxy`, `architecture`,
`score` (null where scoring failed) and `seconds` (what it cost).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

from atb.errors import BadFile, RunError
from atb.models import Architecture
from atb.search.scoring.executors import Executor, LocalExecutor, TimedScore
from atb.search.scoring.proxy import Proxy, RoughProxy

FORMAT = 1


class ScoreFile:
    """Scores of one proxy, kept across runs; a context manager that closes the file."""

    def __init__(self, path: Path, proxy: Proxy, executor: Executor | None = None) -> None:
        """Open or make the file.

        Args:
            path: The file of scores.
            proxy: The proxy that scores.
            executor: Computes the scores of the proxy; this process by default.

        Raises:
            BadFile: It is damaged in another place than its end, or foreign.
        """
        self._path = path
        self._keys = {False: proxy.key}
        if isinstance(proxy, RoughProxy):
            self._keys[True] = proxy.rough_key
        self._executor = executor or LocalExecutor(proxy)
        self._scores = {rough: _read(path, key) for rough, key in self._keys.items()}
        self._file = path.open("a", encoding="utf-8")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    @property
    def has_rough(self) -> bool:
        """Whether the proxy tells rough scores."""
        return True in self._scores

    def score(self, architecture: Architecture) -> float | None:
        """The known score, or a new one that is on disk before it is returned."""
        ((_, score),) = self.score_all([architecture])
        return score

    def score_all(
        self, architectures: Sequence[Architecture], *, rough: bool = False
    ) -> Iterator[tuple[Architecture, float | None]]:
        """Known scores first, then new ones as they come, each on disk before it is told.

        Args:
            architectures: Architectures to score.
            rough: Whether by a small part of the data; only where `has_rough`.

        Raises:
            RunError: The disk is full, or the executor failed.
        """
        known = self._scores[rough]
        yield from ((a, known[a]) for a in architectures if a in known)
        missing = [a for a in architectures if a not in known]
        for found in self._executor.scores(missing, rough=rough) if missing else ():
            self._keep(found, rough=rough)
            yield found[:2]

    def _keep(self, found: TimedScore, *, rough: bool) -> None:
        architecture, score, seconds = found
        entry = {
            "format": FORMAT,
            "proxy": self._keys[rough],
            "architecture": str(architecture),
            "score": score,
            "seconds": round(seconds, 6),
        }
        try:
            self._file.write(json.dumps(entry, allow_nan=False) + "\n")
            self._file.flush()
        except OSError as error:
            raise RunError(
                f"Cannot write to {self._path} ({error.strerror}): make room and search again; "
                "the scores until now are kept."
            ) from error
        self._scores[rough][architecture] = score


def _read(path: Path, key: str) -> dict[Architecture, float | None]:
    """Scores of one proxy; a last line that a killed run left half written is cut off."""
    if not path.exists():
        return {}
    try:
        content = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadFile(f"{path} cannot be read ({error}): move it away.") from error
    whole, _, torn = content.rpartition("\n")
    if torn:
        with path.open("r+", encoding="utf-8") as file:
            file.truncate(len(whole.encode()) + (1 if whole else 0))
    scores: dict[Architecture, float | None] = {}
    for number, line in enumerate(whole.splitlines(), start=1):
        try:
            entry: dict[str, Any] = json.loads(line)
            if entry["format"] != FORMAT:
                raise ValueError(f"format {entry['format']}, this version reads {FORMAT}")
            if entry["proxy"] == key:
                score = entry["score"]
                architecture = Architecture.parse(entry["architecture"])
                scores[architecture] = None if score is None else float(score)
        except (KeyError, TypeError, ValueError) as error:
            raise BadFile(
                f"{path}:{number} is not a score ({error}): remove the line, or move the file away."
            ) from error
    return scores
