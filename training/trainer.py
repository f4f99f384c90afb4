"""One-shot training: each step trains several slices of a SuperPLM on one batch."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import torch

from atb.data.shards import TokenShards
from atb.errors import InputError, RunError
from atb.files import prepare_output, read_document
from atb.models.card import CARD, FORMAT, KIND
from atb.models.superplm import SuperPLM
from atb.training.batches import Batches
from atb.training.checkpoint import load_checkpoint, save_checkpoint
from atb.training.identity import check_same_run, run_identity
from atb.training.objectives import (
    Distillation,
    MaskedLanguageModelling,
    Objective,
    outcome,
)
from atb.training.sampling import sampled_architectures
from atb.training.settings import TrainingSettings
from atb.training.teacher import Batch, Target, Teacher

__all__ = ["LOG", "Progress", "Step", "train_superplm"]

#: Losses, one JSON object a line, in the folder of the run.
LOG = "losses.jsonl"


@dataclass(frozen=True, slots=True)
class Step:
    """What is known after a step.

    Attributes:
        number: Steps done.
        steps: Steps in all.
        tokens: Tokens seen so far, padding left out.
        loss: Mean over the sub-models of the step.
    """

    number: int
    steps: int
    tokens: int
    loss: float


Progress = Callable[[Step], None]


@dataclass
class _Run:
    """A run between two steps."""

    superplm: SuperPLM
    batches: Batches
    settings: TrainingSettings
    objective: Objective
    optimizer: torch.optim.Optimizer
    identity: dict[str, Any]
    scheduler: Any = None
    step: int = 0
    tokens: int = 0

    def advance(self) -> float:
        """Do one step; returns the mean loss of its sub-models."""
        # dropout from seed and step, so that a resumed run goes on as if never stopped
        digest = hashlib.sha256(f"{self.settings.seed}:{self.step}".encode()).digest()
        torch.manual_seed(int.from_bytes(digest[:7], "big"))
        self.optimizer.zero_grad(set_to_none=True)
        total = 0.0
        for number, batch in enumerate(self.batches.of_step(self.step)):
            total += self._accumulate(batch, number)
            self.tokens += int(batch.attention_mask.sum())
        norm = torch.nn.utils.clip_grad_norm_(
            self.superplm.parameters(), self.settings.largest_norm
        )
        self._check_finite(float(norm), "gradient")
        self.optimizer.step()
        self.scheduler.step()
        self.step += 1
        return total

    def _accumulate(self, batch: Batch, part: int) -> float:
        """Add the gradients of all sub-models of one part; returns its share of the mean loss."""
        settings = self.settings
        architectures = sampled_architectures(
            settings.space,
            settings.sampling,
            settings.random_samples,
            seed=settings.seed,
            step=self.step,
            part=part,
        )
        share = 1 / (len(architectures) * settings.batch_parts)
        total = 0.0
        target: Target | None = None
        for index, architecture in enumerate(architectures):
            with torch.autocast("cpu", torch.bfloat16, enabled=settings.bf16):
                if index == 0:
                    target = self.objective.prepare(batch, self.step / settings.steps)
                found = outcome(self.objective, self.superplm, architecture, batch, target)
            if settings.in_place and index == 0:
                target = found.taught
            loss = found.loss * share
            value = float(loss.detach())
            self._check_finite(value, f"loss of {architecture}")
            loss.backward()  # type: ignore[no-untyped-call]
            total += value
        return total

    def _check_finite(self, value: float, what: str) -> None:
        if not math.isfinite(value):
            raise RunError(
                f"The {what} became {value} at step {self.step + 1}: the last checkpoint is kept; "
                "try a lower learning rate."
            )


def train_superplm(
    superplm: SuperPLM,
    shards: TokenShards,
    settings: TrainingSettings,
    out: Path,
    *,
    objective: Objective | None = None,
    progress: Progress | None = None,
) -> SuperPLM:
    """Train all slices of a SuperPLM at once.

    The same call resumes a run that was stopped, from its last checkpoint and with the same
    result as if it had not been stopped, and reads a run that is done.

    Args:
        superplm: The starting point; trained in place.
        shards: The text.
        settings: How.
        out: Folder of the run: the trained SuperPLM, the log of losses, checkpoints meanwhile.
        objective: What to train towards; by default masked-LM where there is a head for it, and
            else distillation of the whole into its slices.
        progress: Told every step.

    Returns:
        The trained SuperPLM, in eval mode.

    Raises:
        InputError: The text, the space or the folder does not fit the SuperPLM or the settings.
        RunError: The loss became infinite or no number; the last checkpoint stays.
    """
    _check(superplm, shards, settings)
    objective = objective or _default_objective(superplm)
    objective.check(superplm, settings.space)
    prepare_output(out, directory=True)
    run = _begin(superplm, shards, settings, objective)
    if (out / CARD).is_file():
        return _finished(out, run)
    run.step, run.tokens = load_checkpoint(out, superplm, run.optimizer, run.identity)
    run.scheduler = _schedule(run.optimizer, settings, run.step)
    with torch.random.fork_rng(devices=[]), _writing(out):
        _train(run, out, progress)
        superplm.eval()
        superplm.save(out, run=run.identity)
    shutil.rmtree(out / "checkpoints", ignore_errors=True)
    return superplm


def _train(run: _Run, out: Path, progress: Progress | None) -> None:
    """Do the steps that are left; log and keep checkpoints on the way."""
    settings = run.settings
    run.superplm.train()
    with _open_log(out / LOG, run.step) as log:
        while run.step < settings.steps:
            loss = run.advance()
            done = run.step == settings.steps
            if run.step % settings.log_steps == 0 or done:
                learning_rate = run.scheduler.get_last_lr()[0]
                line = {"step": run.step, "loss": loss, "tokens": run.tokens}
                log.write(json.dumps({**line, "learning_rate": learning_rate}) + "\n")
                log.flush()
            if run.step % settings.checkpoint_steps == 0 and not done:
                save_checkpoint(
                    out,
                    run.superplm,
                    run.optimizer,
                    step=run.step,
                    tokens=run.tokens,
                    run=run.identity,
                )
            if progress is not None:
                progress(Step(run.step, settings.steps, run.tokens, loss))


@contextlib.contextmanager
def _writing(out: Path) -> Iterator[None]:
    """Turn a full disk into one sentence."""
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, SafetensorError) as error:
        raise RunError(
            f"Cannot write to {out} ({error}): the last checkpoint is kept; make room and give the "
            "same command again."
        ) from error


def _check(superplm: SuperPLM, shards: TokenShards, settings: TrainingSettings) -> None:
    superplm.check(settings.space.largest)
    if shards.vocabulary_size > superplm.config.vocab_size:
        raise InputError(
            f"The text has a vocabulary of {shards.vocabulary_size} and the SuperPLM of "
            f"{superplm.config.vocab_size}: prepare the text with the SuperPLM's vocabulary."
        )
    if shards.sequence_length > superplm.config.max_position_embeddings:
        raise InputError(
            f"The text has sequences of {shards.sequence_length} and the SuperPLM "
            f"{superplm.config.max_position_embeddings} positions: prepare shorter ones."
        )


def _default_objective(superplm: SuperPLM) -> Objective:
    if superplm.cls is not None:
        return MaskedLanguageModelling()
    return Distillation(Teacher.of(superplm))


def _begin(
    superplm: SuperPLM, shards: TokenShards, settings: TrainingSettings, objective: Objective
) -> _Run:
    plain = {name for name, _ in superplm.named_parameters() if _without_decay(name)}
    groups = [
        {
            "params": [
                p for name, p in superplm.named_parameters() if (name in plain) is undecayed
            ],
            "weight_decay": 0.0 if undecayed else settings.weight_decay,
            "initial_lr": settings.learning_rate,  # what a resumed schedule starts from
        }
        for undecayed in (False, True)
    ]
    optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate, betas=(0.9, 0.999), fused=True)
    batches = Batches(
        shards,
        size=settings.batch_size,
        parts=settings.batch_parts,
        mask_probability=objective.mask_probability,
        seed=settings.seed,
    )
    identity = run_identity(superplm, shards, settings, objective)
    return _Run(superplm, batches, settings, objective, optimizer, identity)


def _schedule(optimizer: torch.optim.Optimizer, settings: TrainingSettings, step: int) -> Any:
    """Linear warm-up and decay, standing at a step."""
    from transformers import get_linear_schedule_with_warmup

    return get_linear_schedule_with_warmup(  # type: ignore[no-untyped-call, unused-ignore]
        optimizer, settings.warmup, settings.steps, last_epoch=step - 1
    )


def _without_decay(name: str) -> bool:
    return name.endswith("bias") or "LayerNorm" in name


def _finished(out: Path, run: _Run) -> SuperPLM:
    """The result of a run that is done."""
    card = read_document(out / CARD, kind=KIND, format=FORMAT)
    if "run" not in card:
        raise InputError(f"{out} holds a SuperPLM of another origin: choose another --out.")
    check_same_run(card["run"], run.identity, out)
    run.superplm.fill(SuperPLM.load(out).state_dict(), out)
    return run.superplm.eval()


def _open_log(path: Path, step: int) -> TextIO:
    """The log, without lines of steps that are about to be repeated."""
    kept = []
    if path.is_file():
        for line in path.read_text("utf-8").splitlines():
            try:
                if json.loads(line)["step"] <= step:
                    kept.append(line)
            except (json.JSONDecodeError, KeyError):  # the last line of a run that was killed
                break
    path.write_text("".join(f"{line}\n" for line in kept), "utf-8")
    return path.open("a", encoding="utf-8")
