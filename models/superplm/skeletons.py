"""Empty models of the shapes of slices: weights are handed to them at each call."""

from __future__ import annotations

import functools
from typing import Any

import torch

from atb.models import Architecture
from atb.models.superplm.modeling_tinybert import TinyBertConfig, TinyBertModel, TinyBertPredictions
from atb.models.superplm.slicing import config_of

__all__ = ["encoder_skeleton", "head_skeleton", "shared_of"]

# What a slice's configuration shares with that of the whole, beside the sizes.
_SHARED = (
    "vocab_size",
    "max_position_embeddings",
    "type_vocab_size",
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "layer_norm_eps",
)
_Shared = tuple[tuple[str, Any], ...]


def shared_of(config: TinyBertConfig) -> _Shared:
    """What all slices have in common, hashable."""
    return tuple((name, getattr(config, name)) for name in _SHARED)


@functools.lru_cache(maxsize=256)
def encoder_skeleton(architecture: Architecture, shared: _Shared) -> TinyBertModel:
    """A TinyBert without weights; on the meta device, so that it costs no memory."""
    with torch.device("meta"):
        return TinyBertModel(config_of(architecture, **dict(shared)))


@functools.lru_cache(maxsize=256)
def head_skeleton(architecture: Architecture, shared: _Shared) -> TinyBertPredictions:
    """A masked-LM head without weights."""
    with torch.device("meta"):
        return TinyBertPredictions(config_of(architecture, **dict(shared)))
