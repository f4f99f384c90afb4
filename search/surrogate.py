"""What scores are to be expected, learnt from those that are known.

A score of a slice is a smooth function of its shape, so that a quadratic of the logarithms of
layers, hidden, heads, width and feed-forward tells thousands of architectures from some dozens
of scores. It is fitted as a Bayesian ridge regression: its coefficients have a distribution, not
a value, and a draw of them is a guess of all scores at once that is bold where little is known
(Thompson sampling).
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt

__all__ = ["Surrogate"]


class Surrogate:
    """Tells scores of architectures from the scores of others."""

    def __init__(self) -> None:
        from sklearn.linear_model import BayesianRidge
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import PolynomialFeatures, StandardScaler

        self._terms = make_pipeline(
            StandardScaler(), PolynomialFeatures(2, include_bias=False), StandardScaler()
        )
        self._regression: Any = BayesianRidge()

    def fit(self, rows: npt.NDArray[Any], scores: npt.NDArray[np.float64]) -> Self:
        """Learn from known scores.

        Args:
            rows: Shapes [n, 5] with the columns of `FEATURES`.
            scores: Their scores [n], finite.
        """
        self._regression.fit(self._terms.fit_transform(np.log(rows)), scores)
        return self

    def predict(self, rows: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Expected scores [m] of shapes [m, 5]."""
        return np.asarray(self._regression.predict(self._terms.transform(np.log(rows))))

    def draw(
        self, rows: npt.NDArray[Any], count: int, rng: np.random.Generator
    ) -> npt.NDArray[np.float64]:
        """Possible scores [count, m] of shapes [m, 5], each row by other coefficients.

        Args:
            rows: Shapes.
            count: How many draws.
            rng: Source of the draws.
        """
        fitted = self._regression
        coefficients = rng.multivariate_normal(
            fitted.coef_, fitted.sigma_, count, method="eigh"
        )  # [count, terms]
        return np.asarray(coefficients @ self._terms.transform(np.log(rows)).T + fitted.intercept_)
