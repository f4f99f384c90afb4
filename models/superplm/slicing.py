"""The slicing rule of the SuperPLM, in one place (AutoTinyBERT, section 3.2; both its spaces).

Of every matrix a slice takes the first rows and columns: hidden dimensions, feed-forward neurons,
and for the attention the first A heads and of each the first Q/A dimensions. Of the layers it takes
the bottom ones, as the paper does, or evenly spaced ones with the last, as DynaBERT does (Hou et
al., 2020): whichever its SuperPLM is made for.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import astuple
from typing import Any, Literal

from torch import Tensor

from atb.models import Architecture
from atb.models.superplm.modeling_tinybert import TinyBertConfig

#: Which layers of a SuperPLM a slice of fewer layers takes.
SliceLayers = Literal["bottom", "even"]

# What the axes of each parameter are, by the end of its name; the first match counts.
# "all" is never cut: vocabulary, positions, token types, outputs of the projection and of heads.
_AXES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("embeddings.weight", ("all", "hidden")),
    ("LayerNorm.weight", ("hidden",)),
    ("LayerNorm.bias", ("hidden",)),
    ("self.query.weight", ("attention", "hidden")),
    ("self.query.bias", ("attention",)),
    ("self.key.weight", ("attention", "hidden")),
    ("self.key.bias", ("attention",)),
    ("self.value.weight", ("attention", "hidden")),
    ("self.value.bias", ("attention",)),
    ("attention.output.dense.weight", ("hidden", "attention")),
    ("intermediate.dense.weight", ("feed_forward", "hidden")),
    ("intermediate.dense.bias", ("feed_forward",)),
    ("pooler.dense.weight", ("hidden", "hidden")),
    ("transform.dense.weight", ("hidden", "hidden")),
    ("output.dense.weight", ("hidden", "feed_forward")),
    ("dense.bias", ("hidden",)),
    ("projection.weight", ("all", "hidden")),
    ("projection.bias", ("all",)),
    ("predictions.bias", ("all",)),
    ("classifier.weight", ("all", "hidden")),
    ("classifier.bias", ("all",)),
    ("qa_outputs.weight", ("all", "hidden")),
    ("qa_outputs.bias", ("all",)),
)

_LAYER = "bert.encoder.layer."
# What a configuration calls the numbers of an architecture, in their order.
_SIZES = (
    "num_hidden_layers",
    "hidden_size",
    "num_attention_heads",
    "qkv_size",
    "intermediate_size",
)


def axes_of(name: str) -> tuple[str, ...]:
    """What the axes of a parameter are: hidden, attention, feed_forward, or all (never cut)."""
    for ending, axes in _AXES:
        if name.endswith(ending):
            return axes
    raise AssertionError(f"no slicing rule for the parameter {name}")


def layer_of(name: str) -> int | None:
    """The layer that a parameter belongs to, if it belongs to one."""
    if not name.startswith(_LAYER):
        return None
    return int(name.removeprefix(_LAYER).partition(".")[0])


def name_in_slice(name: str, layers: Sequence[int]) -> str | None:
    """What a parameter is called in a slice of some layers, which counts its own from 0.

    None where its layer is not among them.
    """
    layer = layer_of(name)
    if layer is None:
        return name
    if layer not in layers:
        return None
    ending = name.removeprefix(_LAYER).partition(".")[2]
    return f"{_LAYER}{layers.index(layer)}.{ending}"


def layers_of_slice(rule: SliceLayers, whole: int, layers: int) -> Sequence[int]:
    """Which layers a slice takes, in ascending order and counted from 0.

    Args:
        rule: The lowest ones (`bottom`), or evenly spaced ones that end with the last (`even`).
        whole: Layers of the SuperPLM.
        layers: Layers of the slice.
    """
    if rule == "bottom":
        return range(layers)
    return [round(place * whole / layers) - 1 for place in range(1, layers + 1)]


def slice_parameter(
    name: str, parameter: Tensor, whole: Architecture, architecture: Architecture
) -> Tensor:
    """The part of a parameter that a slice uses, differentiable.

    A view, except where heads are narrowed: their rows do not lie together and are copied.

    Args:
        name: Name of the parameter, which tells what its axes are.
        parameter: The parameter at the size of the whole.
        whole: Shape of the SuperPLM.
        architecture: Shape of the slice.
    """
    lengths = {"hidden": architecture.hidden, "feed_forward": architecture.feed_forward}
    for dimension, axis in enumerate(axes_of(name)):
        if axis in lengths:
            parameter = parameter.narrow(dimension, 0, lengths[axis])
        elif axis == "attention" and architecture.head_size == whole.head_size:
            parameter = parameter.narrow(dimension, 0, architecture.qkv)
        elif axis == "attention":  # of the first heads the first dimensions, without a gather
            shape = (whole.heads, whole.head_size)  # [.., A * D, ..] -> [.., A, D, ..]
            by_head = parameter.unflatten(dimension, shape)  # type: ignore[no-untyped-call]
            parameter = (
                by_head.narrow(dimension, 0, architecture.heads)
                .narrow(dimension + 1, 0, architecture.head_size)
                .flatten(dimension, dimension + 1)
            )
    return parameter


def config_of(
    architecture: Architecture, base: TinyBertConfig | None = None, **changes: Any
) -> TinyBertConfig:
    """The configuration of a TinyBert of this shape; all else as in `base`."""
    config = copy.deepcopy(base) if base is not None else TinyBertConfig()
    sizes = dict(zip(_SIZES, astuple(architecture), strict=True))
    for name, value in {**sizes, **changes}.items():
        setattr(config, name, value)
    return config


def architecture_of(config: TinyBertConfig) -> Architecture:
    """The shape that a configuration describes."""
    return Architecture(*(getattr(config, name) for name in _SIZES))
