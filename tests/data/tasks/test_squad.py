from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from task_files import write_squad

from atb.data.tasks.squad import SQUAD, answer_scores, best_answers
from atb.data.tasks.tasks import Examples
from atb.data.tokenizer.tokenizer_files import read_vocabulary
from atb.data.tokenizer.vocabulary import tokenizer_of
from atb.errors import BadFile, InputError


@pytest.fixture(scope="module")
def tokenizer():
    return tokenizer_of(read_vocabulary())


# Worked by hand from the official scripts: what is right, what was said, exact match, F1.
CASES = [
    (["The Lamp!"], "lamp", 1.0, 1.0),
    (["a lamp of the  harbour"], "Lamp of harbour.", 1.0, 1.0),
    (["in 1801"], "1801", 0.0, 2 / 3),
    (["in 1801", "1801"], "1801", 1.0, 1.0),
    (["red red lamp"], "red lamp", 0.0, 0.8),  # words count as often as they stand there
    (["keeper"], "fox", 0.0, 0.0),
    (["keeper"], "", 0.0, 0.0),
    (["state-of-the-art"], "stateoftheart", 1.0, 1.0),
]


@pytest.mark.parametrize(("right", "said", "exact", "f1"), CASES)
@pytest.mark.parametrize("unanswerable", [False, True])
def test_scores_follow_the_official_rules(
    right: list[str], said: str, exact: float, f1: float, unanswerable: bool
) -> None:
    scores = answer_scores([right], [said], unanswerable=unanswerable)
    assert scores["exact"] == exact
    assert scores["f1"] == pytest.approx(f1)


def test_questions_without_an_answer_want_none() -> None:
    scores = answer_scores([[], [], ["the"], ["fox"]], ["", "fox", "", ""], unanswerable=True)
    # the third answer is nothing once normalised, so that "" is right; the official script still
    # counts it among the answered
    assert scores == {
        "f1": 0.5,
        "exact": 0.5,
        "answered_f1": 0.5,
        "answered_exact": 0.5,
        "unanswered_f1": 0.5,
        "unanswered_exact": 0.5,
    }


def test_the_published_files_are_read_and_right_logits_score_one(tmp_path: Path, tokenizer) -> None:
    for name, version in (("squad1", "1.1"), ("squad2", "2.0")):
        task = SQUAD[name]
        rows = task.read(str(write_squad(tmp_path, version=version)), "dev")
        assert len(rows) == 8
        assert rows.rows[0]["question"] == "Who lit the lamp?"
        features = task.encode(rows, tokenizer, 100)
        assert len(features) > 8  # long paragraphs come in windows
        start, end = np.zeros((2, len(features), 100), np.float32)
        for row, feature in enumerate(features):
            start[row, feature["start_positions"]] = end[row, feature["end_positions"]] = 9.0
        scores = task.score(rows, features, [start, end])
        assert scores["exact"] == scores["f1"] == 1.0
        assert not task.score(rows, features, [-start, -end])["exact"]
        task.write_answers(rows, features, [start, end], tmp_path / "answers.json")
        answers = json.loads((tmp_path / "answers.json").read_text())
        assert answers["q0"] == "the keeper"
        assert answers["q1"] == ("" if version == "2.0" else "the keeper")


def test_windows_cover_a_long_paragraph_and_point_at_the_answer(tokenizer) -> None:
    words = [f"word{number}" for number in range(400)]
    context = " ".join(words)
    row = {
        "id": "q",
        "group": "g",
        "context": context,
        "question": "which " * 100,
        "answers": [{"text": "word377", "start": context.index("word377")}],
    }
    features = SQUAD["squad1"].encode(Examples((row,)), tokenizer, 384)
    length = len(tokenizer(context, add_special_tokens=False)["input_ids"])
    room = 384 - 64 - 3  # the question is cut to 64 tokens
    assert len(features) == 1 + -(-(length - room) // 128)
    seen = np.zeros(len(context), bool)
    for feature in features:
        assert len(feature["input_ids"]) <= 384
        assert feature["input_ids"][0] == 101
        assert feature["input_ids"][-1] == 102
        assert (feature["token_type_ids"] == 1).sum() == (feature["spans"][:, 0] >= 0).sum() + 1
        for first, last in feature["spans"]:
            seen[max(first, 0) : max(last, 0)] = True
        start, end = feature["start_positions"], feature["end_positions"]
        text = context[feature["spans"][start, 0] : feature["spans"][end, 1]]
        holds = "word377" in [context[a:b] for a, b in _words(feature["spans"], context)]
        assert (start > 0) == holds
        assert not start or text == "word377"
    assert seen[[letter != " " for letter in context]].all()


def _words(spans: np.ndarray, context: str) -> list[tuple[int, int]]:
    """Whole words that a window covers."""
    inside = spans[spans[:, 0] >= 0]
    first, last = inside[0, 0], inside[-1, 1]
    place = context.find("word377")
    return [(place, place + 7)] if first <= place and place + 7 <= last else []


def test_the_best_span_equals_a_search_over_all_of_them() -> None:
    rng = np.random.default_rng(1)
    context = "abcdefghijklmnop"
    spans = np.array([[-1, -1], [-1, -1], *([n, n + 1] for n in range(16)), [-1, -1]])
    for _ in range(50):
        start, end = rng.normal(size=(2, 1, len(spans))).astype(np.float32)
        best = max(
            (start[0, i] + end[0, j], context[spans[i, 0] : spans[j, 1]])
            for i in range(2, 18)
            for j in range(i, 18)
        )
        assert best_answers([context], [(0, spans)], start, end, may_be_empty=False) == [best[1]]
        nothing = start[0, 0] + end[0, 0]
        wanted = "" if nothing > best[0] else best[1]
        assert best_answers([context], [(0, spans)], start, end, may_be_empty=True) == [wanted]


def test_an_answer_has_at_most_thirty_tokens() -> None:
    spans = np.array([[-1, -1], *([n, n + 1] for n in range(60))])
    start, end = np.zeros((2, 1, 61), np.float32)
    start[0, 1], end[0, 60], end[0, 30] = 5, 5, 4
    context = "x" * 60
    (answer,) = best_answers([context], [(0, spans)], start, end, may_be_empty=False)
    assert len(answer) == 30


def test_a_hub_dataset_is_read(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    row = {
        "id": "a",
        "title": "t",
        "context": "The fox.",
        "question": "Who?",
        "answers": {"text": ["fox"], "answer_start": [4]},
    }
    datasets.DatasetDict({"validation": datasets.Dataset.from_list([row])}).save_to_disk(tmp_path)
    (read,) = SQUAD["squad1"].read(str(tmp_path), "dev").rows
    assert read["answers"] == [{"text": "fox", "start": 4}]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[1]", "without 'data'"),
        ('{"data": 3', "not SQuAD's published JSON"),
        (
            '{"data": [{"paragraphs": [{"context": "a", "qas": [{"id": 1}]}]}]}',
            "without 'question'",
        ),
        ('{"data": [{}]}', "without 'paragraphs'"),
        ('{"data": []}', "no questions"),
    ],
)
def test_what_is_no_such_file_is_told(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "dev.json").write_text(content)
    with pytest.raises(BadFile, match=message):
        SQUAD["squad1"].read(str(tmp_path), "dev")


def test_too_short_sequences_are_told(tokenizer) -> None:
    with pytest.raises(InputError, match="give 384"):
        SQUAD["squad1"].encode(Examples(()), tokenizer, 64)


def _write(
    folder: Path,
    questions: list[dict[str, Any]],
    context: str = "A fox saw a red fox.",
    name: str = "train",
) -> str:
    """A file whose questions are all on one paragraph."""
    given = [
        {"id": f"q{number}", "question": "Who?", **question}
        for number, question in enumerate(questions)
    ]
    document = {"data": [{"title": "t", "paragraphs": [{"context": context, "qas": given}]}]}
    (folder / f"{name}.json").write_text(json.dumps(document))
    return str(folder)


def _answer(text: Any, start: Any) -> dict[str, Any]:
    return {"answers": [{"text": text, "answer_start": start}]}


def test_what_is_learnt_is_the_answer_and_what_was_put_right_is_told(
    tmp_path: Path, tokenizer
) -> None:
    context = "\N{OWL} By the lake a grey heron waits; the owl sleeps."
    first, heron = context.index("a grey"), context.index("heron")
    given = [
        _answer("a grey heron", first),
        _answer("heron", heron + 1),  # counted in UTF-16 units
        _answer("heron", heron + 3),  # in bytes
        _answer("heron", -1),
        _answer("heron", 4000),
        _answer("heron", None),
        _answer(" heron ", heron),
        _answer("HERON", heron),  # stands there, in another case
    ]
    read = SQUAD["squad1"].read(_write(tmp_path, given, context), "train")
    for feature, row in zip(SQUAD["squad1"].encode(read, tokenizer, 100), read.rows, strict=True):
        spans = feature["spans"]
        start, end = spans[feature["start_positions"], 0], spans[feature["end_positions"], 1]
        assert context[start:end] == ("a grey heron" if row["id"] == "q0" else "heron")
    (remark,) = read.remarks
    assert "train.json: 6 of 8 questions (the first: 'q1') had an answer beside" in remark
    assert read.skipped == 0


def test_questions_whose_answer_is_nowhere_or_at_several_places_are_left_out(
    tmp_path: Path,
) -> None:
    sure = _answer("red fox", 12)
    given = [sure, _answer("fox", 5), sure, _answer("wolf", 2), sure]
    read = SQUAD["squad1"].read(_write(tmp_path, given), "train")
    assert [row["id"] for row in read.rows] == ["q0", "q2", "q4"]
    (remark,) = read.remarks
    assert "2 of 5 questions (the first: 'q1') were left out" in remark
    assert read.skipped == 2
    with pytest.raises(BadFile, match=r"3 of 4 questions \(the first: 'q1'\) whose answers do not"):
        SQUAD["squad1"].read(_write(tmp_path, [sure, *[given[1]] * 3]), "train")
    scored = SQUAD["squad1"].read(_write(tmp_path, given, name="dev"), "dev")
    assert [row["answers"][0]["text"] for row in scored.rows][3] == "wolf"  # a score needs no place


def test_of_several_answers_one_that_stands_at_its_start_is_learnt(tmp_path: Path) -> None:
    answers = [
        {"text": "fox", "answer_start": 0},
        {"text": "a red fox", "answer_start": 1},
        {"text": "red fox", "answer_start": 12},
    ]
    (row,) = SQUAD["squad1"].read(_write(tmp_path, [{"answers": answers}]), "train").rows
    assert row["answers"] == [
        {"text": "red fox", "start": 12},
        {"text": "a red fox", "start": 10},
        {"text": "fox", "start": 0},  # nobody knows which fox, but it is a right answer
    ]


@pytest.mark.parametrize("split", ["train", "dev"])
@pytest.mark.parametrize("answers", [[], None, [{"text": " ", "answer_start": 0}]])
def test_an_unanswerable_question_is_refused_where_all_have_an_answer(
    tmp_path: Path, split: str, answers: Any
) -> None:
    given = [_answer("red fox", 12), {"answers": answers}, {"answers": answers}]
    folder = _write(tmp_path, given, name=split)
    with pytest.raises(BadFile, match=r"2 of 3 questions \(the first: 'q1'\) without .* squad2"):
        SQUAD["squad1"].read(folder, split)
    assert len(SQUAD["squad2"].read(folder, split)) == 3


def test_questions_that_contradict_themselves_are_left_out(tmp_path: Path) -> None:
    given = [
        {**_answer("red fox", 12), "is_impossible": False},
        {**_answer("red fox", 12), "is_impossible": True},
        {**_answer("", -1), "is_impossible": True},
        {"answers": [], "is_impossible": False},
        {"answers": [], "is_impossible": True},
    ]
    read = SQUAD["squad2"].read(_write(tmp_path, given), "train")
    assert [(row["id"], len(row["answers"])) for row in read.rows] == [
        ("q0", 1),
        ("q2", 0),
        ("q4", 0),
    ]
    assert "2 of 5 questions (the first: 'q1') were left out, since is_imp" in read.remarks[0]


@pytest.mark.parametrize(
    ("question", "message"),
    [
        (_answer(1998, 3), r"question 1 \('q0'\) has 1998 for 'text'"),
        ({"answers": "fox"}, "has 'fox' for 'answers'"),
        ({"answers": [3]}, r"has \[3\] for 'answers'"),
        ({"answers": {"text": ["a"], "answer_start": []}}, "has 1 answers and 0 answer_start"),
        ({"answers": [{"answer_start": 3}]}, "is without 'text'"),
        ({"question": None, "answers": []}, "has None for 'question'"),
        ({"question": "Who is \ud83d?", "answers": []}, "half a character"),
        ({"id": ["q"], "answers": []}, r"question 1 has \['q'\] for 'id'"),
    ],
)
def test_a_question_of_another_form_is_told(tmp_path: Path, question: Any, message: str) -> None:
    folder = _write(tmp_path, [question])
    with pytest.raises(BadFile, match=message):
        SQUAD["squad2"].read(folder, "train")


def test_columns_a_byte_order_mark_and_deep_nonsense(tmp_path: Path) -> None:
    folder = _write(tmp_path, [{"answers": {"text": ["red fox"], "answer_start": ["12"]}}])
    path = tmp_path / "train.json"
    path.write_text("\ufeff" + path.read_text())
    (row,) = SQUAD["squad1"].read(folder, "train").rows
    assert row["answers"] == [{"text": "red fox", "start": 12}]
    path.write_text("[" * 200_000)
    with pytest.raises(BadFile, match="not SQuAD's published JSON"):
        SQUAD["squad1"].read(folder, "train")
