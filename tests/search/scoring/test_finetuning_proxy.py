"""Scores by a short fine-tuning of each slice."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest
import torch
from task_files import write_glue

from atb.data.tokenizer.tokenizer_files import read_vocabulary
from atb.errors import InputError, RunError
from atb.models.architecture import Architecture
from atb.models.superplm.superplm import SuperPLM
from atb.search.scoring import finetuning_proxy
from atb.search.scoring.executors import ProcessExecutor
from atb.search.scoring.proxies import make_proxy

LARGEST = Architecture(2, 32, 2, 32, 64)
SLICES = [Architecture(1, 16, 1, 16, 32), Architecture(2, 24, 2, 16, 48)]


@pytest.fixture
def made(tmp_path: Path) -> tuple[str, str]:
    """Folder of a SuperPLM, and of a task's rows."""
    torch.manual_seed(0)
    superplm = SuperPLM.from_architecture(LARGEST, positions=64, projection_size=32)
    superplm.save(tmp_path / "superplm")
    read_vocabulary().save(tmp_path / "superplm")
    data = write_glue(tmp_path / "sst2", "sst2", rows=40)
    rows = [f"a {('dull', 'warm')[n % 2]} film\t{n % 2}" for n in range(40)]
    (data / "train.tsv").write_text("\n".join(["sentence\tlabel", *rows]) + "\n")
    return str(tmp_path / "superplm"), str(data)


@pytest.mark.slow
def test_each_slice_is_fine_tuned_by_the_same_budget(made: tuple[str, str]) -> None:
    superplm, data = made
    proxy = make_proxy(superplm, "finetune", task="sst2", data=data)
    scores = proxy.score(SLICES)
    assert proxy.score(SLICES[::-1]) == scores[::-1]
    assert all(score is not None and -2 < score < 0 for score in scores)
    assert scores[0] != scores[1]
    assert proxy.facts == {"task": "sst2, fine-tuned on 36 rows and scored on 4"}  # type: ignore[attr-defined]
    again = make_proxy(superplm, "finetune", task="sst2", data=data)
    assert again.key == proxy.key


def test_fine_tuning_is_what_scores(made: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    superplm, data = made
    short = make_proxy(superplm, "finetune", task="sst2", data=data)
    (before,) = short.score(SLICES[1:])
    monkeypatch.setattr(finetuning_proxy, "EPOCHS", 20.0)
    monkeypatch.setattr(finetuning_proxy, "LEARNING_RATE", 5e-3)
    long = make_proxy(superplm, "finetune", task="sst2", data=data)
    assert long.key != short.key
    (after,) = long.score(SLICES[1:])
    assert before is not None
    assert after is not None
    assert after > before + 0.1  # the label stands in the text


def test_a_loss_that_is_no_number_is_no_score_and_a_full_disk_is_told(
    made: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    superplm, data = made
    proxy = make_proxy(superplm, "finetune", task="sst2", data=data)
    error = RunError("The loss became nan.")

    def fail(*_: object, **__: object) -> SuperPLM:
        raise error

    monkeypatch.setattr(finetuning_proxy, "train_superplm", fail)
    assert proxy.score(SLICES[:1]) == [None]
    error.__cause__ = OSError("no space left")
    with pytest.raises(RunError):
        proxy.score(SLICES[:1])


def test_what_it_needs_is_asked_for_by_name(made: tuple[str, str]) -> None:
    superplm, data = made
    for options, message in (
        ({"name": "finetune", "task": "sst2"}, "--task and --data"),
        ({"name": "distillation", "task": "sst2"}, "no use for --task"),
        ({"name": "mlm", "data": data}, "no use for --data"),
        ({"name": "finetune", "task": "sst2", "data": data, "teacher": "mini"}, "--teacher"),
        ({"name": "finetune", "task": "sst2", "data": "nowhere"}, "nowhere"),
        ({"name": "finetune", "task": "sst3", "data": data}, "sst3"),
    ):
        with pytest.raises(InputError, match=message):
            make_proxy(superplm, **options)  # type: ignore[arg-type]


@pytest.mark.slow
def test_processes_give_the_same_scores(made: tuple[str, str]) -> None:
    superplm, data = made
    factory = functools.partial(make_proxy, superplm, "finetune", task="sst2", data=data)
    executor = ProcessExecutor(factory, 1)
    found = {architecture: score for architecture, score, _ in executor.scores(SLICES)}
    executor.close()
    assert [found[architecture] for architecture in SLICES] == factory().score(SLICES)
