"""Fast and good at once: the whole front below the limit, by NSGA-II (Deb et al. 2002; pymoo)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from atb.errors import MissingExtra
from atb.search import MethodSettings, Scored
from atb.search.constraints import Candidates
from atb.search.methods.generations import Generations

#: Offspring that may be fruitless, all of them known or no candidates, before it draws anew.
_ATTEMPTS = 20
#: What stands in for the objectives of genomes that are no candidates; their violation decides.
_NOTHING = 1e9
#: How far children lie from their parents: the values that pymoo advises for whole numbers.
_SPREAD = 3.0


class Pareto(Generations):
    """Latency and score are both objectives; a generation is the offspring of the best front."""

    def __init__(
        self, candidates: Candidates, rng: np.random.Generator, settings: MethodSettings
    ) -> None:
        super().__init__(candidates, rng, settings)
        self._algorithm = _nsga2(self._start(), candidates.shape, int(rng.integers(2**31)))
        self._infills: Any = None

    def _start(self) -> npt.NDArray[np.int64]:
        """Genomes of the first generation [S, 4], drawn uniformly; none is marked as seen."""
        count = min(self.settings.generation_size, len(self.candidates))
        drawn = self.rng.choice(len(self.candidates), count, replace=False)
        return self.candidates.genomes(drawn)

    def propose(self) -> list[int]:
        """Offspring of the best front; uniform draws where none of it is new."""
        for _ in range(_ATTEMPTS):
            self._infills = self._algorithm.ask()
            positions = np.unique(self._positions())
            fresh = positions[(positions >= 0) & ~self.seen[positions]]
            if len(fresh):
                self.seen[fresh] = True
                return [int(position) for position in fresh]
            self._teach()
        return super().propose()

    def tell(self, scored: Sequence[Scored]) -> None:
        """Scores of the generation; what failed counts as no candidate."""
        super().tell(scored)
        self._teach()

    def _positions(self) -> npt.NDArray[np.int64]:
        return self.candidates.positions(self._infills.get("X").astype(np.int64))

    def _teach(self) -> None:
        """Hand the offspring back with what is known of it."""
        if self._infills is None:  # it was drawn anew
            return
        objectives, violations = [], []
        for position in self._positions():
            score = None
            if position >= 0:
                score = self.scores.get(self.candidates.architecture(int(position)))
            known = score is not None
            latency = self.candidates.predicted_seconds[position]
            objectives.append([latency, -score] if score is not None else [_NOTHING, _NOTHING])
            violations.append([0.0 if known else 1.0])
        self._infills.set("F", np.array(objectives))
        self._infills.set("G", np.array(violations))
        self._algorithm.tell(infills=self._infills)
        self._infills = None


def _nsga2(start: npt.NDArray[np.int64], shape: tuple[int, ...], seed: int) -> Any:
    """The algorithm over whole genomes."""
    try:
        from pymoo.algorithms.moo.nsga2 import NSGA2
        from pymoo.core.problem import Problem
        from pymoo.core.termination import NoTermination
        from pymoo.operators.crossover.sbx import SBX
        from pymoo.operators.mutation.pm import PM
        from pymoo.operators.repair.rounding import RoundingRepair
    except ImportError as error:
        raise MissingExtra("pymoo", "pareto", wanted_for="The method pareto") from error
    problem = Problem(
        n_var=len(shape), n_obj=2, n_ieq_constr=1, xl=0, xu=np.array(shape) - 1, vtype=int
    )
    algorithm = NSGA2(
        pop_size=len(start),
        sampling=start,
        crossover=SBX(prob=1.0, eta=_SPREAD, vtype=float, repair=RoundingRepair()),
        mutation=PM(prob=1.0, eta=_SPREAD, vtype=float, repair=RoundingRepair()),
        eliminate_duplicates=True,
    )
    algorithm.setup(problem, termination=NoTermination(), seed=seed, verbose=False)
    return algorithm
