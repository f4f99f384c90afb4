"""Names and shapes of the weights of a small BERT, written once.

They are those of transformers' `BertModel`, with its convention [out, in] for matrices.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from atb.models.architecture import Architecture

Weights = Mapping[str, npt.NDArray[np.float32]]

#: Standard deviation of BERT's initial weights (Devlin et al. 2019).
_INITIAL_DEVIATION = 0.02


def weights_shapes(
    architecture: Architecture,
    *,
    vocabulary_size: int = 30_522,
    positions: int = 512,
    token_types: int = 2,
) -> dict[str, tuple[int, ...]]:
    """Shapes by name of embeddings, encoder and pooler, in the order of the model."""
    h, q, f = architecture.hidden, architecture.qkv, architecture.feed_forward
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (vocabulary_size, h),
        "embeddings.position_embeddings.weight": (positions, h),
        "embeddings.token_type_embeddings.weight": (token_types, h),
        "embeddings.LayerNorm.weight": (h,),
        "embeddings.LayerNorm.bias": (h,),
    }
    linear = {
        "attention.self.query": (q, h),
        "attention.self.key": (q, h),
        "attention.self.value": (q, h),
        "attention.output.dense": (h, q),
        "attention.output.LayerNorm": (h,),
        "intermediate.dense": (f, h),
        "output.dense": (h, f),
        "output.LayerNorm": (h,),
    }
    for layer in range(architecture.layers):
        for part, shape in linear.items():
            shapes[f"encoder.layer.{layer}.{part}.weight"] = shape
            shapes[f"encoder.layer.{layer}.{part}.bias"] = shape[:1]
    shapes["pooler.dense.weight"] = (h, h)
    shapes["pooler.dense.bias"] = (h,)
    return shapes


def random_weights(
    architecture: Architecture,
    rng: np.random.Generator,
    *,
    vocabulary_size: int = 30_522,
    positions: int = 512,
    token_types: int = 2,
) -> dict[str, npt.NDArray[np.float32]]:
    """Weights with BERT's initial spread, biases included, as quickly as they can be drawn.

    They are uniform rather than normal (three times as fast), and no value is so small that a
    processor would slow down on it.
    """
    shapes = weights_shapes(
        architecture,
        vocabulary_size=vocabulary_size,
        positions=positions,
        token_types=token_types,
    )
    sizes = [int(np.prod(shape)) for shape in shapes.values()]
    drawn = rng.random(sum(sizes), dtype=np.float32)
    drawn -= np.float32(0.5)
    drawn *= np.float32(_INITIAL_DEVIATION * np.sqrt(12))  # a unit interval deviates by 1/sqrt(12)
    weights = {}
    ends = np.cumsum(sizes)
    for (name, shape), end, size in zip(shapes.items(), ends, sizes, strict=True):
        values = drawn[end - size : end]
        # matrices lie in memory as [in, out], as the graph stores them: transposing copies nothing
        is_table = name.endswith("_embeddings.weight")
        weights[name] = values.reshape(shape) if is_table else values.reshape(shape[::-1]).T
        if name.endswith("LayerNorm.weight"):
            weights[name] += np.float32(1)
    return weights
