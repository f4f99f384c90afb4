"""SQuAD 1.1 and 2.0 (Rajpurkar et al., 2016 and 2018), from the published JSON or the hub."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from atb.data.tasks.answers import answer_scores, best_answers
from atb.data.tasks.questions import Question, check_answered, learnable, published_questions
from atb.data.tasks.rows import find_split, hub_rows
from atb.data.tasks.tasks import Examples, Feature, Outputs, check_split
from atb.data.tasks.windows import set_positions, windows_of
from atb.errors import BadFile
from atb.files import atomic_path

__all__ = ["SQUAD", "SquadTask"]


@dataclass(frozen=True, slots=True)
class SquadTask:
    """Find the answer to a question in a paragraph; in 2.0 some have none.

    Attributes:
        name: Name on the command line.
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

        Of training questions only answers whose place is beyond doubt are kept, and questions that
        have one (or, in 2.0, surely none); scores need no place.

        Raises:
            InputError: There is no such split.
            BadFile: A file does not keep to its layout, or a question of 1.1 has no answer.
        """
        check_split(self, split)
        rows: Iterable[Any] | None = hub_rows(source, None, split)
        if rows is None:
            path = self._file(Path(source), split)
            rows, source = published_questions(path), str(path)
        questions = [Question.of(row, f"{source}, question {n}") for n, row in enumerate(rows, 1)]
        if not questions:
            raise BadFile(f"{source} has no questions: get the file anew.")
        if not self.can_be_unanswerable:
            check_answered(source, questions)
        if split == "train":
            return learnable(source, questions)
        return Examples(tuple(question.row for question in questions))

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
        rows = examples.rows
        found = windows_of(
            [row["question"] for row in rows],
            [row["context"] for row in rows],
            tokenizer,
            sequence_length,
        )
        for row, windows in zip(rows, found, strict=True):
            set_positions(windows, row["answers"], len(row["context"]))
        return [
            {**window, "example": number}
            for number, windows in enumerate(found)
            for window in windows
        ]

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


#: Both versions by name.
SQUAD: dict[str, SquadTask] = {
    task.name: task
    for task in (
        SquadTask("squad1", "rajpurkar/squad", can_be_unanswerable=False),
        SquadTask("squad2", "rajpurkar/squad_v2", can_be_unanswerable=True),
    )
}
