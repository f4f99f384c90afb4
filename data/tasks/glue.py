"""The nine tasks of GLUE (Wang et al., 2018), from the published files or a hub's dataset."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from atb.data.tasks.rows import GivenRow, counted, find_split, hub_rows, label_of, read_table
from atb.data.tasks.tasks import Examples, Feature, Outputs, check_split
from atb.errors import BadFile, InputError
from atb.files import atomic_path

_Scores = dict[str, float]
_Numbers = npt.NDArray[Any]

# What the published files and the hub call the columns that we call text and label.
_LABELS = ("label", "gold_label", "Quality", "score", "is_duplicate")
_FIRST: tuple[str, ...] = ("sentence1", "premise", "question1", "#1 String")
_SECOND: tuple[str, ...] = ("sentence2", "hypothesis", "question2", "#2 String")
# CoLA's training and development files have no header.
_HEADLESS = ("source", "label", "star", "sentence")
# Of STS-B.
_LARGEST_SCORE = 5.0


def _accuracy(wanted: _Numbers, found: _Numbers) -> _Scores:
    from sklearn.metrics import accuracy_score

    return {"accuracy": float(accuracy_score(wanted, found))}


def _accuracy_and_f1(wanted: _Numbers, found: _Numbers) -> _Scores:
    from sklearn.metrics import f1_score

    f1 = float(f1_score(wanted, found, zero_division=0.0))
    return {**_accuracy(wanted, found), "f1": f1}


def _matthews(wanted: _Numbers, found: _Numbers) -> _Scores:
    from sklearn.metrics import matthews_corrcoef

    return {"matthews": float(matthews_corrcoef(wanted, found)), **_accuracy(wanted, found)}


def _correlations(wanted: _Numbers, found: _Numbers) -> _Scores:
    """Pearson's and Spearman's, and their mean; 0 where one side is constant."""
    from scipy.stats import pearsonr, spearmanr

    if len(wanted) < 2 or np.ptp(wanted) == 0 or np.ptp(found) == 0:
        return {"correlation": 0.0, "pearson": 0.0, "spearman": 0.0}
    pearson = float(pearsonr(wanted, found).statistic)
    spearman = float(spearmanr(wanted, found).statistic)
    return {"correlation": (pearson + spearman) / 2, "pearson": pearson, "spearman": spearman}


@dataclass(frozen=True, slots=True)
class GlueTask:
    """A task over one sentence or a pair.

    Attributes:
        name: Name on the command line and on the hub.
        labels: Names of the classes in order; none for a regression.
        measures: Computes scores from known and found labels.
        metric: Name of the score that counts.
        submission: Names of the leaderboard's files, for each test split.
        columns: Names of the text's columns, where they are not the common ones of pairs.
        development_splits: Labelled splits to report on.
        test_splits: Splits whose labels only the leaderboard has.
        head: Kind of the layer on top: a classifier, or a regressor with one output.
    """

    name: str
    labels: tuple[str, ...]
    measures: Callable[[_Numbers, _Numbers], _Scores]
    metric: str
    submission: tuple[str, ...]
    columns: tuple[str, ...] | None = None
    development_splits: tuple[str, ...] = ("dev",)
    test_splits: tuple[str, ...] = ("test",)
    head: Literal["classification", "qa"] = "classification"

    @property
    def outputs(self) -> int:
        """Classes, or 1 for a regression."""
        return max(1, len(self.labels))

    def read(self, source: str, split: str) -> Examples:
        """The rows of a split.

        Raises:
            InputError: There is no such split.
            BadFile: A file does not keep to its layout, or a row to learn from or to score by has
                no label.
        """
        check_split(self, split)
        rows = hub_rows(source, self.name, split)
        if rows is not None:
            given = [GivenRow(f"row {number}", row) for number, row in enumerate(rows, 1)]
            return Examples(self._examples(source, given, split))
        path = find_split(Path(source), split, (".tsv", ".txt"))
        given, skipped, remarks = read_table(path, _HEADLESS if self.name == "cola" else None)
        found = self._examples(str(path), given, split)
        return Examples(found, skipped, (*remarks, *_remarks(str(path), given, found)))

    def encode(self, examples: Examples, tokenizer: Any, sequence_length: int) -> list[Feature]:
        """What a model reads; the longer sentence of a pair is cut first.

        Raises:
            InputError: The sequence length leaves no room for a sentence.
        """
        first = [row["first"] for row in examples.rows]
        second = [row["second"] for row in examples.rows if "second" in row]
        special = tokenizer.num_special_tokens_to_add(pair=bool(second))
        if sequence_length <= special:
            raise InputError(
                f"A sequence length of {sequence_length} leaves no room beside the {special} "
                "special tokens: give 128."
            )
        found = tokenizer(first, second or None, truncation=True, max_length=sequence_length)
        features = [
            {name: values[place] for name, values in found.items()}
            for place in range(len(examples))
        ]
        for feature, row in zip(features, examples.rows, strict=True):
            if "label" in row:
                feature["labels"] = row["label"]
        return features

    def score(
        self, examples: Examples, features: Sequence[Feature], outputs: Outputs
    ) -> dict[str, float]:
        """The task's measures, by scikit-learn and scipy."""
        wanted = np.array([row["label"] for row in examples.rows])
        return self.measures(wanted, self._found(outputs))

    def answers_file(self, split: str) -> str:
        """As GLUE's leaderboard names it."""
        is_second = split in (self.development_splits[-1], self.test_splits[-1])
        return self.submission[-1 if is_second else 0]

    def write_answers(
        self, examples: Examples, features: Sequence[Feature], outputs: Outputs, file: Path
    ) -> None:
        """Write a tab-separated file as GLUE's leaderboard wants it."""
        found = self._found(outputs)
        with atomic_path(file) as temporary, temporary.open("w", encoding="utf-8") as out:
            out.write("index\tprediction\n")
            for row, value in zip(examples.rows, found, strict=True):
                out.write(f"{row['index']}\t{self._said(value)}\n")

    def _found(self, outputs: Outputs) -> _Numbers:
        (logits,) = outputs
        return logits.argmax(-1) if self.labels else logits.reshape(-1)

    def _said(self, value: Any) -> str:
        if self.labels:
            return self.labels[int(value)]
        return f"{min(5.0, max(0.0, float(value))):.3f}"

    def _examples(
        self, source: str, given: Sequence[GivenRow], split: str
    ) -> tuple[dict[str, Any], ...]:
        if not given:
            raise BadFile(f"{source} has no rows: get the file anew.")
        columns = self._text_columns(source, given[0].fields)
        label = next((name for name in _LABELS if name in given[0].fields), None)
        is_labelled = split not in self.test_splits
        if label is None and is_labelled:
            raise BadFile(
                f"{source} has the columns {_names(given[0].fields)} and none of "
                f"labels ({' or '.join(_LABELS)}): a file to answer is no {split} split; pass the "
                "labelled one."
            )
        rows, unlabelled = [], []
        for number, row in enumerate(given):
            example = {"index": row.fields.get("index", row.fields.get("idx", number))}
            for name, column in zip(("first", "second"), columns, strict=False):
                example[name] = _sentence(source, row, column)
            known = None if label is None else self._label(source, row, row.fields[label])
            if known is not None:
                example["label"] = known
            elif is_labelled:
                unlabelled.append(row.place)
            rows.append(example)
        if unlabelled:
            raise BadFile(
                f"{source} has {counted(unlabelled, len(given), 'rows')} without a label: each row "
                f"of the {split} split needs one; label them or leave them out."
            )
        return tuple(rows)

    def _text_columns(self, source: str, row: Mapping[str, Any]) -> list[str]:
        wanted = [_FIRST, _SECOND]
        if self.columns is not None:
            wanted = [(name,) for name in self.columns]
        places = (next((name for name in names if name in row), None) for names in wanted)
        found = [name for name in places if name is not None]
        if len(found) < len(wanted):
            raise BadFile(
                f"{source} has the columns {_names(row)} and {self.name} wants "
                f"{' and '.join(' or '.join(names) for names in wanted)}: pass its published files."
            )
        return found

    def _label(self, source: str, row: GivenRow, value: Any) -> int | float | None:
        try:
            return label_of(value, self.labels, _LARGEST_SCORE)
        except ValueError as error:
            wanted = " or ".join(self.labels) or f"a number from 0 to {_LARGEST_SCORE:g}"
            raise BadFile(
                f"{source}, {row.place}: the label is {value!r:.40}, not {wanted}: correct it."
            ) from error


def _names(columns: Iterable[Any]) -> str:
    """Some columns for a message, whatever their names are made of."""
    shown = [f"{str(name)!r:.30}" for name in columns]
    return ", ".join(shown[:12]) + (", ..." if len(shown) > 12 else "")


def _sentence(source: str, row: GivenRow, column: str) -> str:
    text = row.fields[column]
    if not isinstance(text, str):
        raise BadFile(
            f"{source}, {row.place}: {column!r} is {text!r:.40} and not a text: correct it."
        )
    return text


def _remarks(
    source: str, given: Sequence[GivenRow], rows: Sequence[Mapping[str, Any]]
) -> tuple[str, ...]:
    """Of rows without words, which a model can read but hardly learn from."""
    empty = [
        row.place
        for row, example in zip(given, rows, strict=True)
        if not (example["first"].strip() and example.get("second", "x").strip())
    ]
    if len(empty) == len(rows):
        raise BadFile(f"{source} has no row without an empty sentence: get the file anew.")
    if not empty:
        return ()
    return (f"{source}: {counted(empty, len(rows), 'rows')} have an empty sentence.",)


_ENTAILED = ("entailment", "not_entailment")
_BINARY = ("0", "1")
_TASKS = (
    GlueTask("cola", _BINARY, _matthews, "matthews", ("CoLA.tsv",), columns=("sentence",)),
    GlueTask("sst2", _BINARY, _accuracy, "accuracy", ("SST-2.tsv",), columns=("sentence",)),
    GlueTask("mrpc", _BINARY, _accuracy_and_f1, "accuracy", ("MRPC.tsv",)),
    GlueTask("stsb", (), _correlations, "correlation", ("STS-B.tsv",)),
    GlueTask("qqp", _BINARY, _accuracy_and_f1, "accuracy", ("QQP.tsv",)),
    GlueTask(
        "mnli",
        ("entailment", "neutral", "contradiction"),
        _accuracy,
        "accuracy",
        ("MNLI-m.tsv", "MNLI-mm.tsv"),
        development_splits=("dev_matched", "dev_mismatched"),
        test_splits=("test_matched", "test_mismatched"),
    ),
    GlueTask(
        "qnli", _ENTAILED, _accuracy, "accuracy", ("QNLI.tsv",), columns=("question", "sentence")
    ),
    GlueTask("rte", _ENTAILED, _accuracy, "accuracy", ("RTE.tsv",)),
    GlueTask("wnli", _BINARY, _accuracy, "accuracy", ("WNLI.tsv",)),
)
#: All of GLUE by name.
GLUE: dict[str, GlueTask] = {task.name: task for task in _TASKS}
