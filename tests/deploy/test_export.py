"""Proxies over a small SuperPLM, and the exported product."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from search_world import result_of
from task_files import write_glue

from atb.data.corpus.samples import held_out
from atb.data.tasks.glue import GLUE
from atb.data.tokenizer.tokenizer_files import read_vocabulary
from atb.deploy import export, graph_checks
from atb.deploy.export import MANIFEST, export_model
from atb.errors import InputError, RunError
from atb.models.architecture import Architecture
from atb.models.superplm.superplm import SuperPLM
from atb.search.scoring.graphs import FP32_FILE, INT8_FILE
from atb.search.scoring.proxies import make_proxy
from atb.search.scoring.proxy import DistillationProxy, MlmProxy, superplm_sha256
from atb.search.scoring.task_proxy import TaskProxy
from atb.training.finetuning.elastic import ElasticSettings, elastic_scorer, finetune_elastic
from atb.training.one_shot.further import space_of

LARGEST = Architecture(2, 48, 4, 64, 96)
#: Odd widths, and a query width that is not the hidden size.
SLICE = Architecture(1, 41, 3, 33, 57)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def make(**changes: Any) -> SuperPLM:
    torch.manual_seed(0)
    options = {"projection_size": 48, "positions": 128} | changes
    return SuperPLM.from_architecture(LARGEST, **options).eval()


@pytest.fixture(scope="module")
def superplm() -> SuperPLM:
    return make()


def test_distillation_scores_the_whole_best_and_names_its_conditions(superplm: SuperPLM) -> None:
    text = held_out(64, 12)
    proxy = DistillationProxy(superplm, text)
    whole, part = proxy.score([LARGEST, SLICE])
    assert whole == pytest.approx(0, abs=1e-5)
    assert part is not None
    assert part < whole
    assert proxy.key == DistillationProxy(superplm, text).key
    assert proxy.key != DistillationProxy(superplm, held_out(64, 11)).key
    assert proxy.key != DistillationProxy(make(positions=64), text).key


def test_masked_words_score_near_chance_without_training() -> None:
    proxy = MlmProxy(make(with_mlm_head=True), held_out(64, 8))
    (score,) = proxy.score([SLICE])
    assert score == pytest.approx(-np.log(30_522), rel=0.05)


def test_a_slice_that_cannot_be_scored_is_none(superplm: SuperPLM) -> None:
    broken = make()
    with torch.no_grad():
        broken.bert.encoder.layer[0].output.dense.bias.fill_(float("nan"))
    assert DistillationProxy(broken, held_out(64, 4)).score([SLICE]) == [None]


@pytest.mark.slow
def test_tasks_score_slices_without_training(tmp_path: Path) -> None:
    data, start = str(write_glue(tmp_path / "rte", "rte", rows=30)), make()
    folders = []
    for task, kept in (("rte", "one"), ("rte", "other")):
        settings = ElasticSettings(
            space_of(LARGEST), epochs=0.5, batch_size=8, sampling="uniform", random_samples=1,
            seed=len(folders),
        )  # fmt: skip
        folders.append(tmp_path / kept)
        finetune_elastic(
            start, GLUE[task], data, settings, folders[-1], vocabulary=read_vocabulary()
        )
    proxy = TaskProxy(folders)
    (score,) = proxy.score([SLICE])
    losses = [
        elastic_scorer(SuperPLM.load(folder), folder).score(SLICE)["loss"] for folder in folders
    ]
    assert score == pytest.approx(-sum(losses) / 2)
    (rough,) = proxy.score_roughly([SLICE])
    assert rough == pytest.approx(score, rel=0.3)
    assert rough != score
    assert proxy.key == TaskProxy(folders).key
    assert proxy.key != TaskProxy(folders[:1]).key
    with pytest.raises(InputError, match="needs --elastic"):
        TaskProxy([])


def test_the_make_proxy_is_what_the_superplm_allows(superplm: SuperPLM) -> None:
    assert make_proxy(superplm).name == "agreement"
    assert make_proxy(superplm, "distillation").name == "distillation"
    masked = make(projection_size=None, with_mlm_head=True)
    assert make_proxy(masked).name == "mlm"
    with pytest.raises(InputError):
        MlmProxy(superplm, held_out(64, 4))


def test_a_text_with_a_larger_vocabulary_is_refused() -> None:
    with pytest.raises(InputError, match="vocabulary"):
        DistillationProxy(make(vocabulary_size=1000), held_out(64, 4))


@pytest.mark.slow
def test_the_exported_folder_loads_in_plain_transformers(
    superplm: SuperPLM, tmp_path: Path
) -> None:
    made = export_model(superplm, SLICE, tmp_path / "model")
    assert made.fp32_difference <= 1e-4
    assert made.int8_cosine > 0.95
    program = (
        "import sys, torch; sys.modules['atb'] = None; torch.set_num_threads(1)\n"
        "from transformers import AutoModel, AutoTokenizer\n"
        "tokenizer = AutoTokenizer.from_pretrained('.', trust_remote_code=True)\n"
        "model = AutoModel.from_pretrained('.', trust_remote_code=True).eval()\n"
        "inputs = tokenizer(['A sentence.', 'Another one, longer.'], padding=True,"
        " return_tensors='pt')\n"
        "with torch.no_grad():\n    hidden = model(**inputs).last_hidden_state\n"
        "print(tuple(hidden.shape), float((hidden * inputs['attention_mask'][..., None]).sum()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path / "model",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    shape, total = done.stdout.strip().split(") ")
    assert shape == "(2, 7, 41"
    encodings = read_vocabulary().tokenizer().encode_batch(["A sentence.", "Another one, longer."])
    ids = torch.zeros(2, 7, dtype=torch.long)
    for row, encoding in enumerate(encodings):
        ids[row, : len(encoding.ids)] = torch.tensor(encoding.ids)
    mask = (ids != 0).long()
    with torch.no_grad():
        hidden = superplm.hidden_states(SLICE, ids, mask)
    assert float(total) == pytest.approx(float((hidden * mask[..., None]).sum()), abs=1e-2)


def test_onnx_equals_the_slice_on_any_batch_and_length(superplm: SuperPLM, tmp_path: Path) -> None:
    import onnxruntime

    export_model(superplm, SLICE, tmp_path / "model")
    session = onnxruntime.InferenceSession(tmp_path / "model" / FP32_FILE)
    rng = np.random.default_rng(0)
    for batch, length in ((1, 1), (3, 17), (2, 128)):
        ids = rng.integers(30_522, size=(batch, length))
        mask = (np.arange(length) < rng.integers(1, length + 1, (batch, 1))).astype(np.int64)
        feeds = {"input_ids": ids, "attention_mask": mask, "token_type_ids": 0 * ids}
        (hidden,) = session.run(["last_hidden_state"], feeds)
        with torch.no_grad():
            wanted = superplm.hidden_states(SLICE, torch.from_numpy(ids), torch.from_numpy(mask))
        assert np.abs(hidden - wanted.numpy()).max() < 1e-4
    quantised = onnxruntime.InferenceSession(tmp_path / "model" / INT8_FILE)
    assert quantised.run(["pooler_output"], feeds)[0].shape == (2, 41)


def test_the_card_tells_the_measured_latency_and_its_conditions(
    superplm: SuperPLM, tmp_path: Path, world: Any
) -> None:
    source = tmp_path / "superplm"
    source.mkdir()
    facts = {
        "format": 1,
        "kind": "superplm-model-card",
        "encoder": {"name": "some-encoder", "licence": "Apache-2.0"},
        "text": {"sources": {"one": "Some text, public domain"}},
    }
    (source / "card.json").write_text(json.dumps(facts))
    read_vocabulary().save(source)
    export_model(superplm, SLICE, tmp_path / "model", result=result_of(world, SLICE), source=source)
    card = (tmp_path / "model" / "README.md").read_text()
    for words in (
        "license: apache-2.0",
        "# L1-H41-A3-Q33-F57",
        "**2.00 ms** (1.99 ms to 2.01 ms)",
        str(world.conditions),
        "`evolution` (seed 0) over 12",
        "some-encoder (Apache-2.0)",
        "Some text, public domain",
        superplm_sha256(superplm),
    ):
        assert words in card, words


def test_the_same_export_is_not_made_twice_and_another_replaces_it(
    superplm: SuperPLM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "model"
    first = export_model(superplm, SLICE, folder)
    with monkeypatch.context() as patched:
        patched.setattr(export, "write_graphs", None)
        assert export_model(superplm, SLICE, folder) == first
    (folder / INT8_FILE).unlink()
    assert export_model(superplm, SLICE, folder) == first
    assert (folder / INT8_FILE).is_file()
    other = export_model(superplm, Architecture(1, 32, 2, 32, 64), folder)
    assert json.loads((folder / MANIFEST).read_text())["architecture"] == str(other.architecture)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model"]


def test_a_masked_lm_head_travels_along(tmp_path: Path) -> None:
    from transformers import AutoModelForMaskedLM

    superplm = make(with_mlm_head=True, projection_size=None)
    export_model(superplm, SLICE, tmp_path / "model")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert config["architectures"] == ["TinyBertForMaskedLM"]
    loaded = AutoModelForMaskedLM.from_pretrained(tmp_path / "model").eval()
    ids = torch.arange(1000, 1008)[None]
    with torch.no_grad():
        logits = loaded(input_ids=ids).logits[0]
        hidden = superplm.hidden_states(SLICE, ids)
        wanted = superplm.mlm_logits(SLICE, hidden, torch.ones(1, 8, dtype=torch.bool))
    assert torch.allclose(logits, wanted, atol=1e-5)


def test_what_computes_something_else_is_not_handed_over(
    superplm: SuperPLM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph_checks, "TOLERANCE", 0.0)
    with pytest.raises(RunError, match="differs from torch"):
        export_model(superplm, SLICE, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_what_cannot_be_exported_is_refused(superplm: SuperPLM, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not fit"):
        export_model(superplm, Architecture(3, 48, 4, 64, 96), tmp_path / "model")
    with pytest.raises(InputError, match="vocabulary"):
        export_model(make(vocabulary_size=1000), SLICE, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []
