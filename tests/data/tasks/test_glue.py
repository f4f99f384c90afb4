from __future__ import annotations

import lzma
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics
from task_files import LABELS, LAYOUTS, write_glue

from atb.data.tasks.glue import GLUE
from atb.data.tasks.tasks import Examples, hold_out
from atb.data.tokenizer.tokenizer_files import read_vocabulary
from atb.data.tokenizer.vocabulary import tokenizer_of
from atb.errors import BadFile, InputError


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_published_layout_is_read(tmp_path: Path, name: str) -> None:
    task, folder = GLUE[name], str(write_glue(tmp_path, name))
    for split in ("train", *task.development_splits):
        rows = task.read(folder, split).rows
        assert len(rows) == 12
        labels = LABELS.get(name, ("0", "1"))
        if task.labels:
            assert [task.labels[row["label"]] for row in rows] == [
                labels[number % len(labels)] for number in range(12)
            ]
        else:
            assert [row["label"] for row in rows[:3]] == [0.0, 2.5, 5.0]
        assert "3" in rows[3]["first"]
        assert ("second" in rows[0]) == (name not in ("cola", "sst2"))
    for split in task.test_splits:
        rows = task.read(folder, split).rows
        assert len(rows) == 12
        assert "3" in rows[3]["first"]
        assert all("label" not in row for row in rows)


def test_quotes_are_text_and_files_may_be_packed(tmp_path: Path) -> None:
    write_glue(tmp_path, "sst2")
    packed = lzma.compress((tmp_path / "train.tsv").read_bytes())
    (tmp_path / "train.tsv").unlink()
    (tmp_path / "train.tsv.xz").write_bytes(packed)
    assert GLUE["sst2"].read(str(tmp_path), "train").rows[0]["first"] == 'a "warm" film 0'


def test_rows_that_are_too_short_are_left_out_and_counted(tmp_path: Path) -> None:
    write_glue(tmp_path, "qqp")
    with (tmp_path / "train.tsv").open("a") as file:
        file.write("12\t1\t2\tHow far\n")
    found = GLUE["qqp"].read(str(tmp_path), "train")
    assert (len(found), found.skipped) == (12, 1)
    (remark,) = found.remarks
    assert "train.tsv: 1 of 13 lines (the first: line 14) were left out" in remark


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("index\tsentence1\tsentence2\tlabel\n0\ta\tb\tmaybe\n", "line 2: the label is 'maybe'"),
        ("index\tsentence1\tlabel\n0\ta\tentailment\n", "rte wants sentence1 or"),
        ("index\tsentence1\tsentence2\tlabel\n", "has no rows"),
        ("index,sentence1\n1,2\n3,4\n", "has the columns"),
        ("a\0b\tc\n1\t2\n", r"has the columns 'a\\x00b', 'c' and rte wants"),
        ("a\tb\n1\n2\n3\n", "not tab-separated"),
    ],
)
def test_what_is_no_such_file_is_told(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "train.tsv").write_text(content)
    with pytest.raises(BadFile, match=message):
        GLUE["rte"].read(str(tmp_path), "train")


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("label", ["", "-1", "nan", "-"])
def test_rows_without_a_label_are_found_by_their_lines(
    tmp_path: Path, name: str, label: str
) -> None:
    header, row, _ = LAYOUTS[name]
    line = row.replace("{label}", label).replace("{}", "77")
    task = GLUE[name]
    for split in ("train", *task.development_splits):
        path = write_glue(tmp_path, name) / f"{split}.tsv"
        text = path.read_text()
        path.write_text("".join(f"{text}{line}\n{line}\n"))
        first = 14 if header else 13
        with pytest.raises(
            BadFile, match=rf"{split}.tsv has 2 of 14 rows \(the first: line {first}\)"
        ):
            task.read(str(tmp_path), split)
        test = (tmp_path / f"{task.test_splits[0]}.tsv").read_text()
        path.write_text(test)  # the file to answer in the place of the labelled one
        with pytest.raises(BadFile, match=rf"{split}.tsv .* none of labels .* no {split} split"):
            task.read(str(tmp_path), split)


@pytest.mark.parametrize(
    ("name", "labels", "known"),
    [
        ("sst2", ["1.0", " 0 ", "1"], [1, 0, 1]),  # as pandas writes them beside missing ones
        ("rte", ["entailment ", "1", "not_entailment"], [0, 1, 1]),
        ("mnli", ["contradiction", "0", "neutral"], [2, 0, 1]),
        ("stsb", ["5", "0.250", "3e0"], [5.0, 0.25, 3.0]),
    ],
)
def test_labels_are_read_however_they_are_written(
    tmp_path: Path, name: str, labels: list[str], known: list[float]
) -> None:
    header, row, _ = LAYOUTS[name]
    lines = [row.replace("{label}", label).replace("{}", "3") for label in labels]
    (tmp_path / "train.tsv").write_text("\n".join([str(header), *lines]))
    assert [row["label"] for row in GLUE[name].read(str(tmp_path), "train").rows] == known


@pytest.mark.parametrize(
    ("name", "label"),
    [("sst2", "2"), ("sst2", "0.5"), ("rte", "neutral"), ("mnli", "3"), ("stsb", "2012"),
     ("stsb", "inf"), ("stsb", "high"), ("cola", "-2")],
)  # fmt: skip
def test_a_label_that_the_task_has_not_is_told_by_its_line(
    tmp_path: Path, name: str, label: str
) -> None:
    path = write_glue(tmp_path, name) / "train.tsv"
    line = LAYOUTS[name][1].replace("{label}", label).replace("{}", "3")
    number = len(path.read_text().splitlines()) + 3
    with path.open("a") as file:
        file.write(f"\ntoo short\n{line}\n")
    with pytest.raises(BadFile, match=rf"line {number}: the label is '{label}', not "):
        GLUE[name].read(str(tmp_path), "train")


@pytest.mark.parametrize("name", LAYOUTS)
def test_line_ends_of_windows_a_byte_order_mark_and_blank_lines_change_nothing(
    tmp_path: Path, name: str
) -> None:
    path = write_glue(tmp_path, name) / "train.tsv"
    wanted = GLUE[name].read(str(tmp_path), "train")
    text = path.read_text().replace("\n", "\r\n")
    path.write_bytes(b"\xef\xbb\xbf" + f"{text}\r\n  \r\n".encode())
    assert GLUE[name].read(str(tmp_path), "train") == wanted


def test_no_column_is_shifted_by_a_tab_within_a_sentence(tmp_path: Path) -> None:
    path = write_glue(tmp_path, "sst2") / "train.tsv"
    with path.open("a") as file:
        file.write("a film\t1\t0\nanother film\t1\t\t\n")
    found = GLUE["sst2"].read(str(tmp_path), "train")
    assert "1 of 14 lines (the first: line 14) were left out" in found.remarks[0]
    assert found.rows[-1]["first"] == "another film"
    path.write_text("sentence\tlabel\tlabel\na film\t1\t0\n")
    with pytest.raises(BadFile, match="the column 'label' twice"):
        GLUE["sst2"].read(str(tmp_path), "train")


def test_empty_sentences_are_told(tmp_path: Path) -> None:
    (tmp_path / "train.tsv").write_text(
        "index\tsentence1\tsentence2\tlabel\n0\ta\t \t1\n1\ta\tb\t0\n2\t\tb\t0\n"
    )
    found = GLUE["wnli"].read(str(tmp_path), "train")
    assert len(found) == 3
    assert "2 of 3 rows (the first: line 2) have an empty sentence" in found.remarks[0]
    (tmp_path / "train.tsv").write_text("sentence\tlabel\n\t1\n \t0\n")
    with pytest.raises(BadFile, match="no row without an empty sentence"):
        GLUE["sst2"].read(str(tmp_path), "train")


def test_a_header_is_one_where_files_come_without(tmp_path: Path) -> None:
    path = write_glue(tmp_path, "cola") / "train.tsv"
    wanted = GLUE["cola"].read(str(tmp_path), "train").rows
    path.write_text("source\tlabel\tstar\tsentence\n" + path.read_text())
    assert GLUE["cola"].read(str(tmp_path), "train").rows == wanted


def test_a_row_of_a_dataset_without_text_is_told(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    rows = {"sentence": ["One.", None], "label": [0, 1], "idx": [0, 1]}
    datasets.DatasetDict({"train": datasets.Dataset.from_dict(rows)}).save_to_disk(tmp_path)
    with pytest.raises(BadFile, match="row 2: 'sentence' is None and not a text"):
        GLUE["sst2"].read(str(tmp_path), "train")


def test_a_sequence_without_room_is_refused() -> None:
    pair = Examples(({"first": "a fox", "second": "an owl"},))
    with pytest.raises(InputError, match="no room beside the 3 special tokens"):
        GLUE["rte"].encode(pair, tokenizer_of(read_vocabulary()), 3)
    (feature,) = GLUE["rte"].encode(pair, tokenizer_of(read_vocabulary()), 5)
    assert len(feature["input_ids"]) == 5


def test_binary_noise_is_told(tmp_path: Path) -> None:
    (tmp_path / "train.tsv").write_bytes(np.random.default_rng(0).bytes(1000))
    with pytest.raises(BadFile, match="UTF-8"):
        GLUE["rte"].read(str(tmp_path), "train")


def test_splits_and_folders_that_are_not_there_are_told(tmp_path: Path) -> None:
    write_glue(tmp_path, "mnli")
    with pytest.raises(InputError, match="no split 'dev': choose one of train, dev_matched"):
        GLUE["mnli"].read(str(tmp_path), "dev")
    with pytest.raises(InputError, match="no folder"):
        GLUE["mnli"].read(str(tmp_path / "none"), "train")
    (tmp_path / "train.tsv").rename(tmp_path / "my_train_a.tsv")
    assert len(GLUE["mnli"].read(str(tmp_path), "train")) == 12
    (tmp_path / "my_train_b.tsv").write_text("")
    with pytest.raises(InputError, match="several files for the split train"):
        GLUE["mnli"].read(str(tmp_path), "train")


def test_the_hub_s_form_is_read(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    rows = {
        "premise": ["One.", "Two.", "Three."],
        "hypothesis": ["1", "2", "3"],
        "label": [0, 2, 1],
        "idx": [5, 6, 7],
    }
    names = ("train", "validation_mismatched", "test_mismatched")
    splits = {
        name: datasets.Dataset.from_dict(
            {**rows, **({"label": [-1] * 3} if "test" in name else {})}
        )
        for name in names
    }
    datasets.DatasetDict(splits).save_to_disk(tmp_path / "mnli")
    for split in ("train", "dev_mismatched", "test_mismatched"):
        read = GLUE["mnli"].read(str(tmp_path / "mnli"), split).rows
        known = [None] * 3 if "test" in split else [0, 2, 1]
        assert [row.get("label") for row in read] == known
        assert read[2]["index"] == 7
        assert (read[1]["first"], read[1]["second"]) == ("Two.", "2")
    with pytest.raises(InputError, match="no split 'test_matched'"):
        GLUE["mnli"].read(str(tmp_path / "mnli"), "test_matched")


def _scores(name: str, logits: np.ndarray, labels: list[float]) -> dict[str, float]:
    rows = Examples(tuple({"label": label} for label in labels))
    return GLUE[name].score(rows, [], [logits.astype(np.float32)])


def test_scores_equal_those_of_scikit_learn_and_scipy() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(200, 3)).astype(np.float32)
    labels = rng.integers(0, 2, 200)
    found = logits[:, :2].argmax(1)
    assert _scores("cola", logits[:, :2], list(labels)) == {
        "matthews": metrics.matthews_corrcoef(labels, found),
        "accuracy": metrics.accuracy_score(labels, found),
    }
    for name in ("mrpc", "qqp"):
        assert _scores(name, logits[:, :2], list(labels)) == {
            "accuracy": metrics.accuracy_score(labels, found),
            "f1": metrics.f1_score(labels, found),
        }
    threes = rng.integers(0, 3, 200)
    accuracy = metrics.accuracy_score(threes, logits.argmax(1))
    assert _scores("mnli", logits, list(threes)) == {"accuracy": accuracy}
    wanted = rng.uniform(0, 5, 200)
    given = logits[:, :1].reshape(-1)
    scores = _scores("stsb", logits[:, :1], list(wanted))
    assert scores["pearson"] == stats.pearsonr(wanted, given).statistic
    assert scores["spearman"] == stats.spearmanr(wanted, given).statistic
    assert scores["correlation"] == (scores["pearson"] + scores["spearman"]) / 2


def test_a_constant_answer_scores_zero_and_never_nan() -> None:
    assert _scores("stsb", np.ones((3, 1)), [1.0, 2.0, 3.0])["correlation"] == 0
    assert _scores("cola", np.array([[1, 0]] * 3), [0, 1, 1])["matthews"] == 0


def test_answers_are_written_as_the_leaderboard_wants_them(tmp_path: Path) -> None:
    rows = Examples(({"index": "4"}, {"index": "9"}))
    GLUE["rte"].write_answers(rows, [], [np.float32([[0, 1], [1, 0]])], tmp_path / "RTE.tsv")
    assert (tmp_path / "RTE.tsv").read_text() == (
        "index\tprediction\n4\tnot_entailment\n9\tentailment\n"
    )
    GLUE["stsb"].write_answers(rows, [], [np.float32([[-0.2], [3.14159]])], tmp_path / "s.tsv")
    assert (tmp_path / "s.tsv").read_text() == "index\tprediction\n4\t0.000\n9\t3.142\n"
    mnli = GLUE["mnli"]
    assert [mnli.answers_file(split) for split in mnli.test_splits] == ["MNLI-m.tsv", "MNLI-mm.tsv"]
    assert GLUE["cola"].answers_file("test") == "CoLA.tsv"


def test_the_longer_sentence_of_a_pair_is_cut_and_the_second_is_told_apart() -> None:
    rows = Examples(({"first": "the fox " * 50, "second": "an owl", "label": 1},))
    (feature,) = GLUE["rte"].encode(rows, tokenizer_of(read_vocabulary()), 32)
    assert len(feature["input_ids"]) == 32
    assert sum(feature["token_type_ids"]) == 3  # an, owl, [SEP]
    assert feature["labels"] == 1


def test_held_out_rows_keep_the_classes_in_proportion() -> None:
    rows = Examples(tuple({"number": n, "label": int(n % 4 == 0)} for n in range(1000)))
    learnt, held = hold_out(rows, 0)
    numbers = [{row["number"] for row in part.rows} for part in (learnt, held)]
    assert numbers[0] | numbers[1] == set(range(1000))
    assert not numbers[0] & numbers[1]
    assert len(held) == 100
    assert sum(row["label"] for row in held.rows) == 25
    assert hold_out(rows, 0)[1].sha256 == held.sha256
    assert hold_out(rows, 1)[1].sha256 != held.sha256


def test_at_most_2000_rows_are_held_out_and_groups_stay_together() -> None:
    many = Examples(tuple({"label": 0.5 * (n % 7)} for n in range(30_000)))
    assert len(hold_out(many, 0)[1]) == 2000
    grouped = Examples(tuple({"group": n // 10, "label": 0} for n in range(1000)))
    learnt, held = hold_out(grouped, 0)
    assert not {row["group"] for row in learnt.rows} & {row["group"] for row in held.rows}
    assert len(held) == 100


def test_few_rows_are_enough_to_hold_some_out() -> None:
    for labels in ([0, 1], [0, 0, 1], [0.5, 1.0, 2.0]):
        learnt, held = hold_out(Examples(tuple({"label": label} for label in labels)), 0)
        assert (len(learnt), len(held)) == (len(labels) - 1, 1)
    one_article = Examples(tuple({"group": "a", "label": n} for n in range(5)))
    assert len(hold_out(one_article, 0)[1]) == 1
    with pytest.raises(InputError, match="at least two"):
        hold_out(Examples(({"label": 0},)), 0)
