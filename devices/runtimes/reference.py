"""The graph that is timed: its sizes and random weights, and what a device must compute of it.

Every runtime builds of the same weights what it serves, so that one reference, a plain numpy
forward pass, checks them all.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TypedDict

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from atb.devices import Device, RunSettings, Runtime
from atb.devices.worker import make_inputs
from atb.models import Architecture, random_weights

Array = npt.NDArray[np.float64]

#: Tokens that a timing graph knows; a larger table is read no faster or slower.
TIMING_VOCABULARY = 1024
#: Widths that fill no vector register, and a query width of its own.
_CHECKED = Architecture(2, 180, 6, 132, 500)
#: Largest difference allowed in fp32, of values that the last norm gives a variance of one. A right
#: device differs by less than a tenth of it, from the smallest models to bert-base.
_FP32_BOUND = 1e-4
#: The same in int8, by hidden size and square root of layers, with which the rounding of random
#: weights and activations grows: a right device differs by about a quarter of it.
_INT8_BOUND = 1.2e-4


class TimingSizes(TypedDict):
    """Rows of its tables, by the names under which they are taken wherever a model is built."""

    vocabulary_size: int
    positions: int


def timing_sizes(settings: RunSettings) -> TimingSizes:
    """BERT's own number of positions, or as many as the sequence needs."""
    return {
        "vocabulary_size": TIMING_VOCABULARY,
        "positions": max(512, settings.sequence_length),
    }


def timing_weights(
    architecture: Architecture, settings: RunSettings
) -> dict[str, npt.NDArray[np.float32]]:
    """Its weights, the same ones at each call."""
    return random_weights(architecture, np.random.default_rng(0), **timing_sizes(settings))


@dataclass(frozen=True, slots=True)
class CheckResult:
    """How far a device's output lies from the reference.

    Attributes:
        max_difference: Largest absolute difference over the last hidden state.
        bound: The largest difference that is allowed.
        providers: What really ran the model, as the runtime reports; empty where it was not asked.
    """

    max_difference: float
    bound: float
    providers: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether the difference is within the bound; one that is no number is not."""
        return self.max_difference <= self.bound


def check_device(
    device: Device,
    runtime: Runtime,
    settings: RunSettings,
    architecture: Architecture = _CHECKED,
) -> CheckResult:
    """Run a small model in a fresh worker and compare its output with the reference.

    Raises:
        LaunchFailure: The model could not be built or run there.
    """
    with tempfile.TemporaryDirectory() as folder:
        artefact = runtime.build(architecture, settings, Path(folder))
        with device.launch(runtime, settings) as launch:
            providers = launch.load("check", artefact).providers
            output = launch.output("check")
    return replace(check_output(architecture, settings, output), providers=providers)


def check_output(
    architecture: Architecture, settings: RunSettings, output: npt.NDArray[np.float32]
) -> CheckResult:
    """Compare what a launch computed of a timing graph with the reference.

    It takes about as long as ten inferences on one thread; not while something is timed.

    Args:
        architecture: The architecture of the timing graph.
        settings: The settings with which it was built and run.
        output: The answer of `WorkerSession.output`.
    """
    # threads of a BLAS spin on for a while, beside whatever is timed next
    with threadpool_limits(limits=1, user_api="blas"):
        expected = timing_output(architecture, settings)
    same_shape = output.shape == expected.shape
    difference = float(np.abs(output - expected).max()) if same_shape else float("inf")
    return CheckResult(difference, _bound(architecture, settings.precision))


def _bound(architecture: Architecture, precision: str) -> float:
    """Largest difference allowed; see `_FP32_BOUND` and `_INT8_BOUND`."""
    if precision == "fp32":
        return _FP32_BOUND
    return _INT8_BOUND * architecture.hidden * math.sqrt(architecture.layers)


@lru_cache(maxsize=1)  # a simulated device answers with it just before that is checked
def timing_output(architecture: Architecture, settings: RunSettings) -> npt.NDArray[np.float32]:
    """What the timing graph of an architecture computes for the fixed input: [B, S, H]."""
    weights = timing_weights(architecture, settings)
    inputs = make_inputs(TIMING_VOCABULARY, settings.batch, settings.sequence_length)
    hidden, _ = forward(
        architecture,
        weights,
        inputs["input_ids"],
        inputs["attention_mask"],
        inputs["token_type_ids"],
    )
    hidden.setflags(write=False)
    return hidden


def forward(
    architecture: Architecture,
    weights: Mapping[str, npt.NDArray[np.float32]],
    input_ids: npt.NDArray[np.int64],
    attention_mask: npt.NDArray[np.int64],
    token_type_ids: npt.NDArray[np.int64],
    *,
    layer_norm_epsilon: float = 1e-12,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """BERT as Devlin et al. 2019 describe it, in double precision.

    Args:
        architecture: The shape of the model.
        weights: By the names of `atb.models.weights.weights_shapes`.
        input_ids: Tokens [B, S].
        attention_mask: 1 for tokens and 0 for padding [B, S].
        token_type_ids: Segments [B, S].
        layer_norm_epsilon: What layer norms add to variances.

    Returns:
        The last hidden state [B, S, H] and the pooler's output [B, H].
    """

    def norm(values: Array, name: str) -> Array:
        centred = values - values.mean(-1, keepdims=True)
        variance = (centred**2).mean(-1, keepdims=True)
        scaled: Array = centred / np.sqrt(variance + layer_norm_epsilon)
        scaled *= weights[f"{name}.weight"]
        return scaled + weights[f"{name}.bias"]

    def linear(values: Array, name: str) -> Array:
        product: Array = values @ weights[f"{name}.weight"].T.astype(np.float64)
        return product + weights[f"{name}.bias"]

    hidden = norm(
        weights["embeddings.word_embeddings.weight"][input_ids].astype(np.float64)
        + weights["embeddings.token_type_embeddings.weight"][token_type_ids]
        + weights["embeddings.position_embeddings.weight"][: input_ids.shape[1]],
        "embeddings.LayerNorm",
    )
    shown = attention_mask[:, None, None, :].astype(bool)  # [B, 1, 1, S]
    for layer in range(architecture.layers):
        prefix = f"encoder.layer.{layer}"
        query, key, value = (
            _by_head(linear(hidden, f"{prefix}.attention.self.{part}"), architecture.heads)
            for part in ("query", "key", "value")
        )
        context = _attend(query, key, value, shown)
        joined = context.swapaxes(1, 2).reshape(*input_ids.shape, architecture.qkv)
        attended = linear(joined, f"{prefix}.attention.output.dense")
        hidden = norm(attended + hidden, f"{prefix}.attention.output.LayerNorm")
        inner = _gelu(linear(hidden, f"{prefix}.intermediate.dense"))
        hidden = norm(
            linear(inner, f"{prefix}.output.dense") + hidden, f"{prefix}.output.LayerNorm"
        )
    pooled = np.tanh(linear(hidden[:, 0], "pooler.dense"))
    return hidden.astype(np.float32), pooled.astype(np.float32)


def _by_head(values: Array, heads: int) -> Array:
    """[B, S, A * D] as [B, A, S, D]."""
    batch, length, _ = values.shape
    return values.reshape(batch, length, heads, -1).swapaxes(1, 2)


def _attend(query: Array, key: Array, value: Array, shown: npt.NDArray[np.bool_]) -> Array:
    """What each token takes from those that it is shown: [B, A, S, D]."""
    scores = query @ key.swapaxes(-1, -2) / np.sqrt(query.shape[-1])
    context: Array = _softmax(np.where(shown, scores, np.finfo(np.float32).min)) @ value
    return context


def _softmax(scores: Array) -> Array:
    powers = np.exp(scores - scores.max(-1, keepdims=True))
    shares: Array = powers / powers.sum(-1, keepdims=True)
    return shares


def _gelu(values: Array) -> Array:
    """The exact form, with the error function."""
    from scipy.special import erf

    result: Array = values * 0.5 * (1 + erf(values / np.sqrt(2)))
    return result
