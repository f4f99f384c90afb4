"""Models that others saved: taken over with their own words, or refused by the first command."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from atb.data.tokenizer.tokenizer_files import vocabulary_of
from atb.data.tokenizer.vocabulary import Vocabulary

WORDS = (*("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"), *"abcdefghijklmnopqrstuvwxyz", "der")
PIECES = (*WORDS, *(f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"))


def save_bert(folder: Path, *, kind: str = "BertForMaskedLM", rows: int = len(PIECES)) -> Path:
    """A folder as current transformers saves it, with words of its own: no vocab.txt."""
    import torch
    import transformers

    torch.manual_seed(0)
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    config = transformers.BertConfig(
        **sizes, intermediate_size=16, vocab_size=rows, max_position_embeddings=24
    )
    getattr(transformers, kind)(config).save_pretrained(folder)
    numbers = {word: number for number, word in enumerate(PIECES)}
    transformers.BertTokenizer(vocab=numbers, do_lower_case=False).save_pretrained(folder)
    assert not (folder / "vocab.txt").exists()
    return folder


def stored(folder: Path) -> int:
    """Numbers in a folder's weights."""
    return sum(tensor.numel() for tensor in load_file(folder / "model.safetensors").values())


@pytest.mark.parametrize("kind", ["BertForMaskedLM", "BertModel"])
def test_an_imported_model_keeps_its_words_and_tells_its_own_size(
    atb_here, tmp_path: Path, kind: str
) -> None:
    from transformers import AutoTokenizer

    folder = save_bert(tmp_path / "theirs", kind=kind)
    done = atb_here("model", "import", "theirs", "--out", "ours")
    assert done.returncode == 0, done.stderr
    assert f" {stored(folder):,} parameters" in done.stdout
    words = vocabulary_of(tmp_path / "ours")
    assert words == Vocabulary(PIECES, lowercase=False)
    ours = AutoTokenizer.from_pretrained(tmp_path / "ours")
    assert ours.tokenize("der Äbc") == AutoTokenizer.from_pretrained(folder).tokenize("der Äbc")
    assert ours.model_max_length == 24
    card = (tmp_path / "ours" / "README.md").read_text()
    assert f"A small BERT ({stored(tmp_path / 'ours'):,} parameters" in card


def test_a_head_that_stays_behind_is_told(atb_here, tmp_path: Path) -> None:
    save_bert(tmp_path / "theirs", kind="BertForSequenceClassification")
    done = atb_here("model", "import", "theirs", "--out", "ours")
    assert done.returncode == 0, done.stderr
    assert "head of a task (classifier.bias), which stays behind" in done.stderr


def test_importance_is_measured_with_the_words_of_the_encoder(atb_here, tmp_path: Path) -> None:
    save_bert(tmp_path / "theirs")
    done = atb_here("superplm", "init", "--from", "theirs", "--out", "own")
    assert done.returncode == 0, done.stderr
    assert "of the words of the shipped English sample: give --data" in done.stderr
    card = json.loads((tmp_path / "own" / "superplm.json").read_text())
    assert (card["vocabulary_size"], card["positions"]) == (len(PIECES), 24)
    assert vocabulary_of(tmp_path / "own") == vocabulary_of(tmp_path / "theirs")
    for other, wanted in ((PIECES[::-1], "another vocabulary"), (PIECES, "reads 24")):
        Vocabulary(other, lowercase=False).save(tmp_path / "words")
        (tmp_path / "text.txt").write_text("der abc def " * 40)
        atb_here("data", "prepare", "text.txt", "--vocabulary", "words", "--out", wanted)
        refused = atb_here("superplm", "init", "--from", "theirs", "--data", wanted, "--out", "x")
        assert refused.returncode == 2
        assert wanted in refused.stderr


@pytest.mark.slow
def test_a_word_table_padded_beyond_the_words_passes_every_command(
    atb_here, tmp_path: Path
) -> None:
    save_bert(tmp_path / "theirs", rows=64)
    (tmp_path / "text.txt").write_text("der abc def\n\n" * 40)
    commands = (
        "data prepare text.txt --vocabulary theirs --sequence-length 24 --out shards",
        "model import theirs --out model",
        "model import theirs --as-superplm --out as-it-is",
        "superplm init --from theirs --data shards --out s",
        "superplm train --superplm s --data shards --objective mlm --steps 2 --arch ALL --out r",
        "superplm evaluate r --proxy mlm --held-out shards --arch ALL",
        "model extract L1-H4-A1-Q8-F8 --superplm r --out cut",
        "model train cut --data shards --objective mlm --steps 2 --batch 2 --out further",
        "model export further --out deployed",
        "model export model --format bert --out plain",
    )
    for command in commands:
        done = atb_here(*command.replace("ALL", "L1-H8-A1-Q8-F16").split())
        assert done.returncode == 0, (command, done.stderr)
    config = json.loads((tmp_path / "deployed" / "config.json").read_text())
    assert config["vocab_size"] == 64


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"model_type": "roberta"}, "has the model type roberta"),
        ({"is_decoder": True}, "is_decoder is True"),
        ({"hidden_act": "gelu_new"}, "hidden_act is 'gelu_new'"),
        ({"vocab_size": 40}, "40 rows in its word table and a vocabulary of 58"),
        ({"intermediate_size": 20}, "different shapes"),
        ({"max_position_embeddings": 10**12}, "different shapes"),
        ({"num_hidden_layers": 10**9}, "lacks the tensor"),
        (None, "holds no tokenizer"),
    ],
)
@pytest.mark.parametrize(
    "command",
    [
        "model import theirs --out x",
        "model import theirs --as-superplm --out x",
        "superplm init --from theirs --out x",
    ],
)
def test_what_is_no_bert_is_refused_by_the_first_command(
    atb_here, tmp_path: Path, command: str, change: dict[str, Any] | None, wanted: str
) -> None:
    folder = save_bert(tmp_path / "theirs")
    if change is None:
        (folder / "tokenizer.json").unlink()
    else:
        path = folder / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    refused = atb_here(*command.split())
    assert refused.returncode == 2
    told = refused.stderr.splitlines()[-1]
    assert re.fullmatch(rf"atb: .*{re.escape(wanted)}.*\.", told), refused.stderr
    assert not (tmp_path / "x").exists()
