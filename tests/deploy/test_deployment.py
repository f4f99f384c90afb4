"""Models with heads as they are deployed: for transformers, as plain BERT, for onnxruntime."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from transformers import (
    AutoModel,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)

from atb.data.tasks.glue import GLUE
from atb.data.tokenizer.tokenizer_files import read_vocabulary
from atb.data.tokenizer.vocabulary import Vocabulary, tokenizer_of
from atb.deploy import deployment
from atb.deploy.deployment import TaskData, deploy
from atb.errors import BadFile, InputError, RunError
from atb.models.architecture import Architecture
from atb.models.history import Stage, read_history, write_history
from atb.models.superplm.modeling_tinybert import (
    TinyBertForQuestionAnswering,
    TinyBertForSequenceClassification,
    TinyBertModel,
    save_folder,
)
from atb.models.superplm.slicing import config_of
from atb.search.scoring.graphs import FP32_FILE, INT8_FILE

pytestmark = pytest.mark.slow

SHAPE = Architecture(1, 48, 3, 24, 40)
HEADS = {
    "encoder": (TinyBertModel, AutoModel),
    "classification": (TinyBertForSequenceClassification, AutoModelForSequenceClassification),
    "qa": (TinyBertForQuestionAnswering, AutoModelForQuestionAnswering),
}


def made(folder: Path, head: str = "classification", shape: Architecture = SHAPE) -> Path:
    """A model with lively random weights in a folder of its own."""
    torch.manual_seed(0)
    model: Any = HEADS[head][0](config_of(shape, vocab_size=30_522))
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    save_folder(model, tokenizer_of(read_vocabulary()), folder)
    write_history(folder, (Stage("import", {"source": "somewhere"}),))
    return folder


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("layout", ["tinybert", "bert"])
@torch.no_grad()
def test_torch_transformers_and_onnxruntime_agree(tmp_path: Path, head: str, layout: Any) -> None:
    model = made(tmp_path / "model", head)
    found = deploy(model, tmp_path / "out", layout=layout)
    assert found.fp32_difference <= 1e-4
    texts = AutoTokenizer.from_pretrained(tmp_path / "out")(
        ["A sentence.", "Another one, longer."], padding=True, return_tensors="pt"
    )
    original = HEADS[head][0].from_pretrained(model).eval()
    wanted = original(**texts).to_tuple()
    loaded = HEADS[head][1].from_pretrained(tmp_path / "out").eval()
    assert type(loaded).__name__.startswith("Bert" if layout == "bert" else "TinyBert")
    feeds = {name: tensor.numpy() for name, tensor in texts.items()}
    graph = onnxruntime.InferenceSession(tmp_path / "out" / FP32_FILE)
    for outputs in (loaded(**texts).to_tuple(), graph.run(None, feeds)):
        assert len(outputs) == len(wanted)
        for one, other in zip(outputs, wanted, strict=True):
            assert np.abs(np.asarray(one) - other.numpy()).max() < 1e-4


def test_one_layout_replaces_the_other(tmp_path: Path) -> None:
    model = made(tmp_path / "model")
    deploy(model, tmp_path / "out")
    assert (tmp_path / "out" / "modeling_tinybert.py").is_file()
    deploy(model, tmp_path / "out", layout="bert")
    assert not (tmp_path / "out" / "modeling_tinybert.py").exists()
    assert json.loads((tmp_path / "out" / "config.json").read_text())["model_type"] == "bert"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "out"]


def test_both_graphs_are_scored_on_the_rows_of_the_task(tmp_path: Path) -> None:
    rows = [f"a film number {number} .\t{number % 2}" for number in range(20)]
    (tmp_path / "dev.tsv").write_text("\n".join(["sentence\tlabel", *rows]) + "\n")
    told: list[str] = []
    found = deploy(
        made(tmp_path / "model"),
        tmp_path / "out",
        rows=TaskData(GLUE["sst2"], str(tmp_path), 24),
        progress=lambda done, total, word: told.append(word),
    )
    assert set(found.scores) == {"fp32", "int8"}
    assert 0 <= found.scores["int8"]["dev"]["accuracy"] <= 1
    assert "scoring int8" in told
    card = (tmp_path / "out" / "README.md").read_text()
    assert f"accuracy on dev: {found.scores['fp32']['dev']['accuracy']:.4f}" in card
    assert "Taken over from somewhere." in card
    assert read_history(tmp_path / "out") == read_history(tmp_path / "model")


@pytest.mark.parametrize("with_rows", [False, True])
def test_static_quantisation_fixes_ranges_from_text(tmp_path: Path, with_rows: bool) -> None:
    rows = [f"a film number {number} .\t{number % 2}" for number in range(20)]
    for split in ("train", "dev"):
        (tmp_path / f"{split}.tsv").write_text("\n".join(["sentence\tlabel", *rows]) + "\n")
    data = TaskData(GLUE["sst2"], str(tmp_path), 24) if with_rows else None
    found = deploy(made(tmp_path / "model"), tmp_path / "out", quantisation="static", rows=data)
    assert found.int8_cosine > 0.9
    graph = onnx.load(tmp_path / "out" / INT8_FILE).graph
    operators = {node.op_type for node in graph.node}
    assert "QuantizeLinear" in operators
    assert "DynamicQuantizeLinear" not in operators
    assert "statically quantised" in (tmp_path / "out" / "README.md").read_text()


def test_static_quantisation_without_text_of_its_vocabulary_is_refused(tmp_path: Path) -> None:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "слово"]
    model: Any = TinyBertModel(config_of(SHAPE, vocab_size=len(words)))
    save_folder(model, tokenizer_of(Vocabulary(tuple(words))), tmp_path / "model")
    with pytest.raises(InputError, match="--data"):
        deploy(tmp_path / "model", tmp_path / "out", quantisation="static")


def test_what_is_wrong_is_told_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, out = made(tmp_path / "model"), tmp_path / "out"
    with pytest.raises(InputError, match="itself"):
        deploy(model, model)
    with pytest.raises(BadFile, match=r"no .*config.json"):
        deploy(tmp_path / "nowhere", out)
    unequal = made(tmp_path / "unequal", shape=Architecture(1, 26, 3, 24, 40))
    with pytest.raises(InputError, match="--format tinybert"):
        deploy(unequal, out, layout="bert")
    with monkeypatch.context() as patched, pytest.raises(RunError, match="differs"):
        patched.setattr(deployment, "_PLAIN_BERT_TOLERANCE", 0.0)
        deploy(model, out, layout="bert")
    (model / "model.safetensors").write_bytes(b"torn")
    with pytest.raises(BadFile, match="cannot be loaded"):
        deploy(model, out)
    (model / "config.json").write_text('{"architectures": ["BertModel"]}')
    with pytest.raises(BadFile, match="no TinyBert"):
        deploy(model, out)
    assert not out.exists()


def test_a_damaged_history_is_told(tmp_path: Path) -> None:
    model = made(tmp_path / "model")
    (model / "history.json").write_text('{"kind": "model-history", "format": 1}')
    with pytest.raises(BadFile, match="damaged"):
        deploy(model, tmp_path / "out")


def test_int8_files_are_checked_too(tmp_path: Path) -> None:
    found = deploy(made(tmp_path / "model"), tmp_path / "out")
    assert found.int8_cosine > 0.9
    assert (tmp_path / "out" / INT8_FILE).stat().st_size < (
        tmp_path / "out" / FP32_FILE
    ).stat().st_size
