"""A TinyBert as an exactly equal plain BERT of transformers, which needs no remote code.

BERT's heads are as wide together as its hidden size. A TinyBert's are narrower or fewer: each is
padded with zeros to BERT's width, and heads of zeros are added, which attend to everything and
bring nothing. BERT divides scores by the square root of its own head size, so that queries are
scaled up by as much.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertModel,
)

from atb.errors import InputError
from atb.models import Architecture, plain_bert_heads
from atb.models.superplm.modeling_tinybert import (
    TinyBertForMaskedLM,
    TinyBertForQuestionAnswering,
    TinyBertForSequenceClassification,
    TinyBertModel,
    TinyBertPreTrainedModel,
)
from atb.models.superplm.slicing import architecture_of

_BERTS: dict[type[TinyBertPreTrainedModel], Any] = {
    TinyBertModel: BertModel,
    TinyBertForMaskedLM: BertForMaskedLM,
    TinyBertForSequenceClassification: BertForSequenceClassification,
    TinyBertForQuestionAnswering: BertForQuestionAnswering,
}
#: All TinyBerts by the name that a configuration tells.
TINYBERTS = {kind.__name__: kind for kind in _BERTS}
_SHARED = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "intermediate_size",
    "max_position_embeddings",
    "type_vocab_size",
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "layer_norm_eps",
    "initializer_range",
    "pad_token_id",
    "id2label",
    "label2id",
    "problem_type",
)
_SELF, _OUTPUT = ".attention.self.", ".attention.output.dense.weight"


def plain_bert(model: TinyBertPreTrainedModel) -> Any:
    """The plain BERT that computes the same, with the same head, in eval mode.

    What BERT has no place for, the projection of sentence embeddings, stays behind.

    Raises:
        InputError: No BERT can be equal.
    """
    config: Any = model.config
    architecture = architecture_of(config)
    heads = plain_bert_heads(architecture)
    if heads is None:
        raise InputError(
            f"No plain BERT equals {architecture}: no number of heads from {architecture.heads} "
            f"on divides the hidden size {architecture.hidden} and leaves each at least "
            f"{architecture.head_size} wide; export it as --format tinybert."
        )
    with torch.device("meta"):
        kind = _BERTS[type(model)]
        bert = kind(
            BertConfig(
                **{name: getattr(config, name) for name in _SHARED},
                num_attention_heads=heads,
                hidden_act="gelu",
            )
        )
    state = {
        name: _padded(name, tensor, architecture, heads)
        for name, tensor in model.state_dict().items()
        if not name.removeprefix("bert.").startswith("projection.")
    }
    if isinstance(model, TinyBertForMaskedLM):
        state["cls.predictions.decoder.weight"] = state["bert.embeddings.word_embeddings.weight"]
        state["cls.predictions.decoder.bias"] = state["cls.predictions.bias"]
    wanted = set(bert.state_dict())
    if "bert.pooler.dense.weight" not in wanted and kind is not BertModel:
        state = {name: t for name, t in state.items() if not name.startswith("bert.pooler.")}
    bert.load_state_dict(state, strict=True, assign=True)
    _fill_buffers(bert)
    bert.tie_weights()
    return bert.eval()


def _padded(name: str, tensor: Tensor, architecture: Architecture, heads: int) -> Tensor:
    """A tensor under BERT's shape: heads of zeros added, and zeros to each head."""
    if _SELF not in name and not name.endswith(_OUTPUT):
        return tensor.clone()
    size, wide = architecture.head_size, architecture.hidden // heads
    inward = name.endswith(_OUTPUT)  # the heads are its columns
    rows = tensor.T if inward else tensor
    padded = rows.new_zeros(heads, wide, *rows.shape[1:])
    padded[: architecture.heads, :size] = rows.reshape(architecture.heads, size, *rows.shape[1:])
    if ".self.query." in name:
        padded *= math.sqrt(wide / size)
    padded = padded.flatten(0, 1)
    return (padded.T if inward else padded).contiguous()


def _fill_buffers(bert: Any) -> None:
    """Values of what is not stored: a model made on the meta device has none."""
    embeddings = getattr(bert, "bert", bert).embeddings
    positions = bert.config.max_position_embeddings
    embeddings.position_ids = torch.arange(positions)[None]
    embeddings.token_type_ids = torch.zeros(1, positions, dtype=torch.long)
