"""What a latency is made of, defined once: fitting, prediction, explaining and the docs read it.

`WORK_TERMS` are amounts of work, each with a unit; a latency is their sum, each times the seconds
that one unit takes. `QUANTITIES` are the sizes on which the seconds of a unit may
depend; the learned residual bends along them, and the support of a predictor is their range.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from atb.devices import RunSettings
from atb.errors import InputError
from atb.models import FEATURES, Architecture
from atb.predictor.fitting.basis import Basis, FloatArray, IntArray, Quantity, Term

#: 32-bit numbers in the widest vector register of today's CPUs; narrower ones divide it.
LANES = 16


class ArchitectureColumns(NamedTuple):
    """The columns of an array of architectures, each float64[n] (products overflow int32)."""

    layers: FloatArray
    hidden: FloatArray
    heads: FloatArray
    qkv: FloatArray
    feed_forward: FloatArray


@dataclass(frozen=True, slots=True)
class WorkTerm:
    """An amount of work of one inference.

    Attributes:
        name: Whole words, as shown by `atb predict --explain` and stored in predictor files.
        formula: B batch, S sequence length, L layers, H hidden, A heads, D head size, Q qkv,
            F feed-forward; H' what H lacks to a multiple of `LANES`, and so on.
        unit: Unit of the amount, such as multiply-adds.
        meaning: Which part of the model does it.
        amount: From columns and run settings, float64[n] or one number for all.
    """

    name: str
    formula: str
    unit: str
    meaning: str
    amount: Callable[[ArchitectureColumns, RunSettings], FloatArray | float]


def _tokens(settings: RunSettings) -> int:
    return settings.batch * settings.sequence_length


_IDLE = "idle multiply-adds"


def _padding(width: FloatArray) -> FloatArray:
    return np.asarray(np.ceil(width / LANES) * LANES - width)


WORK_TERMS: tuple[WorkTerm, ...] = (
    WorkTerm(
        "projections",
        "4·B·S·L·H·Q",
        "multiply-adds",
        "query, key, value and output matrices",
        lambda c, s: 4 * _tokens(s) * c.layers * c.hidden * c.qkv,
    ),
    WorkTerm(
        "attention products",
        "2·B·S²·L·Q",
        "multiply-adds",
        "queries times keys, and weights times values",
        lambda c, s: 2 * _tokens(s) * s.sequence_length * c.layers * c.qkv,
    ),
    WorkTerm(
        "feed-forward",
        "2·B·S·L·H·F",
        "multiply-adds",
        "the two matrices of the feed-forward block",
        lambda c, s: 2 * _tokens(s) * c.layers * c.hidden * c.feed_forward,
    ),
    # where kernels work on whole vectors of columns, one that is not full costs something as well
    WorkTerm(
        "projections' padding",
        "B·S·L·(3·H·Q'+Q·H')",
        _IDLE,
        "columns missing to whole vectors in the four matrices",
        lambda c, s: (
            _tokens(s) * c.layers * (3 * c.hidden * _padding(c.qkv) + c.qkv * _padding(c.hidden))
        ),
    ),
    WorkTerm(
        "attention's padding",
        "B·S²·L·A·D'",
        _IDLE,
        "columns missing to whole vectors in weights times values",
        lambda c, s: (
            _tokens(s) * s.sequence_length * c.layers * c.heads * _padding(c.qkv / c.heads)
        ),
    ),
    WorkTerm(
        "feed-forward's padding",
        "B·S·L·(H·F'+F·H')",
        _IDLE,
        "columns missing to whole vectors in the two matrices",
        lambda c, s: (
            _tokens(s)
            * c.layers
            * (c.hidden * _padding(c.feed_forward) + c.feed_forward * _padding(c.hidden))
        ),
    ),
    WorkTerm(
        "softmax",
        "B·S²·L·A",
        "values",
        "scaling, mask and softmax of the attention weights",
        lambda c, s: _tokens(s) * s.sequence_length * c.layers * c.heads,
    ),
    WorkTerm(
        "hidden values",
        "B·S·L·H",
        "values",
        "biases, residual sums and layer norms",
        lambda c, s: _tokens(s) * c.layers * c.hidden,
    ),
    WorkTerm(
        "attention values",
        "B·S·L·Q",
        "values",
        "biases and transpositions of queries, keys and values",
        lambda c, s: _tokens(s) * c.layers * c.qkv,
    ),
    WorkTerm(
        "feed-forward values",
        "B·S·L·F",
        "values",
        "bias and activation of the feed-forward block",
        lambda c, s: _tokens(s) * c.layers * c.feed_forward,
    ),
    WorkTerm("layers", "L", "layers", "starting the operators of a layer", lambda c, s: c.layers),
    WorkTerm(
        "embeddings",
        "B·S·H",
        "values",
        "look-up, sum and layer norm of the embeddings",
        lambda c, s: _tokens(s) * c.hidden,
    ),
    WorkTerm(
        "pooler",
        "B·H²",
        "multiply-adds",
        "the matrix after the last layer",
        lambda c, s: s.batch * c.hidden * c.hidden,
    ),
    WorkTerm("fixed", "1", "inferences", "starting an inference", lambda c, s: 1.0),
)

#: Names of the terms that a fit takes only where rows held out say so.
PADDING = frozenset(term.name for term in WORK_TERMS if term.unit == _IDLE)

QUANTITIES: tuple[Quantity, ...] = (
    Quantity("layers", lambda c: c.layers),
    Quantity("hidden", lambda c: c.hidden, fills_lanes=True),
    Quantity("heads", lambda c: c.heads),
    Quantity("head size", lambda c: c.qkv / c.heads, fills_lanes=True),
    Quantity("qkv", lambda c: c.qkv, fills_lanes=True),
    Quantity("feed-forward", lambda c: c.feed_forward, fills_lanes=True),
    # whether the matrices of the encoder fit a cache
    Quantity("weights", lambda c: c.layers * c.hidden * (4 * c.qkv + 2 * c.feed_forward)),
)


def rows_of(architectures: Sequence[Architecture]) -> npt.NDArray[np.int32]:
    """Architectures as an int32 array [n, 5] with the columns of `FEATURES`."""
    rows = [[getattr(a, name) for name in FEATURES] for a in architectures]
    return np.array(rows, dtype=np.int32).reshape(-1, len(FEATURES))


def architecture_at(row: IntArray) -> Architecture:
    """The architecture of one row, int[5]."""
    return Architecture(*(int(value) for value in row))


def columns_of(rows: IntArray) -> ArchitectureColumns:
    """The columns of int[n, 5].

    Raises:
        InputError: The array has another shape or type.
    """
    if rows.ndim != 2 or rows.shape[1] != len(FEATURES) or rows.dtype.kind not in "iu":
        raise InputError(
            f"An array {rows.dtype}{list(rows.shape)} is not one of architectures: "
            f"pass int32[n, {len(FEATURES)}] with the columns {', '.join(FEATURES)}."
        )
    return ArchitectureColumns(*(rows[:, i].astype(np.float64) for i in range(len(FEATURES))))


def _bound(term: WorkTerm, settings: RunSettings) -> Term:
    return Term(term.name, lambda columns: term.amount(columns, settings))


@cache
def architecture_basis(settings: RunSettings) -> Basis:
    """Work terms and quantities of architectures that run with these settings."""
    return Basis(columns_of, tuple(_bound(term, settings) for term in WORK_TERMS), QUANTITIES)


def bases_of(basis: Basis) -> tuple[Basis, Basis]:
    """The basis without what its matrices lack to whole vectors, and with it: fits choose.

    The terms stay where they are, so that coefficients mean the same in both.
    """
    terms = (replace(t, amount=lambda _: 0.0) if t.name in PADDING else t for t in basis.terms)
    return replace(basis, terms=tuple(terms)), basis
