"""The transformers Trainer, made to keep the weights that score best on held-out rows.

Its checkpoints count once they are whole, with the best weights so far beside them, so that a run
that was killed at any point goes on.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from atb.data.tasks import Examples
from atb.errors import RunError
from atb.files import read_document, write_document
from atb.models.superplm import read_tensors, write_tensors
from atb.training import give_back_memory, keep_freed_memory
from atb.training.finetuning.prediction import collated
from atb.training.finetuning.settings import FineTuning
from atb.training.finetuning.task_model import TaskModel

_KIND, _FORMAT = "finetuning-checkpoint", 1
_BEST, _WHOLE = "best.safetensors", "whole.json"
# Steps from one checkpoint to the next.
_CHECKPOINT_STEPS = 100

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class Best:
    """The best score on held-out rows, its step, and all steps."""

    score: float
    step: int
    steps: int


def train_for_best(
    loaded: TaskModel,
    learnt: Examples,
    held: Examples,
    settings: FineTuning,
    *,
    folder: Path,
    progress: Progress | None = None,
) -> Best:
    """Train a model, from the last whole checkpoint on; it then has its best weights.

    Args:
        loaded: The model; trained in place.
        learnt: Rows to learn from.
        held: Rows by whose score the weights are chosen.
        settings: Settings of the run.
        folder: Folder of the checkpoints.
        progress: Called with steps done, all steps, and the scores so far in words.
    """
    keep_freed_memory()
    transformers.utils.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    keeper = _Keeper(loaded, progress)
    rows = loaded.encode(learnt, settings.sequence_length)
    trainer = _Trainer(
        model=loaded.model,
        args=_arguments(settings, folder),
        train_dataset=rows,
        eval_dataset=[0],  # asked for, and not read
        data_collator=lambda features: collated(features, loaded.pad),
        callbacks=[keeper],
    )
    trainer.rows, trainer.batches = rows, _batches(len(rows), settings)
    trainer.score = lambda: loaded.evaluate(held, settings.sequence_length)
    trainer.remove_callback(transformers.PrinterCallback)
    whole = _last_whole(folder)
    if whole is not None:
        keeper.restore(whole)
    trainer.train(resume_from_checkpoint=None if whole is None else str(whole))
    steps = int(trainer.state.global_step)
    if keeper.seen < steps:
        trainer.evaluate()  # the last steps, which may be fewer than from one look to the next
    loaded.model.load_state_dict(keeper.weights)
    loaded.model.eval()
    best = Best(keeper.score, keeper.step, steps)
    del trainer, keeper
    give_back_memory()
    return best


class _Trainer(transformers.Trainer):  # type: ignore[misc, unused-ignore]
    """Evaluates by the task's own scores."""

    score: Callable[[], dict[str, float]]
    rows: Any  # a list, which torch's type of a data set does not allow for
    batches: list[list[int]]

    def get_train_dataloader(self) -> Any:
        """The batches of all epochs, one after the other."""
        loader: Any = torch.utils.data.DataLoader(
            self.rows,
            batch_sampler=self.batches,
            collate_fn=self.data_collator,
            pin_memory=self.args.dataloader_pin_memory,
        )
        return self.accelerator.prepare(loader)

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        # dropout from seed and step: a resumed run goes on as if never stopped, whether or not
        # this version of transformers restores the state of the generator
        step = np.random.SeedSequence((self.args.seed, self.state.global_step))
        torch.manual_seed(int(step.generate_state(1)[0]))
        loss: torch.Tensor = super().training_step(*args, **kwargs)
        if not torch.isfinite(loss):
            raise RunError(
                f"The loss became {float(loss)} at step {self.state.global_step + 1}: the last "
                "checkpoint is kept; try a lower learning rate."
            )
        return loss

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        metrics = {f"eval_{name}": value for name, value in self.score().items()}
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics


class _Keeper(transformers.TrainerCallback):  # type: ignore[misc, unused-ignore]
    """Keeps the weights that scored best, in memory and beside checkpoints; tells the progress."""

    def __init__(self, loaded: TaskModel, progress: Progress | None) -> None:
        self._loaded, self._progress = loaded, progress
        self._word = ""
        self.score, self.step, self.seen = float("-inf"), 0, 0
        self.weights: dict[str, torch.Tensor] = {}

    def on_evaluate(self, args: Any, state: Any, control: Any, **known: Any) -> None:
        """Take the weights where they are the best so far."""
        name = self._loaded.task.metric
        value = known["metrics"][f"eval_{name}"]
        self.seen = state.global_step
        if value > self.score:
            self.score, self.step = value, state.global_step
            tensors = self._loaded.model.state_dict()
            self.weights = {name: tensor.clone() for name, tensor in tensors.items()}
        self._word = f"held-out {name} {value:.3f}, best {self.score:.3f}"

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Make the checkpoint whole."""
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        if self.weights:
            write_tensors(self.weights, folder / _BEST)
        content = {"score": self.score if self.weights else None, "step": self.step}
        write_document(folder / _WHOLE, content, kind=_KIND, format=_FORMAT)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Tell how far it is."""
        if self._progress is not None:
            self._progress(state.global_step, state.max_steps, self._word)

    def restore(self, folder: Path) -> None:
        """Take what a checkpoint knows."""
        known = read_document(folder / _WHOLE, kind=_KIND, format=_FORMAT)
        if known["step"]:
            self.score, self.step = known["score"], known["step"]
            self.weights = read_tensors(folder / _BEST)


def _batches(rows: int, settings: FineTuning) -> list[list[int]]:
    """The numbers of the rows of each step, in an order that the seed alone determines."""
    generator = np.random.default_rng(settings.seed)
    size, found = settings.batch_size, []
    for _ in range(math.ceil(settings.epochs)):
        order = generator.permutation(rows).tolist()
        found += [order[at : at + size] for at in range(0, rows, size)]
    return found[: math.ceil(settings.epochs * math.ceil(rows / size))]


def _arguments(settings: FineTuning, folder: Path) -> transformers.TrainingArguments:
    return transformers.TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=1,  # of the batches of all epochs
        per_device_train_batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        warmup_steps=settings.warmup,  # below 1 it is a share
        lr_scheduler_type="linear",
        seed=settings.seed,
        bf16=settings.bf16,
        use_cpu=settings.bf16 and not torch.cuda.is_available(),  # else it refuses bf16
        eval_strategy="steps",
        eval_steps=settings.evaluation_steps,
        save_strategy="steps",
        save_steps=_CHECKPOINT_STEPS,
        save_total_limit=2,
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=torch.cuda.is_available(),
    )


def _last_whole(folder: Path) -> Path | None:
    """The newest checkpoint that was written to its end; others are removed."""
    found = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.partition("-")[2]))
    for path in found:
        if not (path / _WHOLE).is_file():
            shutil.rmtree(path, ignore_errors=True)
    return next((path for path in reversed(found) if path.is_dir()), None)
