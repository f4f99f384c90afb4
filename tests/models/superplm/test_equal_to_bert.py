"""What a TinyBert can be asked for beside its last states, held against BERT on equal weights."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from atb.models.superplm import modeling_tinybert
from atb.models.superplm.modeling_tinybert import TinyBertConfig, TinyBertModel, save_folder

SIZES = {
    "vocab_size": 40,
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 30,
    "max_position_embeddings": 16,
}
KINDS = ("Model", "ForMaskedLM", "ForSequenceClassification", "ForQuestionAnswering")


def pair(kind: str, **settings: Any) -> tuple[Any, Any]:
    """A BERT and a TinyBert with its weights, both in eval mode."""
    torch.manual_seed(0)
    config = transformers.BertConfig(**SIZES, attn_implementation="eager", **settings)
    bert = getattr(transformers, f"Bert{kind}")(config)
    for parameter in bert.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    tiny = getattr(modeling_tinybert, f"TinyBert{kind}")(TinyBertConfig(**SIZES, **settings))
    shared = {
        name: bert.state_dict().get(name, tensor) for name, tensor in tiny.state_dict().items()
    }
    tiny.load_state_dict(shared)
    return bert.eval(), tiny.eval()


def asked(**more: Any) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(1)
    mask = torch.ones(2, 9, dtype=torch.long)
    mask[1, 5:] = 0
    ids = torch.randint(0, 40, (2, 9), generator=generator)
    return {"input_ids": ids, "attention_mask": mask, **more}


def assert_equal(one: Any, other: Any, where: str) -> None:
    if isinstance(one, torch.Tensor):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4, msg=lambda m: f"{where}: {m}")
        return
    assert len(one) == len(other), where
    for place, (left, right) in enumerate(zip(one, other, strict=True)):
        assert_equal(left, right, f"{where}[{place}]")


PLACES = torch.tensor([[3, 1, 2, 0, 9, 8, 15, 4, 5]])
WAYS: dict[str, dict[str, Any]] = {
    "hidden states": {"output_hidden_states": True},
    "attentions": {"output_attentions": True},
    "both": {"output_hidden_states": True, "output_attentions": True},
    "places": {"position_ids": PLACES},
    "segments": {"token_type_ids": torch.tensor([[0] * 4 + [1] * 5] * 2)},
    "a mask of pairs": {"attention_mask": torch.ones(2, 9, 9, dtype=torch.long).tril()},
    "no mask": {"attention_mask": None},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@torch.no_grad()
def test_what_is_asked_for_is_what_bert_says(kind: str, way: dict[str, Any]) -> None:
    bert, tiny = pair(kind)
    given = asked(**way)
    theirs = dict(given)
    mask = given["attention_mask"]
    if mask is not None and mask.dim() == 3:  # current BERTs want what is added to the scores
        theirs["attention_mask"] = (1.0 - mask[:, None].float()) * torch.finfo().min
    wanted, found = bert(**theirs), tiny(**given)
    # a BERT that attends to itself alone tells empty ones of another's
    names = [name for name in wanted.keys() if name != "cross_attentions"]  # noqa: SIM118
    assert list(found.keys()) == names
    for name in names:
        assert_equal(found[name], wanted[name], name)


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_rows_of_the_word_table_stand_for_numbers(kind: str) -> None:
    _, tiny = pair(kind)
    given = asked()
    rows = tiny.get_input_embeddings()(given.pop("input_ids"))
    assert_equal(tiny(inputs_embeds=rows, **given).to_tuple(), tiny(**asked()).to_tuple(), kind)


@pytest.mark.parametrize(
    ("settings", "labels"),
    [
        ({"num_labels": 1}, torch.tensor([0.5, 2.0])),
        ({"num_labels": 3}, torch.tensor([0, 2])),
        ({"num_labels": 3}, torch.tensor([[0.0, 1.0, 1.0], [1.0, 0.0, 0.0]])),
        ({"num_labels": 2, "problem_type": "regression"}, torch.tensor([[0.5, 2.0], [1.0, 0.0]])),
        (
            {"num_labels": 2, "problem_type": "multi_label_classification"},
            torch.tensor([[0.0, 1.0], [1.0, 1.0]]),
        ),
    ],
)
@torch.no_grad()
def test_the_loss_of_a_classifier_is_berts(settings: dict[str, Any], labels: torch.Tensor) -> None:
    bert, tiny = pair("ForSequenceClassification", **settings)
    assert_equal(tiny(**asked(labels=labels)).loss, bert(**asked(labels=labels)).loss, "loss")


def test_what_the_configuration_says_counts_where_a_call_says_nothing() -> None:
    _, tiny = pair("Model")
    tiny.config.output_hidden_states = True
    assert len(tiny(**asked()).hidden_states) == 4
    assert tiny(**asked(output_hidden_states=False)).hidden_states is None
    tiny.config.return_dict = False
    assert isinstance(tiny(**asked()), tuple)


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"inputs_embeds": torch.zeros(2, 9, 24)}, "either input_ids or inputs_embeds"),
        ({"input_ids": None}, "either input_ids or inputs_embeds"),
        ({"input_ids": torch.zeros(1, 17, dtype=torch.long)}, "17 tokens is longer than the 16"),
        ({"attention_mask": torch.ones(9)}, "mask has the shape"),
    ],
)
def test_impossible_inputs_are_refused_in_words(change: dict[str, Any], wanted: str) -> None:
    _, tiny = pair("Model")
    with pytest.raises(ValueError, match=wanted):
        tiny(**asked(**change))


@pytest.mark.parametrize("kind", KINDS)
def test_what_bert_takes_beyond_is_refused_and_not_ignored(kind: str) -> None:
    _, tiny = pair(kind)
    with pytest.raises(TypeError, match="encoder_hidden_states"):
        tiny(**asked(encoder_hidden_states=torch.zeros(2, 9, 24)))
    # a Trainer leaves the mean over accumulated batches to models that take any argument
    parameters = inspect.signature(type(tiny).forward).parameters.values()
    assert all(parameter.kind is not parameter.VAR_KEYWORD for parameter in parameters)


def test_attentions_come_out_of_a_folder_that_transformers_loads(tmp_path: Path) -> None:
    _, tiny = pair("Model")
    assert isinstance(tiny, TinyBertModel)
    save_folder(tiny, None, tmp_path)
    loaded = transformers.AutoModel.from_pretrained(tmp_path, attn_implementation="eager")
    found = loaded(**asked(output_attentions=True)).attentions
    assert_equal(found, tiny(**asked(output_attentions=True)).attentions, "attentions")
