"""Empty models of the shapes of slices: weights are handed to them at each call."""

from __future__ import annotations

import functools
from typing import Any

import torch

from atb.models import Architecture
from atb.models.superplm.modeling_tinybert import TinyBertConfig
from atb.models.superplm.slicing import config_of

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


@functools.lru_cache(maxsize=512)
def skeleton(kind: Any, architecture: Architecture, shared: _Shared) -> Any:
    """A module of a slice's shape without weights: an encoder, or a masked-LM head."""
    with torch.device("meta"):  # costs no memory
        return kind(config_of(architecture, **dict(shared)))
