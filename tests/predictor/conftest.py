"""Simulated processors whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from atb.devices.settings import RunSettings
from atb.models.space import SPACES, SearchSpace
from atb.predictor.fitting.basis import FloatArray, IntArray
from atb.predictor.fitting.features import architecture_basis, columns_of, rows_of
from atb.predictor.training_set import TrainingSet
from atb.profiler.record import Conditions


class World:
    """Architectures, true latencies and noisy measurements of them."""

    conditions = Conditions("fake", (("processor", "simulated"),), "fake", "1", RunSettings())
    products, no_padding = [2e-11, 3e-11, 2e-11], [0.0, 0.0, 0.0]
    coefficients = np.array(
        [*products, *no_padding, 4e-10, 1e-10, 2e-10, 3e-10, 4e-5, 2e-9, 3e-10, 2e-4]
    )

    @staticmethod
    def rows(count: int, seed: int, space: SearchSpace = SPACES["kd"]) -> IntArray:
        return rows_of(space.sample(np.random.default_rng(seed), count))

    def plain_truth(self, rows: IntArray) -> FloatArray:
        """Exactly the work terms."""
        return architecture_basis(self.conditions.settings).amounts(rows) @ self.coefficients

    @staticmethod
    def rough_truth(rows: IntArray) -> FloatArray:
        """What processors add: idle vector lanes, slow narrow matrices, a cache that ends."""
        c = columns_of(rows)

        def product(height: float, inner: FloatArray | float, width: FloatArray) -> FloatArray:
            in_whole_lanes = 16 * np.ceil(width / 16) + 10
            return height * (inner + 12) * in_whole_lanes * 2e-11

        head = c.qkv / c.heads
        layer = (
            3 * product(128, c.hidden, c.qkv)
            + product(128, c.qkv, c.hidden)
            + c.heads * (product(128, head, np.full_like(head, 128)) + product(128, 128, head))
            + product(128, c.hidden, c.feed_forward)
            + product(128, c.feed_forward, c.hidden)
            + 128 * (5e-10 * c.hidden + 2e-10 * c.qkv + 6e-10 * c.feed_forward)
            + 128 * 128 * c.heads * 4e-10
            + 3e-5
        )
        megabytes = c.layers * c.hidden * (4 * c.qkv + 2 * c.feed_forward) * 4 / 1e6
        spilled = 1 + 0.08 / (1 + np.exp(-(megabytes - 30) / 8))
        return c.layers * layer * spilled + 128 * c.hidden * 2e-9 + 2e-4

    def measure(
        self,
        rows: IntArray,
        seconds: FloatArray,
        *,
        noise: float = 0.0,
        outliers: float = 0.0,
        seed: int = 0,
    ) -> TrainingSet:
        """Relative noise that is larger on short latencies, and a share of rows 40 % too slow."""
        rng = np.random.default_rng(seed)
        spreads = noise * np.sqrt(0.5 + 0.5 * np.median(seconds) / seconds)
        factors = np.exp(rng.normal(0, spreads))
        factors[rng.random(len(rows)) < outliers] *= 1.4
        return TrainingSet(
            rows, seconds * factors, 1.64 * spreads * seconds, self.conditions, ("test",)
        )


@pytest.fixture(scope="session")
def world() -> World:
    return World()
