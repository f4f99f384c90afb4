"""The search methods by name, and those that draw once."""

from __future__ import annotations

import numpy as np

from atb.errors import InputError
from atb.search import Factory, MethodSettings, SearchMethod
from atb.search.constraints import Candidates
from atb.search.methods.evolution import Evolved
from atb.search.methods.generations import Generations
from atb.search.methods.pareto import Pareto
from atb.search.methods.surrogate_evolution import EvolvedPlus

__all__ = ["METHODS", "FastSearch", "RandomSearch", "make_method"]


class RandomSearch(Generations):
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


#: The built-in methods by name.
METHODS: dict[str, Factory] = {
    "random": RandomSearch,
    "fast": FastSearch,
    "evolved": Evolved,
    "evolved+": EvolvedPlus,
    "pareto": Pareto,
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
