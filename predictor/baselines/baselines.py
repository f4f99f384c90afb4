"""Baselines: what others predict latencies with, behind one contract.

Each follows its publication where there is one; the rest are scikit-learn's with its defaults.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from atb.models import FEATURES
from atb.predictor.fitting import Basis, FloatArray, Observations, Rows, fit_model

#: Of a column in a look-up table.
_MOST_BINS = 10
#: Of the neural networks: hidden layers after the first one, and rows drawn for each step.
_FURTHER_LAYERS, _BATCH_ROWS = 3, 128
#: From rows [n, columns] to values, float64[n].
Predict = Callable[[Rows], FloatArray]


class Regressor(Protocol):
    """A recipe; passes `atb.predictor.testing.RegressorConformance`."""

    def fit(self, observed: Observations, rng: np.random.Generator) -> Predict:
        """Fit on some rows and hand back what predicts others."""


@dataclass(frozen=True, slots=True)
class WorkTerms:
    """Ours, on the same footing.

    Attributes:
        bases: From the plainest to the richest.
    """

    bases: Sequence[Basis]

    def fit(self, observed: Observations, rng: np.random.Generator) -> Predict:
        """See `Regressor`."""
        model = fit_model(self.bases, observed, rng, coverage=0.5).model
        return lambda rows: model.estimate(rows).values


@dataclass(frozen=True, slots=True)
class ScikitLearn:
    """A regressor of scikit-learn.

    Attributes:
        make: Makes an unfitted one from a seed.
    """

    make: Callable[[int], Any]

    def fit(self, observed: Observations, rng: np.random.Generator) -> Predict:
        """See `Regressor`."""
        return _fit_scaled(self.make(int(rng.integers(2**31))), observed)


def _ridge(_: int) -> Any:
    """Ridge regression on standardised columns, its strength by leave-one-out."""
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), RidgeCV(np.geomspace(1e-4, 1e4, 33)))


def _forest(seed: int) -> Any:
    """A random forest (Breiman 2001)."""
    from sklearn.ensemble import RandomForestRegressor

    return RandomForestRegressor(300, random_state=seed)


def _boosting(seed: int) -> Any:
    """Gradient boosting of trees (Friedman 2001)."""
    from sklearn.ensemble import GradientBoostingRegressor

    return GradientBoostingRegressor(random_state=seed)


@dataclass(frozen=True, slots=True)
class LookupTable:
    """A sum of entries, one for each column by the bin in which it falls, times the layers.

    So do those that time operators apart and add them up (FBNet, ProxylessNAS); the entries are
    fitted to whole models here, since that is what was measured.

    Attributes:
        layers: Position of the column that counts layers, or None.
    """

    layers: int | None = None

    def fit(self, observed: Observations, rng: np.random.Generator) -> Predict:
        """See `Regressor`."""
        from sklearn.linear_model import Ridge
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import FunctionTransformer

        columns = np.asarray(observed.rows, dtype=np.float64).T
        shares = np.linspace(0, 1, _MOST_BINS + 1)[1:-1]
        edges = [np.unique(np.quantile(column, shares)) for column in columns]
        entries = FunctionTransformer(self._entries, kw_args={"edges": edges})
        # as good as none: it only decides where entries cannot be told apart
        return _fit_scaled(make_pipeline(entries, Ridge(1e-3)), observed)

    def _entries(self, rows: Rows, edges: Sequence[FloatArray]) -> FloatArray:
        times = 1.0 if self.layers is None else rows[:, self.layers].astype(np.float64)[:, None]
        parts = [
            np.eye(len(cuts) + 1)[np.searchsorted(cuts, rows[:, i], side="right")]
            for i, cuts in enumerate(edges)
            if i != self.layers
        ]
        return np.asarray(np.hstack(parts) * times)


@dataclass(frozen=True, slots=True)
class NeuralNetwork:
    """The multi-layer perceptron of HAT (Wang et al., ACL 2020), and the wider one of AutoTinyBERT.

    Columns and target are divided by their largest value; mean squared error; Adam.

    Attributes:
        columns: Positions of the columns that it reads; None for all.
        hidden: Units of each hidden layer.
        steps: Number of optimiser steps.
        learning_rate: Learning rate of Adam.
    """

    columns: tuple[int, ...] | None = None
    hidden: int = 400
    steps: int = 5000
    learning_rate: float = 1e-5

    def fit(self, observed: Observations, rng: np.random.Generator) -> Predict:
        """See `Regressor`."""
        import torch

        rows = self._chosen(observed.rows)
        norms, norm = np.maximum(np.abs(rows).max(axis=0), 1e-12), observed.values.max()
        features = torch.tensor(rows / norms, dtype=torch.float32)
        targets = torch.tensor(observed.values / norm, dtype=torch.float32)
        with torch.random.fork_rng():
            torch.manual_seed(int(rng.integers(2**31)))
            network = self._network(rows.shape[1])
        optimizer = torch.optim.Adam(network.parameters(), lr=self.learning_rate)
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # on small matrices several lose much where cores are busy
        try:
            for _ in range(self.steps):
                chosen = rng.permutation(len(rows))[:_BATCH_ROWS]
                found = network(features[chosen])[:, 0]
                loss = torch.nn.functional.mse_loss(found, targets[chosen])
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
        finally:
            torch.set_num_threads(threads)

        def predict(other: Rows) -> FloatArray:
            with torch.inference_mode():
                found = network(torch.tensor(self._chosen(other) / norms, dtype=torch.float32))
            return np.asarray(found[:, 0].numpy().astype(np.float64) * norm)

        return predict

    def _chosen(self, rows: Rows) -> FloatArray:
        chosen = rows if self.columns is None else rows[:, self.columns]
        return np.asarray(chosen, dtype=np.float64)

    def _network(self, width: int) -> Any:
        from torch import nn

        layers: list[nn.Module] = [nn.Linear(width, self.hidden), nn.ReLU()]
        for _ in range(_FURTHER_LAYERS):
            layers += [nn.Linear(self.hidden, self.hidden), nn.ReLU()]
        return nn.Sequential(*layers, nn.Linear(self.hidden, 1))


def _fit_scaled(regressor: Any, observed: Observations) -> Predict:
    """Fit on values around 1: seconds are too small for the tolerances of scikit-learn."""
    norm = float(observed.values.mean())
    regressor.fit(observed.rows, observed.values / norm)
    return lambda rows: np.asarray(regressor.predict(rows) * norm)


def architecture_baselines() -> dict[str, Regressor]:
    """Baselines for rows of architectures, whose columns have a meaning."""
    layers, heads = FEATURES.index("layers"), FEATURES.index("heads")
    # AutoTinyBERT's network reads hidden, layers, feed-forward and qkv: heads are no feature of it
    columns = tuple(i for i in range(len(FEATURES)) if i != heads)
    return {
        **BASELINES,
        "lookup": LookupTable(layers=layers),
        "autotinybert": NeuralNetwork(columns, hidden=2000),
    }


#: By the name on the command line, for rows of any meaning.
BASELINES: dict[str, Regressor] = {
    "ridge": ScikitLearn(_ridge),
    "forest": ScikitLearn(_forest),
    "boosting": ScikitLearn(_boosting),
    "lookup": LookupTable(),
    "hat": NeuralNetwork(),
    "autotinybert": NeuralNetwork(hidden=2000),
}
