from __future__ import annotations

from atb.predictor.baselines.baselines import (
    BASELINES,
    LookupTable,
    NeuralNetwork,
    Regressor,
    WorkTerms,
)
from atb.predictor.tables.table import Feature, table_basis
from atb.predictor.testing import RegressorConformance


class TestWorkTermsConform(RegressorConformance):
    limit = 0.001

    def make(self) -> Regressor:
        return WorkTerms([table_basis([Feature("a"), Feature("b")], degree) for degree in (1, 2)])


class TestRidgeConforms(RegressorConformance):
    def make(self) -> Regressor:
        return BASELINES["ridge"]


class TestForestConforms(RegressorConformance):
    def make(self) -> Regressor:
        return BASELINES["forest"]


class TestBoostingConforms(RegressorConformance):
    def make(self) -> Regressor:
        return BASELINES["boosting"]


class TestLookupTableConforms(RegressorConformance):
    """A sum of entries cannot follow a product."""

    limit = 0.6

    def make(self) -> Regressor:
        return LookupTable()


class TestLookupTableOfLayersConforms(RegressorConformance):
    limit = 0.15

    def make(self) -> Regressor:
        return LookupTable(layers=0)


class TestNeuralNetworkConforms(RegressorConformance):
    """Small and quick: as published it takes 5,000 steps."""

    def make(self) -> Regressor:
        return NeuralNetwork(hidden=64, steps=400, learning_rate=3e-3)
