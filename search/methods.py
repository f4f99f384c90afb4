"""How a search moves: methods behind one ask/tell contract, chosen by name.

The order of the calls; the loop belongs to the caller:

    while not method.finished:
        generation = method.ask()
        method.tell([(architecture, score(architecture)) for architecture in generation])
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from atb.errors import InputError
from atb.models.architecture import Architecture
from atb.search.candidates import Candidates
from atb.search.mutation import Mutation

__all__ = [
    "METHODS",
    "Evolved",
    "FastSearch",
    "MethodSettings",
    "RandomSearch",
    "Scored",
    "SearchMethod",
    "make_method",
    "roulette",
]

#: An architecture and its score, higher is better; None where scoring failed.
Scored = tuple[Architecture, float | None]


class SearchMethod(Protocol):
    """Proposes candidates and learns from their scores; passes `atb.search.testing`."""

    @property
    def finished(self) -> bool:
        """Whether there is nothing more to ask."""

    @property
    def planned(self) -> int:
        """How many candidates it asks in all, at most."""

    def ask(self) -> list[Architecture]:
        """The next generation: candidates that were not asked before, at least one.

        Asking again before telling gives the same generation.
        """

    def tell(self, scored: Sequence[Scored]) -> None:
        """Scores of the whole generation that was asked, in any order.

        Raises:
            ValueError: They are not of that generation.
        """


@dataclass(frozen=True, slots=True)
class MethodSettings:
    """How long and how boldly a method searches; the defaults are the paper's.

    Attributes:
        generation_size: Architectures in a generation, S.
        generations: Generations, T; `random` and `fast` have one.
        exploration: Probability that a new one is drawn from all candidates, p_e.

    Raises:
        InputError: A value is out of range.
    """

    generation_size: int = 25
    generations: int = 4
    exploration: float = 0.5

    def __post_init__(self) -> None:
        for name in ("generation_size", "generations"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}: give a positive number.")
        if not 0 <= self.exploration <= 1:
            raise InputError(f"exploration is {self.exploration}: give a share from 0 to 1.")


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


class _Generations:
    """What all built-in methods share: candidates seen, the generation asked, the scores told."""

    def __init__(
        self, candidates: Candidates, rng: np.random.Generator, settings: MethodSettings
    ) -> None:
        if not len(candidates):
            raise InputError("There is no candidate to search among: widen the window.")
        self.candidates = candidates
        self.rng = rng
        self.settings = settings
        self.seen = np.zeros(len(candidates), dtype=np.bool_)
        self.told: dict[Architecture, float] = {}
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
                chosen = self._propose()
            self._asked = [self.candidates.architecture(position) for position in chosen]
        return list(self._asked)

    def tell(self, scored: Sequence[Scored]) -> None:
        """Scores of the generation; failed candidates have None or are not finite."""
        if {architecture for architecture, _ in scored} != set(self._asked):
            raise ValueError("the scores are not those of the generation that was asked")
        self.told |= {
            architecture: score
            for architecture, score in scored
            if score is not None and np.isfinite(score)
        }
        self.generation += 1
        self._asked = []

    def _propose(self) -> list[int]:
        """Positions of a generation's candidates, now marked as seen."""
        return [self._explore() for _ in range(self.settings.generation_size)]

    def _explore(self) -> int:
        """A uniform draw among the candidates that were not seen, now marked as seen."""
        position = int(self.rng.choice(np.flatnonzero(~self.seen)))
        self.seen[position] = True
        return position


class RandomSearch(_Generations):
    """One generation drawn uniformly."""

    def __init__(
        self, candidates: Candidates, rng: np.random.Generator, settings: MethodSettings
    ) -> None:
        single = MethodSettings(settings.generation_size, 1, settings.exploration)
        super().__init__(candidates, rng, single)


class FastSearch(RandomSearch):
    """One generation drawn uniformly among the shapes that full searches were seen to prefer."""

    def __init__(
        self, candidates: Candidates, rng: np.random.Generator, settings: MethodSettings
    ) -> None:
        shaped = candidates.obeying_fast_rule()
        if not len(shaped):
            raise InputError(
                f"None of the {len(candidates)} candidates has the shape that the fast method "
                "draws from (F/H from 1.6 to 1.9, Q/H from 0.7 to 1.0): use --method evolved."
            )
        super().__init__(shaped, rng, settings)


class Evolved(_Generations):
    """Mutation-only evolution with exploration (AutoTinyBERT's reference algorithm).

    The first generation is drawn uniformly. Each later one is filled, one by one, with a uniform
    draw (probability `exploration`) or a mutant of a parent that roulette picks among the best.
    """

    def __init__(
        self, candidates: Candidates, rng: np.random.Generator, settings: MethodSettings
    ) -> None:
        super().__init__(candidates, rng, settings)
        self._mutation = Mutation(candidates)

    def _propose(self) -> list[int]:
        parents = sorted(self.told, key=lambda parent: (-self.told[parent], parent))
        parents = parents[: self.settings.generation_size]
        scores = np.array([self.told[parent] for parent in parents])
        chosen = []
        for _ in range(self.settings.generation_size):
            position = None
            if parents and self.rng.random() >= self.settings.exploration:
                parent = parents[roulette(scores, self.rng)]
                position = self._mutation.draw(parent, self.seen, self.rng)
            if position is None:
                position = self._explore()
            self.seen[position] = True
            chosen.append(position)
        return chosen


Factory = Callable[[Candidates, np.random.Generator, MethodSettings], SearchMethod]

#: The built-in methods by name.
METHODS: dict[str, Factory] = {
    "random": RandomSearch,
    "fast": FastSearch,
    "evolved": Evolved,
}


def make_method(
    name: str,
    candidates: Candidates,
    rng: np.random.Generator,
    settings: MethodSettings | None = None,
) -> SearchMethod:
    """Make a method by its name.

    Raises:
        InputError: There is no such method, or it finds no candidate of its kind.
    """
    if name not in METHODS:
        raise InputError(f"There is no search method {name!r}: choose {', '.join(METHODS)}.")
    return METHODS[name](candidates, rng, settings or MethodSettings())
