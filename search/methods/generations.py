"""What methods share that move by generations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from atb.errors import InputError
from atb.models import Architecture
from atb.search import MethodSettings, Scored
from atb.search.constraints import Candidates


class Generations:
    """A method that proposes one generation after the other; subclasses say which by `propose`.

    Attributes:
        candidates: Architectures within the limits, numbered from 0 to n - 1.
        rng: Source of all random draws.
        settings: Size and number of generations, and how boldly to explore.
        seen: Whether a candidate was proposed, bool [n].
        scores: Scores by architecture, higher is better; without those that failed.
        generation: Generations that were scored.
    """

    prunes = False

    def __init__(
        self, candidates: Candidates, rng: np.random.Generator, settings: MethodSettings
    ) -> None:
        if not len(candidates):
            raise InputError("There is no candidate to search among: widen the window.")
        self.candidates = candidates
        self.rng = rng
        self.settings = settings
        self.seen = np.zeros(len(candidates), dtype=np.bool_)
        self.scores: dict[Architecture, float] = {}
        self.generation = 0
        self._asked: list[Architecture] = []

    @property
    def finished(self) -> bool:
        """Whether all generations were told, or all candidates."""
        return not self._asked and (
            self.generation >= self.settings.generations or bool(self.seen.all())
        )

    @property
    def planned(self) -> int:
        """Candidates in all generations, at most all there are."""
        wanted = self.settings.generation_size * self.settings.generations
        return min(wanted, len(self.candidates))

    def ask(self) -> list[Architecture]:
        """The next generation."""
        if not self._asked and not self.finished:
            unseen = np.flatnonzero(~self.seen)
            if len(unseen) <= self.settings.generation_size:
                self.seen[unseen] = True
                chosen = unseen.tolist()
            else:
                chosen = self.propose()
            self._asked = [self.candidates.architecture(position) for position in chosen]
        return list(self._asked)

    def tell(self, scored: Sequence[Scored]) -> None:
        """Scores of the generation; failed candidates have None or are not finite."""
        if {architecture for architecture, _ in scored} != set(self._asked):
            raise ValueError("the scores are not those of the generation that was asked")
        self.scores |= {
            architecture: score
            for architecture, score in scored
            if score is not None and np.isfinite(score)
        }
        self.generation += 1
        self._asked = []

    def propose(self) -> list[int]:
        """Choose the candidates of the next generation and mark them seen; uniform draws.

        It is called while more candidates are left than a generation has.

        Returns:
            Their numbers, at least one.
        """
        return [self.explore() for _ in range(self.settings.generation_size)]

    def explore(self) -> int:
        """Draw one of the candidates that were not seen, mark it, and return its number."""
        position = int(self.rng.choice(np.flatnonzero(~self.seen)))
        self.seen[position] = True
        return position
