"""The suite that every fine-tuning task passes; subclass it and give the task and some rows.

class TestMyTask(TaskConformance):
    def make_task(self) -> Task:
        return MyTask()

    @pytest.fixture
    def source(self, tmp_path: Path) -> str:
        ...  # write a training and a development file there
        return str(tmp_path)
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from atb.data.tasks import Examples, Feature, Task
from atb.data.tokenizer import read_vocabulary, tokenizer_of
from atb.errors import InputError

# A logit beside which all others count for nothing.
_SURE = 20.0


class TaskConformance:
    """What a task owes its callers.

    Subclass it, give `make_task` and a fixture `source`: what `Task.read` takes, with a few rows
    in the training split and in each development split, not all of one label.

    Attributes:
        sequence_length: Most tokens of a feature; some row has more.
    """

    sequence_length: int = 96

    def make_task(self) -> Task:
        raise NotImplementedError("give the task under test")

    def development(self, source: str) -> Examples:
        """The rows of the main development split."""
        task = self.make_task()
        return task.read(source, task.development_splits[0])

    def encode(self, examples: Examples) -> list[Feature]:
        """The features of rows, by the tokenizer that comes with the package."""
        tokenizer = tokenizer_of(read_vocabulary())
        return self.make_task().encode(examples, tokenizer, self.sequence_length)

    def test_it_says_what_it_is(self) -> None:
        task = self.make_task()
        assert task.name == task.name.lower()
        assert task.head in ("classification", "qa")
        assert task.outputs >= 1
        assert task.head == "classification" or task.outputs == 2
        assert task.development_splits
        assert not {"train", *task.development_splits} & set(task.test_splits)

    def test_rows_are_plain_values_and_read_the_same_again(self, source: str) -> None:
        task = self.make_task()
        for split in ("train", *task.development_splits):
            examples = task.read(source, split)
            assert len(examples) >= 2
            assert json.loads(json.dumps([dict(row) for row in examples.rows]))
            assert task.read(source, split).sha256 == examples.sha256

    def test_a_split_that_it_does_not_have_is_refused(self, source: str) -> None:
        with pytest.raises(InputError, match="split"):
            self.make_task().read(source, "no-such-split")

    def test_features_have_the_inputs_of_a_model_and_are_no_longer_than_asked(
        self, source: str
    ) -> None:
        features = self.encode(self.development(source))
        assert features
        for feature in features:
            length = len(feature["input_ids"])
            assert 0 < length <= self.sequence_length
            assert len(feature["attention_mask"]) == length

    def test_features_of_labelled_rows_tell_what_a_model_is_to_put_out(self, source: str) -> None:
        task, features = self.make_task(), self.encode(self.development(source))
        for feature in features:
            if task.head == "qa":
                length = len(feature["input_ids"])
                assert 0 <= feature["start_positions"] <= feature["end_positions"] < length
            elif task.outputs == 1:
                assert np.isfinite(float(feature["labels"]))
            else:
                assert feature["labels"] in range(task.outputs)

    def test_right_outputs_score_higher_than_wrong_ones(self, source: str) -> None:
        task, examples = self.make_task(), self.development(source)
        features = self.encode(examples)
        right = task.score(examples, features, _outputs(task, features, wrong=False))
        wrong = task.score(examples, features, _outputs(task, features, wrong=True))
        assert set(right) == set(wrong)
        assert all(np.isfinite([*right.values(), *wrong.values()]))
        assert right[task.metric] == pytest.approx(1.0)
        assert wrong[task.metric] < right[task.metric]

    def test_answers_are_written_to_a_file_of_each_split(self, source: str, tmp_path: Path) -> None:
        task, examples = self.make_task(), self.development(source)
        features = self.encode(examples)
        file = tmp_path / task.answers_file(task.development_splits[0])
        task.write_answers(examples, features, _outputs(task, features, wrong=False), file)
        assert file.stat().st_size > 0


def _outputs(
    task: Task, features: Sequence[Feature], *, wrong: bool
) -> list[npt.NDArray[np.float32]]:
    """What a model puts out that is sure of the labels, or of others.

    Returns:
        One array [features, outputs] of a classifier; two [features, longest] of answers' ends.
    """
    if task.head == "qa":
        longest = max(len(feature["input_ids"]) for feature in features)
        places = [
            [1 if wrong else feature[name] for feature in features]
            for name in ("start_positions", "end_positions")
        ]
        return [_certain(place, longest) for place in places]
    labels = [feature["labels"] for feature in features]
    if task.outputs == 1:
        numbers = np.array([labels], np.float32).T
        return [-numbers if wrong else numbers]
    return [_certain([(label + wrong) % task.outputs for label in labels], task.outputs)]


def _certain(places: Sequence[Any], width: int) -> npt.NDArray[np.float32]:
    """Logits [rows, width] that are large at one place of each row."""
    logits = np.zeros((len(places), width), np.float32)
    logits[np.arange(len(places)), places] = _SURE
    return logits
