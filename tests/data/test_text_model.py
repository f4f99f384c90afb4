"""What a model's folder says of the text that the model reads."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import transformers

from atb.data.corpus.samples import held_out
from atb.data.text_model import EncoderConfig, TextModel
from atb.data.tokenizer.tokenizer_files import read_vocabulary
from atb.data.tokenizer.vocabulary import Vocabulary
from atb.errors import BadFile, InputError
from atb.models.superplm.bundled import folder_of

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz", "the")
SIZES = {
    "vocab_size": len(WORDS),
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 40,
    "type_vocab_size": 2,
}


def folder_with(folder: Path, *, tokenizer: bool = True, **changes: Any) -> Path:
    """A folder as transformers writes it, without weights."""
    folder.mkdir(exist_ok=True)
    told = {"model_type": "bert", **SIZES, **changes}
    told = {name: value for name, value in told.items() if value is not None}
    (folder / "config.json").write_text(json.dumps(told))
    if tokenizer:
        Vocabulary(WORDS).save(folder)
        (folder / "vocab.txt").unlink()
    return folder


def test_a_model_is_read_with_its_own_words_and_sizes(tmp_path: Path) -> None:
    model = TextModel.read(folder_with(tmp_path))
    assert model.vocabulary == Vocabulary(WORDS)
    assert (model.family, model.rows, model.positions, model.token_types) == ("bert", 32, 40, 2)


def test_a_word_table_may_have_more_rows_than_there_are_words_and_not_fewer(tmp_path: Path) -> None:
    assert TextModel.read(folder_with(tmp_path, vocab_size=40)).rows == 40
    with pytest.raises(BadFile, match="31 rows in its word table and a vocabulary of 32"):
        TextModel.read(folder_with(tmp_path, vocab_size=31))


def test_a_model_without_a_tokenizer_is_refused_and_mini_has_the_shipped_words(
    tmp_path: Path,
) -> None:
    with pytest.raises(BadFile, match="holds no tokenizer"):
        TextModel.read(folder_with(tmp_path / "model", tokenizer=False))
    mini = TextModel.read(folder_of("mini"))
    assert mini.vocabulary == read_vocabulary()
    assert (mini.family, mini.rows, mini.positions) == ("superplm", 30_522, 512)
    card = tmp_path / "superplm.json"
    card.write_text((folder_of("mini") / "superplm.json").read_text().replace("0f05", "1f05"))
    with pytest.raises(BadFile, match="holds no tokenizer"):
        TextModel.read(tmp_path)


def test_the_sample_is_in_the_words_of_the_model_and_no_longer_than_it_reads(
    tmp_path: Path,
) -> None:
    model = TextModel.read(folder_with(tmp_path))
    sample = model.sample(6)
    tokens, mask = sample.batch(range(6))
    assert tokens.shape[1] <= 40
    assert tokens.max() < len(WORDS)
    assert tokens[0, 0] == 2
    assert tokens[0, mask[0].sum() - 1] == 3
    assert sample.vocabulary_sha256 == model.vocabulary.sha256
    model.check_text(sample, tmp_path)
    # words of several letters are unknown to it, for it has no pieces
    assert sample.unknown_share > 0.5
    assert held_out(limit=6).unknown_share < 0.01


def test_text_of_other_words_or_longer_sequences_is_refused(tmp_path: Path) -> None:
    model = TextModel.read(folder_with(tmp_path))
    swapped = replace(model, vocabulary=Vocabulary((*WORDS[:-2], WORDS[-1], WORDS[-2])))
    with pytest.raises(InputError, match=r"another vocabulary .* --vocabulary"):
        model.check_text(swapped.sample(4), Path("shards"))
    longer = replace(model, positions=64).sample(4)
    with pytest.raises(InputError, match=r"64 tokens and .* --sequence-length 40"):
        model.check_text(longer, Path("shards"))


@pytest.mark.parametrize(
    "kind",
    [
        *("Roberta", "Camembert", "XLMRoberta", "Ernie", "DistilBert", "Albert", "MPNet"),
        *("ModernBert", "MegatronBert", "MobileBert", "RoFormer", "Nystromformer", "BigBird"),
        *("ConvBert", "Data2VecText", "RoCBert", "SqueezeBert", "DebertaV2", "BertGeneration"),
    ],
)
def test_an_encoder_of_another_family_is_refused_by_name(tmp_path: Path, kind: str) -> None:
    config = getattr(transformers, f"{kind}Config")()
    config.save_pretrained(tmp_path)
    with pytest.raises(BadFile, match=f"has the model type {config.model_type}, .* BERT, TinyBERT"):
        EncoderConfig.read(tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {"is_decoder": True},
        {"add_cross_attention": True},
        {"position_embedding_type": "relative_key"},
        {"position_embedding_type": "relative_key_query"},
        {"hidden_act": "gelu_new"},
        {"hidden_act": "relu"},
        {"use_task_id": True},
        {"model_type": "electra", "embedding_size": 8},
        {"model_type": None, "emb_size": 8},
        {"quantization_config": {"quant_method": "bitsandbytes", "load_in_8bit": True}},
    ],
)
def test_a_setting_that_changes_what_is_computed_is_refused_by_name(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    (name,) = set(changes) - {"model_type"}
    with pytest.raises(BadFile, match=f"not laid out like BERT, its {name} is"):
        EncoderConfig.read(folder_with(tmp_path, **changes))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"model_type": "electra", "embedding_size": 16},
        {"model_type": None, "emb_size": 16, "qkv_size": 12},
        {"model_type": None, "architectures": ["BertForPreTraining"]},
        {"position_embedding_type": "absolute", "is_decoder": False, "use_task_id": False},
    ],
)
def test_what_computes_as_bert_does_is_read(tmp_path: Path, changes: dict[str, Any]) -> None:
    config = EncoderConfig.read(folder_with(tmp_path, **changes))
    assert config.sizes == SIZES
    assert config.qkv_size == changes.get("qkv_size")


def test_an_old_configuration_that_names_another_architecture_is_refused(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, model_type=None, architectures=["RobertaForMaskedLM"])
    with pytest.raises(BadFile, match="has the model type RobertaForMaskedLM"):
        EncoderConfig.read(folder)


@pytest.mark.parametrize(
    ("name", "value"), [("hidden_size", "16"), ("vocab_size", 0), ("type_vocab_size", None)]
)
def test_an_impossible_size_is_refused(tmp_path: Path, name: str, value: Any) -> None:
    with pytest.raises(BadFile, match=f"does not describe a BERT encoder .*{name}"):
        EncoderConfig.read(folder_with(tmp_path, **{name: value}))
