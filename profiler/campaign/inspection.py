"""What a model file shows before it is timed: weights that make its latency another one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from atb.models import ExternalTensor, data_files, read_graph

if TYPE_CHECKING:
    import onnx

#: A processor that handles denormal numbers by microcode takes some 150 cycles in place of half a
#: one for each vector of sixteen that holds one: this share then costs about 5 %.
_TELLING_SHARE = 1e-5


@dataclass(frozen=True, slots=True)
class WeightFacts:
    """The floating-point weights of a model file.

    Attributes:
        count: How many there are.
        denormal: How many are denormal: not zero, and below the smallest normal number.
        halves: How many more there are of 16 bits.
    """

    count: int
    denormal: int
    halves: int = 0

    @property
    def denormal_share(self) -> float:
        """Share of the weights that are denormal."""
        return self.denormal / self.count if self.count else 0.0


def inspect_weights(path: Path) -> WeightFacts | None:
    """Count the floating-point weights of an ONNX model, and the denormal ones among them.

    Returns:
        None of a file that is not readable as ONNX: the runtime will say what is wrong with it.

    Raises:
        BadFile: A file of weights that belongs to it is missing.
    """
    graph = read_graph(path)
    if graph is None:
        return None
    data = {file.location: file.path for file in data_files(path)}
    count = denormal = halves = 0
    for tensor in graph.graph.initializer:
        if tensor.data_type in (tensor.FLOAT16, tensor.BFLOAT16):
            halves += math.prod(tensor.dims)
        weights = _floats(tensor, data)
        if weights is not None:
            sizes = np.abs(weights)
            count += sizes.size
            denormal += int(np.count_nonzero((sizes > 0) & (sizes < np.finfo(sizes.dtype).tiny)))
    return WeightFacts(count, denormal, halves)


def _floats(
    tensor: onnx.TensorProto, data: Mapping[str, Path]
) -> npt.NDArray[np.floating[Any]] | None:
    """The values of a tensor, flat; None where they are no floats, or halves."""
    from onnx import numpy_helper

    # halves become floats before use
    if tensor.data_type not in (tensor.FLOAT, tensor.DOUBLE):
        return None
    kind = np.float32 if tensor.data_type == tensor.FLOAT else np.float64
    try:
        if tensor.data_location != tensor.EXTERNAL:
            return numpy_helper.to_array(tensor).ravel()
        told = ExternalTensor.of(tensor)
        number = math.prod(tensor.dims)
        return np.fromfile(data[told.location], kind, number, offset=told.offset_bytes)
    except (OSError, ValueError):  # what is stored is not what the tensor's shape wants
        return None


def weight_warnings(path: Path) -> tuple[str, ...]:
    """What to know about the weights of a model file before trusting its latency, in words.

    A processor may take many times as long for an operation on a denormal number, so a model that
    holds some is slower than another of its shape. Training with weight decay leaves them behind
    in rows that nothing uses.
    """
    facts, found = inspect_weights(path), []
    if facts is not None and facts.denormal_share >= _TELLING_SHARE:
        found.append(
            f"{100 * facts.denormal_share:.2g}% of the weights are denormal numbers, on which "
            "processors may be slow: set them to zero, or this model's latency is not that of its "
            "architecture."
        )
    if facts is not None and facts.halves > facts.count:
        found.append(
            "the weights have 16 bits, for which conditions have no word: they say fp32, in which "
            "most processors compute them after a conversion."
        )
    return tuple(found)
