"""How a search moves: methods behind one ask/tell contract.

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

from atb.errors import InputError
from atb.models import Architecture
from atb.search.constraints import Candidates

#: An architecture and its score, higher is better; None where scoring failed.
Scored = tuple[Architecture, float | None]


class SearchMethod(Protocol):
    """Proposes candidates and learns from their scores; passes `atb.search.testing`.

    Attributes:
        prunes: Whether an expected score serves it as well as a computed one where a candidate
            cannot be among the best, so that scoring may stop early (`atb.search.scoring.pruning`).
    """

    prunes: bool

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


Factory = Callable[[Candidates, np.random.Generator, MethodSettings], SearchMethod]
