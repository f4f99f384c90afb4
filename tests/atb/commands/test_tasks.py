"""From a SuperPLM to fine-tuned models and their scores, by commands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from small_build import SPACE
from task_files import write_glue, write_squad

SMALL, LARGE = "L1-H16-A1-Q16-F32", "L2-H32-A2-Q32-F64"
pytestmark = pytest.mark.slow


@pytest.fixture
def superplm(atb, tmp_path: Path) -> str:
    (tmp_path / "tiny.toml").write_text(SPACE)
    made = atb("superplm", "init", "--arch", LARGE, "--projection", "32", "--out", "start")
    assert made.returncode == 0, made.stderr
    return "start"


def test_slices_are_fine_tuned_together_and_scored(atb, atb_here, tmp_path, superplm) -> None:
    write_glue(tmp_path / "rte", "rte", rows=40)
    elastic = ("superplm", "finetune", superplm, "--task", "RTE", "--data", "rte", "--space",
               "tiny.toml", "--epochs", "1", "--batch", "8", "--out", "elastic")  # fmt: skip
    assert atb(*elastic).returncode == 0
    assert atb(*elastic).returncode == 0  # done already
    found = atb("superplm", "evaluate", "elastic", "--arch", SMALL, "--json")
    (scored,) = json.loads(found.stdout)["scores"]
    assert scored["architecture"] == SMALL
    assert set(scored) == {"architecture", "accuracy", "loss"}
    cut = atb("model", "extract", SMALL, "--superplm", "elastic", "--out", "cut")
    assert cut.returncode == 0, cut.stderr
    judged = atb("model", "evaluate", "cut", "--task", "rte", "--data", "rte")
    assert judged.returncode == 0, judged.stderr  # the head of the task came along
    card = (tmp_path / "cut" / "README.md").read_text()
    assert "fine-tuned on rte together with all slices" in card.replace("RTE", "rte")
    alone = ("superplm", "evaluate", superplm, "--proxy", "finetune", "--task", "rte", "--data",
             "rte", "--arch", SMALL, "--out", "alone", "--json")  # fmt: skip
    (scored,) = json.loads(atb(*alone).stdout)["scores"]
    assert 0 <= scored["accuracy"] <= 1
    refused = {
        ("elastic", "--data", "none"): "no folder none",
        (superplm, "--proxy", "task", "--data", "rte"): "no file start/task.json",
        (superplm, "--proxy", "finetune"): "needs --task, --data and --out",
        (superplm, "--task", "rte"): "no use for --task",
        (superplm, "--arch", SMALL, "--samples", "2"): "either --arch or --samples",
    }
    for words, message in refused.items():
        answer = atb_here("superplm", "evaluate", *words, "--space", "tiny.toml")
        assert answer.returncode == 2
        assert message in answer.stderr
        assert "Traceback" not in answer.stderr


def test_a_model_is_extracted_trained_fine_tuned_and_judged(
    atb, atb_here, tmp_path, superplm
) -> None:
    write_glue(tmp_path / "mnli", "mnli", rows=30)
    (tmp_path / "text.txt").write_text("\n\n".join(f"The owl sees {n} lamps." for n in range(16)))
    assert atb("data", "prepare", "text.txt", "--out", "shards").returncode == 0
    assert atb("model", "extract", SMALL, "--superplm", superplm, "--out", "m").returncode == 0
    further = ("model", "train", "m", "--data", "shards", "--out", "more", "--teacher", superplm,
               "--objective", "relations", "--steps", "2", "--batch", "4")  # fmt: skip
    assert atb(*further).returncode == 0
    assert (tmp_path / "more" / "model.int8.onnx").is_file()
    tune = ("model", "finetune", "more", "--task", "mnli", "--data", "mnli", "--epochs", "1",
            "--out", "tuned", "--json")  # fmt: skip
    scores = json.loads(atb(*tune).stdout)["scores"]
    assert set(scores) == {"dev_matched", "dev_mismatched"}
    judged = json.loads(atb("model", "evaluate", "tuned", "--data", "mnli", "--json").stdout)
    assert judged["scores"] == scores
    deployed = atb("model", "export", "tuned", "--out", "deployed", "--format", "bert",
                   "--data", "mnli", "--json")  # fmt: skip
    assert deployed.returncode == 0, deployed.stderr
    found = json.loads(deployed.stdout)["scores"]["fp32"]["dev_matched"]
    assert found["accuracy"] == scores["dev_matched"]["accuracy"]
    card = (tmp_path / "deployed" / "README.md").read_text()
    assert "Trained further by" in card
    assert "fine-tuned on mnli" in card
    answered = atb("model", "evaluate", "tuned", "--data", "mnli", "--split", "test_mismatched",
                   "--answers", "answers")  # fmt: skip
    assert answered.returncode == 0, answered.stderr
    lines = (tmp_path / "answers" / "MNLI-mm.tsv").read_text().splitlines()
    assert (len(lines), lines[0]) == (31, "index\tprediction")
    imported = atb("model", "import", "more", "--out", "again", "--as-superplm")
    assert imported.returncode == 0, imported.stderr
    assert atb("superplm", "evaluate", "again", "--arch", SMALL).returncode == 0
    refused = {
        ("evaluate", "tuned", "--data", "mnli", "--split", "test_matched"): "--answers DIR",
        ("evaluate", "m", "--data", "mnli"): "does not tell its task",
        ("export", "m", "--out", "x", "--data", "mnli"): "was not fine-tuned",
        ("export", "m", "--out", "x", "--sequence-length", "9"): "that of --data",
        ("evaluate", "tuned", "--data", "nowhere"): "no folder nowhere",
        (
            "finetune",
            "m",
            "--task",
            "mnli",
            "--data",
            "mnli",
            "--epochs",
            "1",
            "--out",
            "tuned",
        ): "another starting",
        ("train", "m", "--data", "shards", "--out", "x"): "needs a --teacher",
        ("import", "shards", "--out", "x"): "config.json",
    }
    for words, message in refused.items():
        answer = atb_here("model", *words)
        assert answer.returncode == 2
        assert message in answer.stderr, answer.stderr
        assert "Traceback" not in answer.stderr


def test_questions_are_answered(atb, tmp_path, superplm) -> None:
    write_squad(tmp_path / "squad", version="2.0")
    assert atb("model", "extract", SMALL, "--superplm", superplm, "--out", "m").returncode == 0
    tuned = atb("model", "finetune", "m", "--task", "squad2", "--data", "squad", "--epochs", "1",
                "--sequence-length", "128", "--out", "tuned", "--json")  # fmt: skip
    assert set(json.loads(tuned.stdout)["scores"]["dev"]) >= {"f1", "exact", "unanswered_f1"}
    judged = atb("model", "evaluate", "tuned", "--data", "squad", "--answers", "answers",
                 "--sequence-length", "128")  # fmt: skip
    assert judged.returncode == 0, judged.stderr
    assert len(json.loads((tmp_path / "answers" / "squad2-dev.json").read_text())) == 8


def test_rows_that_cannot_be_learnt_from_are_found_before_anything_is_trained(
    atb, atb_here, tmp_path, superplm
) -> None:
    assert atb("model", "extract", SMALL, "--superplm", superplm, "--out", "m").returncode == 0
    (tmp_path / "unlabelled").mkdir()
    write_glue(tmp_path / "films", "sst2")
    for split in ("train", "dev"):
        (tmp_path / "unlabelled" / f"{split}.tsv").write_text("sentence\na film\nan owl\n")
    (tmp_path / "films" / "dev.tsv").write_text("sentence\tlabel\na film\t-1\n")
    model = ("model", "finetune", "m")
    whole = ("superplm", "finetune", superplm, "--space", "tiny.toml")
    refused = [
        (model, "unlabelled", "train.tsv has the columns 'sentence' and none of labels"),
        (whole, "unlabelled", "train.tsv has the columns 'sentence' and none of labels"),
        (model, "films", "dev.tsv has 1 of 1 rows (the first: line 2) without a label"),
    ]
    for words, data, message in refused:
        answer = atb_here(*words, "--task", "sst2", "--data", data, "--out", "out")
        assert answer.returncode == 2
        assert message in answer.stderr
        assert not (tmp_path / "out").exists()


def test_what_was_left_out_of_the_rows_is_told(atb, tmp_path, superplm) -> None:
    assert atb("model", "extract", SMALL, "--superplm", superplm, "--out", "m").returncode == 0
    write_glue(tmp_path / "films", "sst2")
    for split, line in (("train", "a film\n"), ("dev", "\t1\n")):
        with (tmp_path / "films" / f"{split}.tsv").open("a") as file:
            file.write(line)
    short, empty = "train.tsv: 1 of 13 lines (the first: line 14) were", "dev.tsv: 1 of 13 rows"
    task = ("--task", "sst2", "--data", "films", "--epochs", "1")
    tuned = atb("model", "finetune", "m", *task, "--out", "tuned")
    assert tuned.returncode == 0, tuned.stderr
    assert f"warning: films/{short}" in tuned.stderr
    assert f"warning: films/{empty}" in tuned.stderr
    assert f"films/{empty}" in atb("model", "evaluate", "tuned", "--data", "films").stderr
    whole = atb("superplm", "finetune", superplm, "--space", "tiny.toml", *task, "--out", "all")
    assert f"films/{short}" in whole.stderr
