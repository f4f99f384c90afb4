"""Evolution led by a surrogate: it looks at thousands and scores the most promising.

A score of a slice is a smooth function of its shape, but for a few slices that fail. So what is
learnt is not the score but its rank, as a normal quantile, by a Gaussian process over the
logarithms of layers, hidden, heads, width and feed-forward. Its kernel is fixed: on 850 scored
slices of `mini`, from 25 to 300 of which were known, kernels whose scales were fitted ranked the
others as well (Kendall's tau within 0.03), and a fit may end elsewhere on another machine.
"""

from __future__ import annotations

import itertools
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from atb.predictor.fitting import rows_of
from atb.search.methods.generations import Generations
from atb.search.methods.mutation import Mutation

#: Scores below which a surrogate knows nothing; until then candidates are drawn uniformly.
FEWEST_SCORES = 10
#: Parents whose mutants and children are looked at.
PARENTS = 10
#: Mutants of each parent, children of all, and uniform draws in a pool.
MUTANTS, CHILDREN, DRAWS = 200, 2000, 2000
#: All steps of at most one place in each gene.
_STEPS = np.array(list(itertools.product((-1, 0, 1), repeat=4)))
#: In standard deviations of the logarithms: how far the influence of a score reaches.
_LENGTH = 2.0
#: Share of the variance of ranks that no shape explains.
_NOISE = 0.01
#: Of how many of the most promising a draw is taken together; it costs the cube of it.
_DRAWN = 400
#: Rows for which a mean and a deviation are computed at a time.
_BLOCK_ROWS = 20_000


class Surrogate:
    """Ranks architectures by the scores of others; higher is better."""

    def __init__(self, population: npt.NDArray[Any]) -> None:
        """Take the measure of what will be asked.

        Args:
            population: Shapes [n, 5] with the columns of `FEATURES`, all or a sample.
        """
        from sklearn.gaussian_process import GaussianProcessRegressor
        from sklearn.gaussian_process.kernels import Matern, WhiteKernel

        logarithms = np.log(population)
        self._centre = logarithms.mean(axis=0)
        deviations = logarithms.std(axis=0)
        self._scale = np.where(deviations > 0, deviations, 1.0)
        self._process: Any = GaussianProcessRegressor(
            Matern(_LENGTH, nu=2.5) + WhiteKernel(_NOISE), optimizer=None
        )

    def fit(self, rows: npt.NDArray[Any], scores: npt.NDArray[np.float64]) -> Self:
        """Learn from known scores.

        Args:
            rows: Shapes [n, 5].
            scores: Their scores [n], finite.
        """
        from scipy.stats import norm, rankdata

        ranks = norm.ppf((rankdata(scores) - 0.5) / len(scores))
        self._process.fit(self._places(rows), ranks)
        return self

    def predict(self, rows: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Expected ranks [m] of shapes [m, 5], as normal quantiles among what was fitted."""
        return self._moments(rows)[0]

    def draw(
        self, rows: npt.NDArray[Any], count: int, rng: np.random.Generator
    ) -> npt.NDArray[np.int64]:
        """Places of distinct shapes that could be the best (Thompson sampling).

        Each is the best of one possible course of the ranks, among the most promising by mean and
        deviation.

        Args:
            rows: Shapes [m, 5].
            count: How many, at most m.
            rng: Source of the draws.
        """
        mean, deviation = self._moments(rows)
        promising = np.argsort(-(mean + 2 * deviation), kind="stable")[: max(_DRAWN, count)]
        mean, covariance = self._process.predict(self._places(rows[promising]), return_cov=True)
        courses = rng.multivariate_normal(mean, covariance, count, method="eigh")
        chosen: list[int] = []
        for course in courses:
            course[chosen] = -np.inf
            chosen.append(int(np.argmax(course)))
        return np.asarray(promising[chosen])

    def _moments(
        self, rows: npt.NDArray[Any]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Means and standard deviations [m], in blocks that fit into memory."""
        parts = [
            self._process.predict(self._places(rows[start : start + _BLOCK_ROWS]), return_std=True)
            for start in range(0, len(rows), _BLOCK_ROWS)
        ]
        means, deviations = zip(*parts, strict=True)
        return np.concatenate(means), np.concatenate(deviations)

    def _places(self, rows: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        return np.asarray((np.log(rows) - self._centre) / self._scale)


class SurrogateEvolution(Generations):
    """Mutants and children of the best, of which a surrogate picks those to score.

    The first generation is drawn uniformly. For each later one a pool is made of all mutants of the
    best by one step in each gene, of further mutants, of children that take each gene from one of
    two of the best, and of uniform draws. Each place goes to the one of the pool that is the best
    in a draw of the surrogate (Thompson sampling; Kandasamy et al. 2018 for batches).
    """

    prunes = True

    @cached_property
    def _mutation(self) -> Mutation:
        return Mutation(self.candidates)

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
