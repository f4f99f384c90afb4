"""From a text file to a trained SuperPLM, its evaluation and an extracted model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from small_build import SPACE

from atb.data.tokenizer.tokenizer_files import read_vocabulary
from atb.data.tokenizer.vocabulary import Vocabulary

TINY = ("--space", "tiny.toml", "--steps", "3", "--batch", "4", "--threads", "1")


@pytest.fixture
def shards(atb, tmp_path: Path) -> Path:
    sentences = [
        f"The {animal} sees {number} lamps near the old harbour."
        for animal in ("owl", "fox", "heron", "mole")
        for number in ("two", "three", "nine", "eleven")
    ]
    (tmp_path / "text.txt").write_text("\n\n".join(sentences))
    (tmp_path / "tiny.toml").write_text(SPACE)
    done = atb("data", "prepare", "text.txt", "--out", "shards", "--json")
    assert json.loads(done.stdout)["sequences"] == 16
    return tmp_path / "shards"


@pytest.mark.slow
def test_from_scratch_with_masked_words(atb, tmp_path, shards) -> None:
    init = ("superplm", "init", "--arch", "L2-H32-A2-Q32-F64", "--out", "start")
    assert atb(*init).returncode == 0
    again = atb(*init)
    assert again.returncode == 2
    assert "holds a SuperPLM already" in again.stderr
    train = ("superplm", "train", "--superplm", "start", "--data", "shards", "--out", "run",
             "--objective", "mlm", "--sampling", "uniform", *TINY)  # fmt: skip
    assert atb(*train).returncode == 0
    weights = (tmp_path / "run" / "model.safetensors").read_bytes()
    assert atb(*train).returncode == 0  # done already
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == weights
    judged = atb("superplm", "evaluate", "run", "--proxy", "mlm", "--data", "shards",
                 "--space", "tiny.toml", "--json")  # fmt: skip
    losses = json.loads(judged.stdout)["losses"]
    assert [losses[at]["architecture"] for at in (0, -1)] == [
        "L1-H16-A1-Q16-F32",
        "L2-H32-A2-Q32-F64",
    ]
    assert all(0 < entry["loss"] < 20 for entry in losses)
    extracted = atb("model", "extract", "L1-H16-A1-Q16-F32", "--superplm", "run", "--out", "model")
    assert extracted.returncode == 0, extracted.stderr
    assert (tmp_path / "model" / "model.int8.onnx").is_file()


@pytest.mark.slow
def test_from_an_encoder_with_distillation_from_itself(atb, tmp_path, shards) -> None:
    import torch
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    BertModel(
        BertConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64)
    ).save_pretrained(tmp_path / "encoder")
    read_vocabulary().save(tmp_path / "encoder")
    init = atb("superplm", "init", "--from", "encoder", "--data", "shards", "--out", "start")
    assert init.returncode == 0, init.stderr
    for name, more in (
        ("self", ()),
        ("given", ("--teacher", "encoder", "--attention-weight", "0")),
    ):
        train = atb("superplm", "train", "--superplm", "start", "--data", "shards",
                    "--out", name, *TINY, *more)  # fmt: skip
        assert train.returncode == 0, train.stderr
    same = ("self", "--data", "shards", "--space", "tiny.toml", "--json")
    told = json.loads(atb("superplm", "evaluate", *same).stdout)
    assert told["teacher"] == str(tmp_path / "start")
    assert 0 < told["losses"][-1]["loss"] < 1e-2  # what it began as is its teacher
    shared = atb("superplm", "train", "--superplm", "self", "--data", "shards", "--out", "shared",
                 "--arch", "L1-H16-A1-Q16-F32", "--arch", "L2-H24-A2-Q16-F48",
                 "--steps", "2", "--batch", "4")  # fmt: skip
    assert shared.returncode == 0, shared.stderr
    in_place = atb("superplm", "train", "--superplm", "start", "--data", "shards",
                   "--out", "taught", "--objective", "relations", "--in-place",
                   "--batch-parts", "2", *TINY)  # fmt: skip
    assert in_place.returncode == 0, in_place.stderr
    wrong = atb("superplm", "train", "--superplm", "start", "--data", "shards", "--out", "x",
                "--objective", "mlm", *TINY)  # fmt: skip
    assert wrong.returncode == 2
    assert "no masked-LM head" in wrong.stderr
    assert not (tmp_path / "x").exists()


@pytest.mark.slow
def test_another_language_and_distillation_whose_weight_falls(atb, tmp_path: Path) -> None:
    import torch
    from transformers import BertConfig, BertForMaskedLM

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "Der", "Bär", "sieht", "die", "Uhr", "."]
    (tmp_path / "vocab.txt").write_text("\n".join(words) + "\n", "utf-8")
    rows = [{"body": "Der Bär sieht die Uhr. Die Uhr sieht der Bär."}] * 8
    (tmp_path / "text.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    (tmp_path / "tiny.toml").write_text(SPACE)
    prepare = ("data", "prepare", "text.jsonl", "--out", "shards", "--column", "body", "--json")
    summary = json.loads(atb(*prepare, "--vocabulary", "vocab.txt", "--cased").stdout)
    assert summary["documents"] == 8
    assert summary["unknown_tokens"] == 16  # "Die" and "der"
    init = atb("superplm", "init", "--arch", "L2-H32-A2-Q32-F64", "--vocabulary", "vocab.txt",
               "--out", "start")  # fmt: skip
    assert init.returncode == 0, init.stderr
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 4}
    torch.manual_seed(0)
    config = BertConfig(**sizes, vocab_size=len(words), intermediate_size=20)
    BertForMaskedLM(config).save_pretrained(tmp_path / "teacher")
    Vocabulary(tuple(words), lowercase=False).save(tmp_path / "teacher")
    train = ("superplm", "train", "--superplm", "start", "--data", "shards", "--out", "run",
             "--objective", "inherit", "--teacher", "teacher", "--annealed", "0.5",
             *TINY)  # fmt: skip
    uncased = atb(*train)
    assert uncased.returncode == 2
    assert "another vocabulary" in uncased.stderr
    init = atb("superplm", "init", "--arch", "L2-H32-A2-Q32-F64", "--vocabulary", "vocab.txt",
               "--cased", "--out", "cased")  # fmt: skip
    assert init.returncode == 0, init.stderr
    done = atb(*["cased" if word == "start" else word for word in train])
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "vocab.txt").read_text("utf-8").split() == words
    extracted = atb("model", "extract", "L1-H16-A1-Q16-F32", "--superplm", "run", "--out", "model")
    assert extracted.returncode == 0, extracted.stderr
    assert (tmp_path / "model" / "vocab.txt").read_text("utf-8").split() == words
    Vocabulary(tuple(reversed(words)), lowercase=False).save(tmp_path / "teacher")
    other = atb(*["cased" if word == "start" else word for word in train], "--out", "other")
    assert other.returncode == 2
    assert "another vocabulary" in other.stderr
    kept = atb("superplm", "init", "--arch", "L2-H32-A2-Q32-F64", "--keep", "even", "--out", "x")
    assert kept.returncode == 2
    gone = atb(*["nothing" if word == "teacher" else word for word in train], "--out", "x")
    assert gone.returncode == 2
    assert "Traceback" not in gone.stderr
