"""Simulated processors whose truth is known."""

from __future__ import annotations

import numpy as np

from atb.devices.settings import RunSettings
from atb.models.space import SPACES, SearchSpace
from atb.predictor.features import FloatArray, IntArray, columns_of, rows_of, work_amounts
from atb.predictor.training_set import TrainingSet
from atb.profiler.conditions import Conditions

CONDITIONS = Conditions("fake", (("processor", "simulated"),), "fake", "1", RunSettings())
PRICES = np.array([2e-11, 3e-11, 2e-11, 4e-10, 1e-10, 2e-10, 3e-10, 4e-5, 2e-9, 3e-10, 2e-4])


def rows_from(space: SearchSpace, count: int, seed: int) -> IntArray:
    return rows_of(space.sample(np.random.default_rng(seed), count))


def plain_truth(rows: IntArray) -> FloatArray:
    """Exactly the work terms."""
    return work_amounts(rows, CONDITIONS.settings) @ PRICES


def rough_truth(rows: IntArray) -> FloatArray:
    """What real processors add: idle vector lanes, slow narrow matrices, a cache that ends."""
    c = columns_of(rows)

    def lanes(width: FloatArray) -> FloatArray:
        return 16 * np.ceil(width / 16) + 10.0  # 10: entering and leaving a loop

    def product(m: float, k: FloatArray, n: FloatArray) -> FloatArray:
        return m * (k + 12) * lanes(n) * 2e-11

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
    spill = 1 + 0.08 / (1 + np.exp(-(megabytes - 30) / 8))
    return c.layers * layer * spill + 128 * c.hidden * 2e-9 + 2e-4


def observed(
    rows: IntArray,
    seconds: FloatArray,
    *,
    noise: float,
    seed: int,
    outliers: float = 0.0,
) -> TrainingSet:
    """Measure: relative noise that is larger on short latencies, and a share of +40 % rows."""
    rng = np.random.default_rng(seed)
    spreads = noise * np.sqrt(0.5 + 0.5 * np.median(seconds) / seconds)
    factors = np.exp(rng.normal(0, spreads))
    factors[rng.random(len(rows)) < outliers] *= 1.4
    half_widths = 1.64 * spreads * seconds
    return TrainingSet(rows, seconds * factors, half_widths, CONDITIONS, ("test",))


KD, MINI, MLM = SPACES["kd"], SPACES["mini"], SPACES["mlm"]
