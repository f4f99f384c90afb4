"""Who is hopeless, told by a score of a small part of the data, so that the rest can be spared.

The rough score of a slice and its whole one are of the same sort of text and lie near a line. How
near is learnt from candidates for which both are known. One is hopeless when even the upper end of
what its rough score lets expect would not bring it among the finalists; it keeps what is expected,
of which a surrogate learns as much. Racing of this kind: Maron and Moore 1994; with what is learnt
of a line as in control variates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from atb.models import Architecture
from atb.search.scoring.scores import ScoreFile

__all__ = ["Scores", "Screening", "score_generation"]

#: Candidates with both scores below which nobody is called hopeless.
FEWEST_PAIRS = 15
#: Deviations from the line that are granted to a candidate. On 955 scored slices of `mini` ten
#: searches all ended at the very best with it (benchmarks/searching/search_methods.py).
_DEVIATIONS = 2.0

Scores = Mapping[Architecture, float | None]


class Screening:
    """Learns how whole scores follow from rough ones, and tells who cannot be among the best."""

    def __init__(self, places: int) -> None:
        """Know nothing yet.

        Args:
            places: How many of the best must not be lost.
        """
        self._places = places
        self._pairs: dict[Architecture, tuple[float, float]] = {}
        self._whole: list[float] = []

    @property
    def unsure(self) -> int:
        """How many more must be scored whole before anybody is called hopeless."""
        return max(0, FEWEST_PAIRS - len(self._pairs), self._places - len(self._whole))

    def begin(self) -> None:
        """Other candidates compete from now on; what the line is stays known."""
        self._whole = []

    def learn(self, rough: Scores, whole: Scores) -> None:
        """Take in the scores of those that were not hopeless; failed ones are left out."""
        known = {a: score for a, score in whole.items() if score is not None}
        self._whole += known.values()
        self._pairs |= {a: (first, known[a]) for a in known if (first := rough.get(a)) is not None}

    def hopeless(self, rough: Scores) -> dict[Architecture, float]:
        """Those that will not be among the best, with the whole scores that are to be expected."""
        told = {a: score for a, score in rough.items() if score is not None}
        if self.unsure or not told:
            return {}
        x, y = np.array([*self._pairs.values()]).T
        centre = x.mean()
        slope = float(((x - centre) * y).sum() / max(((x - centre) ** 2).sum(), 1e-300))
        residual = y - y.mean() - slope * (x - centre)
        deviation = float(np.sqrt((residual**2).sum() / (len(x) - 2)))
        bar = sorted(self._whole)[-self._places]
        expected = {a: float(y.mean() + slope * (score - centre)) for a, score in told.items()}
        return {a: e for a, e in expected.items() if e + _DEVIATIONS * deviation < bar}


def score_generation(
    generation: Sequence[Architecture],
    scores: ScoreFile,
    screening: Screening | None,
    *,
    keep: Callable[[Architecture], bool],
    tell: Callable[[Architecture, int], None],
) -> tuple[dict[Architecture, float | None], dict[Architecture, float]]:
    """Score a generation, in part where that is enough.

    Args:
        generation: Whom to score.
        scores: Where scores come from.
        screening: What is known of who is hopeless; None to score all of them whole.
        keep: Who is scored whole in any case.
        tell: Told who was scored whole, and how many were dealt with.

    Returns:
        All scores, those of hopeless ones expected, in the order of the generation: whoever was
        ready first, results must not depend on it. And who of them is hopeless.
    """
    found: dict[Architecture, float | None] = {}
    hopeless: dict[Architecture, float] = {}
    sure = len(generation) if screening is None else screening.unsure
    for part in (generation[:sure], generation[sure:]):
        rough: Scores = {}
        if screening is not None:
            rough = dict(scores.score_all(part, rough=True))
            expected = screening.hopeless(rough)
            hopeless |= {a: score for a, score in expected.items() if not keep(a)}
        whole: dict[Architecture, float | None] = {}
        for architecture, score in scores.score_all([a for a in part if a not in hopeless]):
            whole[architecture] = score
            tell(architecture, len(found) + len(whole))
        if screening is not None:
            screening.learn(rough, {a: whole[a] for a in part if a in whole})
        found |= {a: hopeless[a] if a in hopeless else whole[a] for a in part}
    return found, hopeless
