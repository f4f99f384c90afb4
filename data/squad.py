"""SQuAD 1.1 and 2.0 (Rajpurkar et al., 2016 and 2018), from the published JSON or the hub."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from atb.data.answers import answer_scores, best_answers
from atb.data.rows import find_split, hub_rows
from atb.data.tasks import Examples, Feature, Outputs, check_split
from atb.data.unpacking import opened_text
from atb.errors import BadFile, InputError
from atb.files import atomic_path

__all__ = ["SQUAD", "SquadTask"]

# Tokens from one window over a long paragraph to the next, and of the longest question.
_WINDOW_STEP, _LONGEST_QUESTION = 128, 64
_Ids = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class SquadTask:
    """Find the answer to a question in a paragraph; in 2.0 some have none.

    Attributes:
        name: As the command line says it.
        hub: The dataset's name on the Hugging Face hub.
        can_be_unanswerable: Whether a question may have no answer.
    """

    name: str
    hub: str
    can_be_unanswerable: bool

    head: Literal["classification", "qa"] = "qa"
    outputs: int = 2
    metric: str = "f1"
    development_splits: tuple[str, ...] = ("dev",)
    test_splits: tuple[str, ...] = ()

    def read(self, source: str, split: str) -> Examples:
        """The questions of a split.

        Raises:
            InputError: There is no such split.
            BadFile: A file does not keep to its layout.
        """
        check_split(self, split)
        rows: Iterable[dict[str, Any]] | None = hub_rows(source, None, split)
        if rows is None:
            path = self._file(Path(source), split)
            rows, source = _questions(path), str(path)
        try:
            found = tuple(_example(row) for row in rows)
        except (KeyError, TypeError, AttributeError) as error:
            raise BadFile(
                f"{source} has a question without {error}: pass SQuAD's published JSON, or hf:"
                f"{self.hub}."
            ) from error
        if not found:
            raise BadFile(f"{source} has no questions: get the file anew.")
        return Examples(found)

    def _file(self, folder: Path, split: str) -> Path:
        version = "2.0" if self.can_be_unanswerable else "1.1"
        named = f"{split}-v{version}"
        with_version = folder.is_dir() and any(
            path.name.startswith(named) for path in folder.iterdir()
        )
        return find_split(folder, named if with_version else split, (".json",))

    def encode(self, examples: Examples, tokenizer: Any, sequence_length: int) -> list[Feature]:
        """Windows over each paragraph, behind its question.

        Each feature tells its `example`, and for its tokens `spans` [T, 2]: characters of the
        paragraph from and to, -1 where a token is not of the paragraph.

        Raises:
            InputError: The sequence length leaves no room for a paragraph.
        """
        if sequence_length <= _LONGEST_QUESTION + 3:
            raise InputError(
                f"A sequence length of {sequence_length} leaves no room beside a question of "
                f"{_LONGEST_QUESTION}: give 384."
            )
        plain = {"add_special_tokens": False, "return_attention_mask": False, "verbose": False}
        questions = tokenizer([row["question"] for row in examples.rows], **plain)["input_ids"]
        paragraphs: dict[str, tuple[_Ids, _Ids]] = {}
        features = []
        for number, (row, question) in enumerate(zip(examples.rows, questions, strict=True)):
            context = row["context"]
            if context not in paragraphs:
                found = tokenizer(context, return_offsets_mapping=True, **plain)
                paragraphs[context] = (
                    np.array(found["input_ids"], np.int32),
                    np.array(found["offset_mapping"], np.int32).reshape(-1, 2),
                )
            kept = np.array(question[:_LONGEST_QUESTION], np.int32)
            for feature in _windows(kept, *paragraphs[context], tokenizer, sequence_length):
                if row["answers"] or self.can_be_unanswerable:
                    _set_positions(feature, row["answers"])
                features.append({**feature, "example": number})
        return features

    def score(
        self, examples: Examples, features: Sequence[Feature], outputs: Outputs
    ) -> dict[str, float]:
        """Exact match and F1 by the official rules."""
        answers = self._answers(examples, features, outputs)
        wanted = [[answer["text"] for answer in row["answers"]] for row in examples.rows]
        return answer_scores(wanted, answers, unanswerable=self.can_be_unanswerable)

    def answers_file(self, split: str) -> str:
        """For the official script."""
        return f"{self.name}-{split}.json"

    def write_answers(
        self, examples: Examples, features: Sequence[Feature], outputs: Outputs, file: Path
    ) -> None:
        """Write a JSON of answers by the question's id, as the official script reads it."""
        answers = self._answers(examples, features, outputs)
        by_id = {row["id"]: answer for row, answer in zip(examples.rows, answers, strict=True)}
        with atomic_path(file) as temporary:
            temporary.write_text(json.dumps(by_id, ensure_ascii=False, indent=1) + "\n", "utf-8")

    def _answers(
        self, examples: Examples, features: Sequence[Feature], outputs: Outputs
    ) -> list[str]:
        start, end = outputs
        contexts = [row["context"] for row in examples.rows]
        return best_answers(
            contexts,
            [(feature["example"], feature["spans"]) for feature in features],
            start,
            end,
            may_be_empty=self.can_be_unanswerable,
        )


def _questions(path: Path) -> Iterator[dict[str, Any]]:
    """The questions of the published JSON, in the hub's form."""
    try:
        with opened_text(path) as file:
            articles = json.load(file)["data"]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise BadFile(f"{path} is not SQuAD's published JSON ({error}): get it anew.") from error
    for article in articles:
        for paragraph in article["paragraphs"]:
            for question in paragraph["qas"]:
                answers = question.get("answers", [])
                yield {
                    "id": question["id"],
                    "title": article.get("title", ""),
                    "context": paragraph["context"],
                    "question": question["question"],
                    "answers": {
                        "text": [answer["text"] for answer in answers],
                        "answer_start": [answer["answer_start"] for answer in answers],
                    },
                }


def _example(row: Mapping[str, Any]) -> dict[str, Any]:
    found = row.get("answers") or {"text": [], "answer_start": []}
    return {
        "id": row["id"],
        "group": row["title"],
        "context": row["context"],
        "question": row["question"].strip(),
        "answers": [
            {"text": text, "start": int(start)}
            for text, start in zip(found["text"], found["answer_start"], strict=True)
        ],
    }


def _windows(
    question: _Ids, tokens: _Ids, spans: _Ids, tokenizer: Any, sequence_length: int
) -> Iterator[Feature]:
    """`[CLS] question [SEP] window [SEP]` for windows that overlap (BERT's doc_stride)."""
    cls, sep = tokenizer.cls_token_id, tokenizer.sep_token_id
    head = np.array([cls, *question, sep], np.int32)
    room = sequence_length - len(head) - 1
    start = 0
    while True:
        window = tokens[start : start + room]
        ids = np.concatenate([head, window, [sep]]).astype(np.int32)
        types = np.zeros(len(ids), np.int32)
        types[len(head) :] = 1
        where = np.full((len(ids), 2), -1, np.int32)
        where[len(head) : len(head) + len(window)] = spans[start : start + room]
        yield {
            "input_ids": ids,
            "token_type_ids": types,
            "attention_mask": np.ones(len(ids), np.int32),
            "spans": where,
        }
        if start + room >= len(tokens):
            return
        start += _WINDOW_STEP


def _set_positions(feature: Feature, answers: Sequence[Mapping[str, Any]]) -> None:
    """First and last token of the first answer; `[CLS]` where it is not wholly in this window."""
    feature["start_positions"] = feature["end_positions"] = 0
    if not answers:
        return
    first = answers[0]["start"]
    last = first + len(answers[0]["text"])
    spans = feature["spans"]
    inside = np.flatnonzero((spans[:, 1] > first) & (spans[:, 0] < last) & (spans[:, 0] >= 0))
    seen = np.flatnonzero(spans[:, 0] >= 0)
    if len(inside) and spans[seen[0], 0] <= first and spans[seen[-1], 1] >= last:
        feature["start_positions"], feature["end_positions"] = int(inside[0]), int(inside[-1])


#: Both versions by name.
SQUAD: dict[str, SquadTask] = {
    task.name: task
    for task in (
        SquadTask("squad1", "rajpurkar/squad", can_be_unanswerable=False),
        SquadTask("squad2", "rajpurkar/squad_v2", can_be_unanswerable=True),
    )
}
