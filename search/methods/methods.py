"""The search methods by name, and those that draw once.

A package adds a method through the entry-point group `atb.search_methods`, name ->
"module:factory" (docs/how-to/add-a-search-method.md).
"""

from __future__ import annotations

from dataclasses import replace
from pkgutil import resolve_name

import numpy as np

from atb.errors import InputError
from atb.plugins import plugins, translate_plugin_errors
from atb.search import Factory, MethodSettings, SearchMethod
from atb.search.constraints import Candidates
from atb.search.methods.evolution import Evolution
from atb.search.methods.generations import Generations
from atb.search.methods.pareto import Pareto
from atb.search.methods.surrogate_evolution import SurrogateEvolution


class RandomSearch(Generations):
    """One generation drawn uniformly."""

    def __init__(
        self, candidates: Candidates, rng: np.random.Generator, settings: MethodSettings
    ) -> None:
        super().__init__(candidates, rng, replace(settings, generations=1))


class FastSearch(RandomSearch):
    """One generation drawn uniformly among the shapes that full searches were seen to prefer."""

    def __init__(
        self, candidates: Candidates, rng: np.random.Generator, settings: MethodSettings
    ) -> None:
        shaped = candidates.obeying_fast_rule()
        if not len(shaped):
            raise InputError(
                f"None of the {len(candidates)} candidates has the shape that the fast method "
                "draws from (F/H from 1.6 to 1.9, Q/H from 0.7 to 1.0): use --method evolution."
            )
        super().__init__(shaped, rng, settings)


#: The built-in methods by name.
METHODS: dict[str, Factory] = {
    "random": RandomSearch,
    "fast": FastSearch,
    "evolution": Evolution,
    "surrogate-evolution": SurrogateEvolution,
    "pareto": Pareto,
}
#: Entry points of this group are methods of other packages, each a `Factory`.
METHOD_GROUP = "atb.search_methods"
#: Names of before by today's; recipes, results and search folders may have them.
_OLD_NAMES = {"evolution": "evolved", "surrogate-evolution": "evolved+"}


def canonical_name(name: str) -> str:
    """Today's name of a method that may be given by its old one."""
    return next((new for new, old in _OLD_NAMES.items() if old == name), name)


def key_name(name: str) -> str:
    """The name of a method in the keys of search folders, which must never change."""
    return _OLD_NAMES.get(name, name)


def find_method(name: str) -> Factory:
    """Find a method by its name: a built-in one, or an entry point of `atb.search_methods`.

    Raises:
        InputError: There is no such method, or the package that has it cannot be loaded.
    """
    if name in METHODS:
        return METHODS[name]
    found = plugins(METHOD_GROUP)
    if name not in found:
        names = ", ".join([*METHODS, *sorted(set(found) - set(METHODS))])
        raise InputError(f"There is no search method {name!r}: choose {names}.")
    with translate_plugin_errors("search method", name, found[name]):
        factory: Factory = resolve_name(found[name])
    if not callable(factory):
        raise InputError(
            f"The search method {name} of {found[name]} is no function or class: repair the "
            "package that brings it, by docs/how-to/add-a-search-method.md."
        )
    return factory


def make_method(
    name: str,
    candidates: Candidates,
    rng: np.random.Generator,
    settings: MethodSettings | None = None,
) -> SearchMethod:
    """Make a method by its name; see `find_method`.

    Raises:
        InputError: There is no such method, or it finds no candidate of its kind.
    """
    return find_method(canonical_name(name))(candidates, rng, settings or MethodSettings())
