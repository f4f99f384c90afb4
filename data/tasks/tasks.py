"""What a fine-tuning task is: where its examples lie, how a model reads them, what counts."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from atb.errors import InputError

#: What a model reads of one example, or of a part of it: names of its inputs with numbers.
Feature = dict[str, Any]
#: What a model says of all features: logits, one array for each output.
Outputs = Sequence[npt.NDArray[np.float32]]

# Of the training rows, how many are held out to choose by.
_HELD_OUT_SHARE, _HELD_OUT_MOST = 0.1, 2000


@dataclass(frozen=True, slots=True)
class Examples:
    """Rows of a task.

    Attributes:
        rows: Fields of each row by name; `label` only where it is known.
        skipped: Rows of the source that were left out.
        remarks: Sentences on what was left out or put right, for the user to see.
    """

    rows: tuple[Mapping[str, Any], ...]
    skipped: int = 0
    remarks: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.rows)

    def tell(self, warn: Callable[[str], None] | None) -> None:
        """Tell all remarks."""
        if warn is not None:
            for remark in self.remarks:
                warn(remark)

    def take(self, places: Sequence[int] | npt.NDArray[np.integer[Any]]) -> Examples:
        """Only the rows at some places."""
        return replace(self, rows=tuple(self.rows[place] for place in places))

    def draw(self, count: int | None, seed: int) -> Examples:
        """So many rows drawn by a seed, in their order; all when None or when there are fewer."""
        if count is None or count >= len(self):
            return self
        return self.take(np.sort(np.random.default_rng(seed).permutation(len(self))[:count]))

    @property
    def sha256(self) -> str:
        """Hash over all rows, which names them in results."""
        content = json.dumps([dict(row) for row in self.rows], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()


class Task(Protocol):
    """Examples in, features to a model, its outputs back to scores and answers."""

    @property
    def name(self) -> str:
        """Name on the command line."""

    @property
    def head(self) -> Literal["classification", "qa"]:
        """Kind of the layer on top: one output for a sequence, or two for each of its tokens."""

    @property
    def outputs(self) -> int:
        """Numbers that the head puts out, for a sequence or for each of its tokens."""

    @property
    def metric(self) -> str:
        """Name of the score that counts; higher is better."""

    @property
    def development_splits(self) -> tuple[str, ...]:
        """Labelled splits to report on, the main one first."""

    @property
    def test_splits(self) -> tuple[str, ...]:
        """Splits without labels, for a leaderboard."""

    def read(self, source: str, split: str) -> Examples:
        """The rows of a split.

        Args:
            source: A folder of the published files, or `hf:NAME` for a Hugging Face dataset.
            split: `train`, or one of the splits named above.

        Raises:
            InputError: There is no such split.
            BadFile: A file does not keep to its layout.
        """

    def encode(self, examples: Examples, tokenizer: Any, sequence_length: int) -> list[Feature]:
        """What a model reads, in the order of the examples; with labels where they are known.

        Args:
            examples: Rows that `read` gave.
            tokenizer: A fast tokenizer of transformers.
            sequence_length: Most tokens of a feature.
        """

    def score(
        self, examples: Examples, features: Sequence[Feature], outputs: Outputs
    ) -> dict[str, float]:
        """Scores by name, as fractions."""

    def answers_file(self, split: str) -> str:
        """Name of the leaderboard's file for a split."""

    def write_answers(
        self, examples: Examples, features: Sequence[Feature], outputs: Outputs, file: Path
    ) -> None:
        """Write what the leaderboard of the task wants."""


def check_split(task: Task, split: str) -> None:
    """Refuse a split that a task does not have.

    Raises:
        InputError: It has no such split.
    """
    known = ("train", *task.development_splits, *task.test_splits)
    if split not in known:
        raise InputError(f"{task.name} has no split {split!r}: choose one of {', '.join(known)}.")


def hold_out(examples: Examples, seed: int) -> tuple[Examples, Examples]:
    """Cut training rows in two: those to learn from, and those to choose the best weights by.

    The development split of a task is then read once, to report (the reference chooses and reports
    on the same rows). A tenth is held out, at most 2,000 rows; where rows have a class, all classes
    in proportion; rows that share a `group` (questions on one article) stay together.

    Raises:
        InputError: There is one row only.
    """
    from sklearn.model_selection import GroupShuffleSplit, train_test_split

    if len(examples) < 2:
        raise InputError("One training row is too few: at least two are needed, to hold one out.")
    share = min(_HELD_OUT_SHARE, _HELD_OUT_MOST / len(examples))
    places = np.arange(len(examples))
    groups = [row.get("group") for row in examples.rows]
    if len(set(groups)) > 1:
        cut = GroupShuffleSplit(1, test_size=share, random_state=seed)
        learnt, held = next(cut.split(places, groups=groups))
    else:
        learnt, held = train_test_split(
            places, test_size=share, random_state=seed, stratify=_classes(examples, share)
        )
    return examples.take(np.sort(learnt)), examples.take(np.sort(held))


def _classes(examples: Examples, share: float) -> list[Any] | None:
    """Labels to keep in proportion; None where they are no classes, or too rare to be cut."""
    labels: list[Any] = [row.get("label") for row in examples.rows]
    if any(label is None or isinstance(label, float) for label in labels):
        return None
    counts = Counter(labels)
    rare = min(counts.values()) < 2 or share * len(labels) < len(counts)
    return None if rare else labels
