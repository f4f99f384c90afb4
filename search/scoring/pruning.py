"""Candidates that cannot become finalists are found by a score of a small part of the data.

The rough score of a slice and its whole one are of the same sort of text and lie near a line. How
near is learnt from candidates for which both are known. A candidate is pruned when even the upper
end of what its rough score lets expect would not bring it among the finalists; it keeps the
expected score, of which a surrogate learns as much. Racing of this kind: Maron and Moore 1994; with
what is learnt of a line as in control variates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from atb.models import Architecture
from atb.search.scoring.scores import ScoreFile

#: Candidates with both scores below which none is pruned.
FEWEST_PAIRS = 15
#: Deviations from the line that are granted to a candidate. On 955 scored slices of `mini` ten
#: searches all ended at the very best with it (benchmarks/searching/search_methods.py).
_DEVIATIONS = 2.0

Scores = Mapping[Architecture, float | None]


class Pruning:
    """Learns how whole scores follow from rough ones, and finds what cannot be among the best."""

    def __init__(self, finalists: int) -> None:
        """Begin without any scores.

        Args:
            finalists: How many of the best must not be lost.
        """
        self._finalists = finalists
        self._pairs: dict[Architecture, tuple[float, float]] = {}
        self._whole: list[float] = []

    @property
    def unsure(self) -> int:
        """How many more must be scored whole before any is pruned."""
        return max(0, FEWEST_PAIRS - len(self._pairs), self._finalists - len(self._whole))

    def begin(self) -> None:
        """Other candidates compete from now on; what the line is stays known."""
        self._whole = []

    def learn(self, rough: Scores, whole: Scores) -> None:
        """Take in the scores of those that were not pruned; failed ones are left out."""
        known = {a: score for a, score in whole.items() if score is not None}
        self._whole += known.values()
        self._pairs |= {a: (first, known[a]) for a in known if (first := rough.get(a)) is not None}

    def prune(self, rough: Scores) -> dict[Architecture, float]:
        """Find those that will not be among the best; returns their expected whole scores."""
        told = {a: score for a, score in rough.items() if score is not None}
        if self.unsure or not told:
            return {}
        x, y = np.array([*self._pairs.values()]).T
        centre = x.mean()
        slope = float(((x - centre) * y).sum() / max(((x - centre) ** 2).sum(), 1e-300))
        residual = y - y.mean() - slope * (x - centre)
        deviation = float(np.sqrt((residual**2).sum() / (len(x) - 2)))
        bar = sorted(self._whole)[-self._finalists]
        expected = {a: float(y.mean() + slope * (score - centre)) for a, score in told.items()}
        return {a: e for a, e in expected.items() if e + _DEVIATIONS * deviation < bar}


def score_generation(
    generation: Sequence[Architecture],
    scores: ScoreFile,
    pruning: Pruning | None,
    *,
    keep: Callable[[Architecture], bool],
    tell: Callable[[Architecture, int], None],
) -> tuple[dict[Architecture, float | None], dict[Architecture, float]]:
    """Score a generation, in part where that is enough.

    Args:
        generation: Candidates to score.
        scores: Knows or computes their scores.
        pruning: What is known of rough scores; None to score all candidates whole.
        keep: Whether a candidate is scored whole in any case.
        tell: Called with each candidate that was scored whole, and how many are done.

    Returns:
        All scores, in the order of the generation whatever was ready first, so that results do not
        depend on it; and the expected scores of those that were pruned.
    """
    found: dict[Architecture, float | None] = {}
    pruned: dict[Architecture, float] = {}
    sure = len(generation) if pruning is None else pruning.unsure
    for part in (generation[:sure], generation[sure:]):
        rough: Scores = {}
        if pruning is not None:
            rough = dict(scores.score_all(part, rough=True))
            expected = pruning.prune(rough)
            pruned |= {a: score for a, score in expected.items() if not keep(a)}
        whole: dict[Architecture, float | None] = {}
        for architecture, score in scores.score_all([a for a in part if a not in pruned]):
            whole[architecture] = score
            tell(architecture, len(found) + len(whole))
        if pruning is not None:
            pruning.learn(rough, {a: whole[a] for a in part if a in whole})
        found |= {a: pruned[a] if a in pruned else whole[a] for a in part}
    return found, pruned
