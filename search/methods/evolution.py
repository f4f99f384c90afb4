"""AutoTinyBERT's evolution: mutants of the best, and fresh draws."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import numpy.typing as npt

from atb.search.methods.generations import Generations
from atb.search.methods.mutation import Mutation


def roulette(scores: npt.NDArray[np.float64], rng: np.random.Generator) -> int:
    """Draw a parent: its chance is its score above the worst one.

    Args:
        scores: Scores of the parents [n], finite, at least one.
        rng: Source of the draw.

    Returns:
        Its position; 0 when all scores are equal. A unique worst parent is never drawn.
    """
    weights = scores - scores.min()
    total = weights.sum()
    if not total > 0:
        return 0
    return int(rng.choice(len(weights), p=weights / total))


class Evolution(Generations):
    """Mutation-only evolution with exploration (AutoTinyBERT's reference algorithm).

    The first generation is drawn uniformly. Each later one is filled, one by one, with a uniform
    draw (probability `exploration`) or a mutant of a parent that roulette picks among the best.
    """

    @cached_property
    def _mutation(self) -> Mutation:
        return Mutation(self.candidates)

    def propose(self) -> list[int]:
        """Mutants of the best, and uniform draws."""
        parents = sorted(self.scores, key=lambda parent: (-self.scores[parent], parent))
        parents = parents[: self.settings.generation_size]
        scores = np.array([self.scores[parent] for parent in parents])
        chosen = []
        for _ in range(self.settings.generation_size):
            position = None
            if parents and self.rng.random() >= self.settings.exploration:
                parent = parents[roulette(scores, self.rng)]
                position = self._mutation.draw(parent, self.seen, self.rng)
            if position is None:
                position = self.explore()
            self.seen[position] = True
            chosen.append(position)
        return chosen
