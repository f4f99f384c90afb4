"""The proxy `finetune`: each slice is fine-tuned alone on a task, for a short and fixed budget.

It is the specification's way of scoring, with a small part of its rows: minutes a slice where the
whole takes hours (`atb superplm evaluate --proxy finetune`). The engine is that of elastic
fine-tuning, in a space of one architecture.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from atb.data.tasks import Examples, Task, hold_out
from atb.data.tokenizer import Vocabulary
from atb.errors import RunError
from atb.models import Architecture
from atb.models.superplm import SuperPLM, config_of
from atb.search.scoring.int8_slices import as_deployed
from atb.search.scoring.proxy import proxy_key, superplm_sha256
from atb.training.finetuning import (
    ElasticSettings,
    TaskLearning,
    TaskRows,
    TaskScorer,
    with_changes,
)
from atb.training.one_shot import one_thread, space_of, train_superplm

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Training rows that each slice learns from, and how often.
ROWS, EPOCHS = 2_000, 1.0
#: Above that of long fine-tuning, since there are few steps.
LEARNING_RATE = 3e-4
#: Of the rows, their order, the head and dropout: the same for every slice and every search.
SEED = 0


class FinetuneProxy:
    """How well a slice does a task after a short fine-tuning of its own.

    The score is minus the mean loss on training rows that were held out; for questions, which have
    no such loss, the task's metric on them.
    """

    name = "finetune"

    def __init__(
        self,
        superplm: SuperPLM,
        task: Task,
        source: str,
        vocabulary: Vocabulary,
        *,
        bf16: bool = False,
        precision: str = "fp32",
        sequence_length: int | None = None,
    ) -> None:
        """Read the rows once for all candidates.

        Args:
            superplm: Whose slices are scored.
            task: What for.
            source: Where the task's rows are; see `Task.read`.
            vocabulary: Of the SuperPLM.
            bf16: Whether matrix products run in bfloat16.
            precision: In which fine-tuned slices are scored.
            sequence_length: Most tokens of a row, where that is less than what is usual for the
                task.

        Raises:
            InputError: The rows cannot be read, or there are too few.
        """
        as_deployed(superplm, precision)  # refuses what cannot be scored
        given = task.read(source, "train")
        learnt, held = hold_out(given, SEED)
        few = learnt.draw(ROWS, SEED)
        usual = with_changes(task.name).sequence_length
        positions = superplm.config.max_position_embeddings
        length = min(usual, positions, sequence_length or usual)
        self._superplm, self._task, self._vocabulary = superplm, task, vocabulary
        self._held: Examples = held
        self._length, self._bf16, self._precision = length, bf16, precision
        self._rows = TaskRows.of(task, few, vocabulary, length)
        budget = f"{EPOCHS}:{LEARNING_RATE}:{SEED}:{bf16}"
        parts = [self.name, superplm_sha256(superplm), task.name, few.sha256, held.sha256]
        self.key = proxy_key([*parts, str(length), budget], precision=precision)
        told = f"{task.name}, fine-tuned on {len(few):,} rows and scored on {len(held):,}"
        self.facts: Mapping[str, str] = {"task": "; ".join((told, *given.remarks))}

    def score(self, architectures: Sequence[Architecture]) -> list[float | None]:
        """Scores in the order given, higher is better; None where one failed.

        Raises:
            RunError: The disk is full.
        """
        return [self._score(architecture) for architecture in architectures]

    def _score(self, architecture: Architecture) -> float | None:
        try:
            with tempfile.TemporaryDirectory() as folder, one_thread():
                tuned = self._fine_tuned(architecture, Path(folder) / "run")
                scores = self._scores(tuned, architecture)
        except RunError as error:
            if error.__cause__ is not None:  # of the disk
                raise
            return None  # the loss became no number
        except (RuntimeError, MemoryError):  # torch out of memory is a RuntimeError
            return None
        score = -scores["loss"] if "loss" in scores else scores[self._task.metric]
        return score if math.isfinite(score) else None

    def _fine_tuned(self, architecture: Architecture, folder: Path) -> SuperPLM:
        """The slice as a SuperPLM of its own shape, after its training."""
        settings = ElasticSettings(
            space_of(architecture),
            epochs=EPOCHS,
            sampling="uniform",
            random_samples=1,
            learning_rate=LEARNING_RATE,
            seed=SEED,
            bf16=self._bf16,
        )
        alone = SuperPLM(config_of(architecture, self._superplm.config))
        sliced = self._superplm.sliced(architecture, "bert.")
        alone.load_state_dict({name: tensor.detach() for name, tensor in sliced.items()})
        with torch.random.fork_rng():
            torch.manual_seed(SEED)
            start = alone.with_task_head(
                self._task.head, self._task.outputs, dropout=settings.dropout
            )
            training = settings.of_training(len(self._rows))
            return train_superplm(start, self._rows, training, folder, objective=TaskLearning())

    def _scores(self, tuned: SuperPLM, architecture: Architecture) -> dict[str, float]:
        scorer = TaskScorer(
            as_deployed(tuned, self._precision),
            self._task,
            self._held,
            self._vocabulary,
            self._length,
            bf16=self._bf16,
        )
        return scorer.score(architecture)
