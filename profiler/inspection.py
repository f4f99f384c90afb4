"""What a model file shows before it is timed: weights on which a processor may slow down."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

#: A processor that handles denormal numbers by microcode takes some 150 cycles in place of half a
#: one for each vector of sixteen that holds one: this share then costs about 5 %.
_TELLING_SHARE = 1e-5

__all__ = ["WeightFacts", "inspect_weights", "weight_warnings"]


@dataclass(frozen=True, slots=True)
class WeightFacts:
    """The floating-point weights of a model file.

    Attributes:
        count: How many there are.
        denormal: How many are denormal: not zero, and below the smallest normal number.
    """

    count: int
    denormal: int

    @property
    def denormal_share(self) -> float:
        """Share of the weights that are denormal."""
        return self.denormal / self.count if self.count else 0.0


def inspect_weights(path: Path) -> WeightFacts | None:
    """Count the floating-point weights of an ONNX file, and the denormal ones among them.

    Returns:
        None of a file that is not readable as ONNX: the runtime will say what is wrong with it.
    """
    import onnx
    from google.protobuf.message import DecodeError
    from onnx import numpy_helper

    kinds = {onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE}  # halves become floats before use
    try:
        graph = onnx.load(path).graph
    except (DecodeError, OSError, ValueError, onnx.checker.ValidationError):
        return None
    count = denormal = 0
    for tensor in graph.initializer:
        if tensor.data_type in kinds:
            sizes = np.abs(numpy_helper.to_array(tensor))
            count += sizes.size
            denormal += int(np.count_nonzero((sizes > 0) & (sizes < np.finfo(sizes.dtype).tiny)))
    return WeightFacts(count, denormal)


def weight_warnings(path: Path) -> tuple[str, ...]:
    """What to know about the weights of a model file before trusting its latency, in words.

    A processor may take many times as long for an operation on a denormal number, so a model that
    holds some is slower than another of its shape. Training with weight decay leaves them behind
    in rows that nothing uses.
    """
    facts = inspect_weights(path)
    if facts is None or facts.denormal_share < _TELLING_SHARE:
        return ()
    told = (
        f"{100 * facts.denormal_share:.2g}% of the weights are denormal numbers, on which "
        "processors may be slow: set them to zero, or this model's latency is not that of its "
        "architecture."
    )
    return (told,)
