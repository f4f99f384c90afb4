"""Evolution led by a surrogate: it looks at thousands and scores the most promising."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt

from atb.predictor.fitting import rows_of
from atb.search import MethodSettings
from atb.search.constraints import Candidates
from atb.search.methods.generations import Generations
from atb.search.methods.mutation import Mutation
from atb.search.methods.surrogate import Surrogate

__all__ = ["SurrogateEvolution"]

#: Scores below which a surrogate knows nothing; until then candidates are drawn uniformly.
FEWEST_SCORES = 10
#: Parents whose mutants and children are looked at.
PARENTS = 10
#: Mutants of each parent, children of all, and uniform draws in a pool.
MUTANTS, CHILDREN, DRAWS = 200, 2000, 2000
#: All steps of at most one place in each gene.
_STEPS = np.array(list(itertools.product((-1, 0, 1), repeat=4)))


class SurrogateEvolution(Generations):
    """Mutants and children of the best, of which a surrogate picks those to score.

    The first generation is drawn uniformly. For each later one a pool is made of all mutants of the
    best by one step in each gene, of further mutants, of children that take each gene from one of
    two of the best, and of uniform draws. Each place goes to the one of the pool that is the best
    in a draw of the surrogate (Thompson sampling; Kandasamy et al. 2018 for batches).
    """

    prunes = True

    def __init__(
        self, candidates: Candidates, rng: np.random.Generator, settings: MethodSettings
    ) -> None:
        super().__init__(candidates, rng, settings)
        self._mutation = Mutation(candidates)

    def propose(self) -> list[int]:
        """The most promising of a pool by the surrogate; uniform draws until it knows enough."""
        if len(self.scores) < FEWEST_SCORES:
            return super().propose()
        pool = self._pool()
        rows = self.candidates.rows()
        surrogate = Surrogate(rows).fit(
            rows_of(list(self.scores)), np.array([*self.scores.values()])
        )
        places = surrogate.draw(rows[pool], self.settings.generation_size, self.rng)
        chosen = pool[places]
        self.seen[chosen] = True
        return [int(position) for position in chosen]

    def _pool(self) -> npt.NDArray[np.int64]:
        """Positions of candidates that were not seen, ascending; at least a generation."""
        best = sorted(self.scores, key=lambda a: (-self.scores[a], a))[:PARENTS]
        parents = np.array([self.candidates.space.genome(a) for a in best])
        genomes = [
            *(parents + step for step in _STEPS),
            *(self._mutation.mutants(parent, self.rng, MUTANTS) for parent in best),
            self._children(parents),
        ]
        positions = self.candidates.positions(self._inside(np.concatenate(genomes)))
        unseen = np.flatnonzero(~self.seen)
        drawn = self.rng.choice(unseen, min(DRAWS, len(unseen)), replace=False)
        positions = np.union1d(positions[positions >= 0], drawn)
        return positions[~self.seen[positions]]

    def _children(self, parents: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Each gene of one of two parents: [CHILDREN, 4]."""
        mothers, fathers = self.rng.integers(len(parents), size=(2, CHILDREN))
        mask = self.rng.random((CHILDREN, parents.shape[1])) < 0.5
        return np.asarray(np.where(mask, parents[mothers], parents[fathers]))

    def _inside(self, genomes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Those whose genes all lie on the grid."""
        inside = ((genomes >= 0) & (genomes < self.candidates.shape)).all(axis=1)
        return genomes[inside]
