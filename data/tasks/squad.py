"""SQuAD 1.1 and 2.0 (Rajpurkar et al., 2016 and 2018), from the published JSON or the hub.

An answer is the best span by a model's logits; scores are those of the official scripts.
"""

from __future__ import annotations

import json
import re
import string
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from atb.data.tasks.questions import Question, check_answered, learnable, published_questions
from atb.data.tasks.rows import find_split, hub_rows
from atb.data.tasks.tasks import Examples, Feature, Outputs, check_split
from atb.data.tasks.windows import set_positions, windows_of
from atb.errors import BadFile
from atb.files import atomic_path

# Of the best starts and ends, how many are combined; tokens of the longest answer (BERT's).
_BEST, _LONGEST_ANSWER = 20, 30
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = set(string.punctuation)

_Logits = npt.NDArray[np.float32]


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


def best_answers(
    contexts: Sequence[str],
    windows: Sequence[tuple[int, npt.NDArray[np.integer[Any]]]],
    start_logits: _Logits,
    end_logits: _Logits,
    *,
    may_be_empty: bool,
) -> list[str]:
    """For each paragraph, the text of the span with the largest sum of logits.

    Args:
        contexts: Texts of the paragraphs.
        windows: For each window the number of its paragraph, and [T, 2] the first character of each
            token and the one behind its last, -1 where a token is not of the paragraph.
        start_logits: Logits of an answer's first token, [windows, longest].
        end_logits: Logits of an answer's last token, [windows, longest].
        may_be_empty: Whether the answer is empty where `[CLS]` scores above every span: in the
            window where it scores least, since another window may hold the answer.
    """
    best: list[tuple[float, str]] = [(-np.inf, "")] * len(contexts)
    nothing = np.full(len(contexts), np.inf)
    for (number, spans), starts, ends in zip(windows, start_logits, end_logits, strict=True):
        nothing[number] = min(nothing[number], float(starts[0] + ends[0]))
        found = _best_span(spans, starts[: len(spans)], ends[: len(spans)])
        if found is not None and found[0] > best[number][0]:
            score, first, last = found
            # tokens of some vocabularies begin with the white space before a word
            text = contexts[number][spans[first, 0] : spans[last, 1]].strip()
            best[number] = (score, text)
    return [
        "" if may_be_empty and nothing[number] > score else text
        for number, (score, text) in enumerate(best)
    ]


def _best_span(
    spans: npt.NDArray[np.integer[Any]], starts: _Logits, ends: _Logits
) -> tuple[float, int, int] | None:
    """Score, first and last token of the best span in a window."""
    is_text = spans[:, 0] >= 0
    first = np.argsort(-starts, kind="stable")[:_BEST]
    last = np.argsort(-ends, kind="stable")[:_BEST]
    first, last = first[is_text[first]], last[is_text[last]]
    length = last[None, :] - first[:, None] + 1
    scores = starts[first][:, None] + ends[last][None, :]
    scores = np.where((length >= 1) & (length <= _LONGEST_ANSWER), scores, -np.inf)
    if not scores.size or not np.isfinite(scores.max()):
        return None
    row, column = np.unravel_index(int(scores.argmax()), scores.shape)
    return float(scores[row, column]), int(first[row]), int(last[column])


def answer_scores(
    wanted: Sequence[Sequence[str]], found: Sequence[str], *, unanswerable: bool
) -> dict[str, float]:
    """Exact match and F1 as the official scripts of SQuAD 1.1 and 2.0 compute them.

    Args:
        wanted: All right answers of each question; none for an unanswerable one.
        found: The answer that a model gave to each question.
        unanswerable: Whether the rules of 2.0 hold; scores of questions with and without an
            answer are then told apart too.

    Returns:
        `exact` and `f1` as fractions, and for 2.0 `answered_f1`, `unanswered_f1` and the like,
        where there are such questions.
    """
    exact, f1 = [], []
    for answers, answer in zip(wanted, found, strict=True):
        # 2.0 leaves out answers that are nothing once normalised, and wants "" where none is left
        kept = [text for text in answers if _normalised(text)] if unanswerable else list(answers)
        right = kept or ([""] if unanswerable else [])
        exact.append(max((_exact(text, answer) for text in right), default=0.0))
        f1.append(max((_f1(text, answer, empty=unanswerable) for text in right), default=0.0))
    scores = {"f1": _mean(f1), "exact": _mean(exact)}
    if unanswerable:
        has_answer = np.array([bool(answers) for answers in wanted])
        for name, chosen in (("answered", has_answer), ("unanswered", ~has_answer)):
            if chosen.any():
                scores[f"{name}_f1"] = _mean(np.array(f1)[chosen])
                scores[f"{name}_exact"] = _mean(np.array(exact)[chosen])
    return scores


def _mean(values: Sequence[float] | npt.NDArray[Any]) -> float:
    return float(np.mean(values)) if len(values) else 0.0


def _normalised(text: str) -> str:
    """Lower case, no punctuation, no articles, single spaces."""
    kept = "".join(letter for letter in text.lower() if letter not in _PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", kept).split())


def _exact(wanted: str, found: str) -> float:
    return float(_normalised(wanted) == _normalised(found))


def _f1(wanted: str, found: str, *, empty: bool) -> float:
    """Overlap of words; where either side is nothing, 2.0 asks that both are."""
    right, given = _normalised(wanted).split(), _normalised(found).split()
    if empty and not (right and given):
        return float(right == given)
    common = sum((Counter(right) & Counter(given)).values())
    if not common:
        return 0.0
    precision, recall = common / len(given), common / len(right)
    return 2 * precision * recall / (precision + recall)
