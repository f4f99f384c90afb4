"""What a model's card says, and its metadata."""

from __future__ import annotations

from typing import Any

from huggingface_hub import ModelCard

from atb.deploy.model_card import CardFacts, model_card
from atb.models.architecture import Architecture
from atb.models.history import Stage

SHAPE = Architecture(1, 41, 3, 33, 57)
CUT = Stage("extract", {"superplm": "L6-H384-A12-Q384-F1536", "sha256": "abc"})
TUNED = Stage("finetune", {"task": "sst2", "scores": {"dev": {"accuracy": 0.87654, "f1": 0.5}}})


def card(*history: Stage, **facts: Any) -> str:
    shown: dict[str, Any] = {"parameters": 1_234_567, "positions": 128, "checks": ("One.", "Two.")}
    return model_card(CardFacts(SHAPE, history, **shown | facts))


def test_scores_of_fine_tuning_are_metadata() -> None:
    data = ModelCard(card(CUT, TUNED, head="classification")).data
    found = {
        (r.task_type, r.dataset_name, r.dataset_split, r.metric_type): r.metric_value
        for r in data.eval_results
    }
    assert found == {
        ("text-classification", "sst2", "dev", "accuracy"): 0.8765,
        ("text-classification", "sst2", "dev", "f1"): 0.5,
    }
    assert data.library_name == "transformers"
    assert data.language == "en"


def test_every_stage_is_a_line_and_the_last_says_what_the_model_is_for() -> None:
    training = {"objective": "mlm", "steps": 9, "batch": 3, "learning_rate": 5}
    text = card(CUT, Stage("train", training), TUNED)
    for line in (
        "1. Cut out of a SuperPLM of shape L6-H384-A12-Q384-F1536, chosen by hand.",
        "2. Trained further with the objective `mlm`: 9 steps of 3 sequences, learning rate 5.",
        "3. Fine-tuned on sst2: accuracy 0.8765 on dev, f1 0.5000 on dev.",
        "33 dimensions, feed-forward 57) by AutoTinyBERT (`atb`), fine-tuned on sst2.",
        "- One.",
    ):
        assert line in text.splitlines(), line
    assert "trained further as a general encoder" in card(CUT, Stage("train", training))


def test_nothing_is_claimed_that_is_not_known() -> None:
    text = card(is_shipped_vocabulary=False)
    assert "Its folder does not tell." in text
    assert "Not measured." in text
    assert "license" not in text
    assert "model-index" not in text
    assert "Apache-2.0" not in text


def test_a_plain_bert_needs_no_code_of_its_folder() -> None:
    assert "trust_remote_code" not in card(CUT, is_plain_bert=True)
    assert card(CUT, head="qa").count("trust_remote_code") == 3
