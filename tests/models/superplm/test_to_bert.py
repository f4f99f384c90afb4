"""A TinyBert as an equal plain BERT."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModel

from atb.errors import InputError
from atb.models.architecture import Architecture
from atb.models.superplm.modeling_tinybert import (
    TinyBertConfig,
    TinyBertForMaskedLM,
    TinyBertForQuestionAnswering,
    TinyBertForSequenceClassification,
    TinyBertModel,
)
from atb.models.superplm.to_bert import plain_bert, plain_bert_heads

KINDS = [
    TinyBertModel,
    TinyBertForMaskedLM,
    TinyBertForSequenceClassification,
    TinyBertForQuestionAnswering,
]


def made(kind: Any, text: str = "L2-H48-A3-Q24-F40") -> Any:
    """A TinyBert with large random weights, so that its attention is far from flat."""
    a = Architecture.parse(text)
    torch.manual_seed(0)
    config = TinyBertConfig(
        vocab_size=60,
        hidden_size=a.hidden,
        num_hidden_layers=a.layers,
        num_attention_heads=a.heads,
        qkv_size=a.qkv,
        intermediate_size=a.feed_forward,
        max_position_embeddings=20,
        projection_size=8,
        num_labels=2 if kind is TinyBertForQuestionAnswering else 3,
    )
    model = kind(config).eval()
    for parameter in model.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    return model


def inputs() -> dict[str, torch.Tensor]:
    ids = torch.randint(60, (3, 11), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(ids)
    mask[1, 6:] = 0
    types = torch.zeros_like(ids)
    types[:, 5:] = 1
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", ["L2-H48-A3-Q24-F40", "L1-H48-A5-Q30-F64", "L2-H48-A4-Q48-F40"])
@torch.no_grad()
def test_the_plain_model_computes_the_same(kind: Any, text: str) -> None:
    model = made(kind, text)
    wanted, found = model(**inputs()).to_tuple(), plain_bert(model)(**inputs()).to_tuple()
    assert len(wanted) == len(found)
    for one, other in zip(wanted, found, strict=True):
        assert torch.allclose(one, other, atol=2e-5)


@torch.no_grad()
def test_it_loads_without_remote_code(tmp_path: Path) -> None:
    model = made(TinyBertModel)
    plain_bert(model).save_pretrained(tmp_path)
    loaded = AutoModel.from_pretrained(tmp_path).eval()
    assert type(loaded).__name__ == "BertModel"
    assert torch.allclose(
        loaded(**inputs()).last_hidden_state, model(**inputs()).last_hidden_state, atol=2e-5
    )


@torch.no_grad()
def test_the_query_has_to_be_scaled() -> None:
    """Without it the outputs differ, so that the tests above can fail."""
    model = made(TinyBertModel)
    bert = plain_bert(model)
    for layer in bert.encoder.layer:
        layer.attention.self.query.weight /= 2**0.5
        layer.attention.self.query.bias /= 2**0.5
    difference = bert(**inputs()).last_hidden_state - model(**inputs()).last_hidden_state
    assert difference.abs().max() > 1e-3


@pytest.mark.parametrize(
    ("text", "heads"),
    [
        ("L5-H564-A12-Q528-F1024", 12),
        ("L1-H384-A5-Q160-F640", 6),  # 5 does not divide 384; a sixth head of zeros
        ("L1-H208-A5-Q160-F640", None),  # heads of 32: at most 6, and 208 has 4 and 8
        ("L1-H128-A8-Q256-F640", None),  # wider than the hidden size
    ],
)
def test_heads(text: str, heads: int | None) -> None:
    assert plain_bert_heads(Architecture.parse(text)) == heads


def test_what_no_bert_equals_is_refused() -> None:
    with pytest.raises(InputError, match="--format tinybert"):
        plain_bert(made(TinyBertModel, "L1-H26-A3-Q24-F40"))
