"""Predictors side by side: the same rows to learn from, the same unseen rows to test on."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from atb.errors import InputError
from atb.predictor import Evaluation
from atb.predictor.baselines.baselines import Regressor
from atb.predictor.fitting import Estimates, IntArray, Observations

#: Called with what is done, what there is to do, and a word on what is going on.
Progress = Callable[[int, int, str], None]

#: Rows in the repeated query by which its time is told.
_QUERY_ROWS = 10_000


@dataclass(frozen=True, slots=True)
class PredictorScore:
    """One predictor, fitted on one random draw of rows.

    Attributes:
        name: Name of the predictor.
        rows: Number of rows it was fitted on.
        split: Number of the random draw, from 0.
        evaluation: Errors on the rows that were held out of every fit.
        fit_seconds: Wall time of the fit.
        query_seconds: Wall time of predicting one of many rows at once.
    """

    name: str
    rows: int
    split: int
    evaluation: Evaluation
    fit_seconds: float
    query_seconds: float


def random_splits(
    observed: Observations, splits: int, test_share: float, rng: np.random.Generator
) -> list[tuple[IntArray, IntArray]]:
    """Pairs of positions to learn from, in random order, and to test on.

    Equal rows stay on one side.
    """
    _, group = np.unique(observed.rows, axis=0, return_inverse=True)
    groups = int(group.max()) + 1
    tested = max(1, round(test_share * groups))
    pairs: list[tuple[IntArray, IntArray]] = []
    for _ in range(splits):
        order = rng.permutation(groups)
        position = np.empty(groups, dtype=int)
        position[order] = np.arange(groups)
        ranks = position[group]
        test = np.flatnonzero(ranks < tested)
        train = np.flatnonzero(ranks >= tested)
        pairs.append((train[np.argsort(ranks[train], kind="stable")], test))
    return pairs


def compare(
    observed: Observations,
    regressors: Mapping[str, Regressor],
    sizes: Sequence[int],
    pairs: Sequence[tuple[IntArray, IntArray]],
    *,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[PredictorScore]:
    """Fit every predictor on every number of rows of every split.

    Args:
        observed: All rows with their values.
        regressors: Unfitted predictors by name.
        sizes: Numbers of rows to learn from.
        pairs: Positions of rows, as `random_splits` draws them.
        seed: Seed of what is random in a fit.
        progress: Called after each fit with counts of fits and a name.

    Raises:
        InputError: A size is more than there is.
    """
    most = min(len(train) for train, _ in pairs)
    if max(sizes) > most:
        raise InputError(
            f"{max(sizes)} rows to learn from were asked for, and {most} are left when a part is "
            "held out: ask for fewer, or measure more."
        )
    found = []
    for split, (train, test) in enumerate(pairs):
        unseen = observed.take(test)
        for size in sizes:
            for name, regressor in regressors.items():
                rng = np.random.default_rng([seed, split, size])
                judged = _judge(regressor, observed.take(train[:size]), unseen, rng)
                found.append(PredictorScore(name, size, split, *judged))
                if progress is not None:
                    progress(len(found), len(pairs) * len(sizes) * len(regressors), name)
    return found


def _judge(
    regressor: Regressor, known: Observations, unseen: Observations, rng: np.random.Generator
) -> tuple[Evaluation, float, float]:
    """The evaluation of a fit, its seconds, and the seconds of each row of a long query."""
    begun = time.perf_counter()
    predict = regressor.fit(known, rng)
    fitted = time.perf_counter()
    values = predict(unseen.rows)
    many = np.resize(unseen.rows, (_QUERY_ROWS, unseen.rows.shape[1]))
    asked = time.perf_counter()
    predict(many)
    query = (time.perf_counter() - asked) / _QUERY_ROWS
    return Evaluation.of(Estimates.exact(values), unseen.values), fitted - begun, query
