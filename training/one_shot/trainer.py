"""One-shot training: each step trains several slices of a SuperPLM on one batch."""

from __future__ import annotations

import contextlib
import hashlib
import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from atb.data.corpus import TokenShards
from atb.errors import InputError, RunError
from atb.files import prepare_output, read_document, translate_write_errors
from atb.models.superplm import CARD, FORMAT, KIND, SuperPLM
from atb.training import (
    Batch,
    Batches,
    DistillationTarget,
    MetricsLog,
    Objective,
    ProcessGroup,
    Source,
    Teacher,
    TextSource,
    TrainingSettings,
    check_fits,
    check_same_run,
    keep_freed_memory,
    load_checkpoint,
    outcome,
    run_identity,
    sampled_architectures,
    save_checkpoint,
)
from atb.training.one_shot.objectives import Distillation, MaskedLanguageModelling
from atb.training.one_shot.scoring_teacher import described_teacher


@dataclass(frozen=True, slots=True)
class TrainingStep:
    """How far a run is after a step.

    Attributes:
        number: Number of steps done.
        steps: Number of steps of the whole run.
        tokens: Number of tokens seen so far, padding left out.
        loss: Mean over the sub-models of the step.
    """

    number: int
    steps: int
    tokens: int
    loss: float


Progress = Callable[[TrainingStep], None]


@dataclass
class _Run:
    """A run between two steps."""

    superplm: SuperPLM
    batches: Batches
    settings: TrainingSettings
    objective: Objective
    optimizer: torch.optim.Optimizer
    identity: dict[str, Any]
    processes: ProcessGroup
    scheduler: Any = None
    step: int = 0
    tokens: int = 0

    def advance(self) -> float:
        """Do one step; returns the mean loss of its sub-models."""
        self.optimizer.zero_grad(set_to_none=True)
        parts = self.batches.of_step(self.step)
        mine = [(number, parts[number]) for number in self.processes.share(len(parts))]
        losses = [self._accumulate(part.to(self.processes.device), n) for n, part in mine]
        tokens = sum(int(part.attention_mask.sum()) for _, part in mine)
        self.processes.add_up_gradients(self.superplm.parameters())
        norm = torch.nn.utils.clip_grad_norm_(
            self.superplm.parameters(), self.settings.largest_norm
        )
        if self.step + 1 < self.settings.steps:  # while an accelerator is still at work
            self.batches.read_ahead(self.step + 1)
        loss, seen = self.processes.add_up([float(torch.stack(losses).sum()), tokens])
        self._check_finite(loss, "loss")
        self._check_finite(float(norm), "gradient")
        self.optimizer.step()
        self.scheduler.step()
        self.step += 1
        self.tokens += int(seen)
        return loss

    def _accumulate(self, batch: Batch, part: int) -> Tensor:
        """Add the gradients of all sub-models of one part; returns its share of the mean loss.

        A number that is not read here: reading waits for an accelerator.
        """
        settings = self.settings
        # dropout from seed, step and part: a resumed run goes on as if never stopped, and a part
        # comes out the same in whichever process it is computed
        digest = hashlib.sha256(f"{settings.seed}:{self.step}:{part}".encode()).digest()
        torch.manual_seed(int.from_bytes(digest[:7], "big"))
        architectures = sampled_architectures(
            settings.chosen or settings.space,
            settings.sampling,
            settings.random_samples,
            seed=settings.seed,
            step=self.step,
            part=part,
        )
        share = 1 / (len(architectures) * settings.batch_parts)
        total = torch.zeros((), dtype=torch.float64, device=self.processes.device)
        target: DistillationTarget | None = None
        for index, architecture in enumerate(architectures):
            with self.processes.autocast():
                if index == 0:
                    target = self.objective.prepare(batch, self.step / settings.steps)
                found = outcome(self.objective, self.superplm, architecture, batch, target)
            if settings.in_place and index == 0:
                target = found.target
            loss = found.loss * share
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        return total

    def _check_finite(self, value: float, what: str) -> None:
        # of all processes, so that all end together
        if not math.isfinite(value):
            raise RunError(
                f"The {what} became {value} at step {self.step + 1}: the last checkpoint is kept; "
                "try a lower learning rate."
            )


def train_superplm(
    superplm: SuperPLM,
    text: TokenShards | Source,
    settings: TrainingSettings,
    out: Path,
    *,
    objective: Objective | None = None,
    progress: Progress | None = None,
    tensorboard: bool = False,
) -> SuperPLM:
    """Train all slices of a SuperPLM at once.

    The same call resumes a run that was stopped, with the result that it would have had, and reads
    a run that is done. Where several processes make it (`torchrun`), they share the parts of each
    batch; the result does not depend on how many they are, but for rounding.

    Args:
        superplm: The starting point; trained in place.
        text: Token shards, or the rows of a task.
        settings: Settings of the run. Of their space what the SuperPLM holds is trained: a pair of
            few heads and a great query width may have wider heads than the largest architecture.
        out: Folder of the run: the trained SuperPLM, the log of losses, checkpoints meanwhile.
        objective: The loss; by default masked-LM where there is a head for it, and else
            distillation of the whole into its slices.
        progress: Called after every step.
        tensorboard: Whether to write TensorBoard's files beside the log.

    Returns:
        The trained SuperPLM, in eval mode.

    Raises:
        InputError: The text, the space or the folder does not fit the SuperPLM or the settings.
        RunError: The loss became infinite or no number; the last checkpoint stays.
    """
    source = TextSource(text) if isinstance(text, TokenShards) else text
    _check(superplm, source, settings)
    settings = _held(superplm, settings)
    objective = objective or _default_objective(superplm)
    objective.check(superplm, settings.space)
    teacher = described_teacher(objective)
    prepare_output(out, directory=True)
    keep_freed_memory()
    processes = ProcessGroup(bf16=settings.bf16)
    processes.share(settings.batch_parts)
    run = _begin(superplm, source, settings, objective, processes)
    if (out / CARD).is_file():
        return _finished(out, run)
    run.step, run.tokens = load_checkpoint(out, superplm, run.optimizer, run.identity)
    run.scheduler = _schedule(run.optimizer, settings, run.step)
    processes.wait()  # no process reads what the leader is about to write
    with torch.random.fork_rng(), translate_write_errors(out):
        _train(run, out, progress, tensorboard=tensorboard)
        superplm.to("cpu").eval()
        if processes.leads:
            superplm.save(out, run=run.identity, **teacher)
    processes.wait()
    superplm.folder = out
    if processes.leads:
        shutil.rmtree(out / "checkpoints", ignore_errors=True)
    return superplm


def _train(run: _Run, out: Path, progress: Progress | None, *, tensorboard: bool) -> None:
    """Do the steps that are left; the leader logs and keeps checkpoints on the way."""
    run.superplm.train()
    if not run.processes.leads:
        while run.step < run.settings.steps:
            run.advance()
        return
    with contextlib.closing(MetricsLog(out, run.step, tensorboard=tensorboard)) as log:
        while run.step < run.settings.steps:
            loss = run.advance()
            _keep(run, out, loss, log)
            if progress is not None:
                progress(TrainingStep(run.step, run.settings.steps, run.tokens, loss))


def _keep(run: _Run, out: Path, loss: float, log: MetricsLog) -> None:
    """Write what is due after a step."""
    settings, done = run.settings, run.step == run.settings.steps
    if run.step % settings.log_steps == 0 or done:
        rate = run.scheduler.get_last_lr()[0]
        log.write(run.step, {"loss": loss, "tokens": run.tokens, "learning_rate": rate})
    if run.step % settings.checkpoint_steps == 0 and not done:
        save_checkpoint(
            out,
            run.superplm,
            run.optimizer,
            step=run.step,
            tokens=run.tokens,
            run=run.identity,
        )


def _check(superplm: SuperPLM, source: Source, settings: TrainingSettings) -> None:
    for architecture in settings.chosen or (settings.space.largest,):
        superplm.check(architecture)
    check_fits(source, superplm, "SuperPLM")


def _held(superplm: SuperPLM, settings: TrainingSettings) -> TrainingSettings:
    """The settings with that part of their space which the SuperPLM holds."""
    if settings.chosen:
        return settings
    return replace(settings, space=settings.space.limited_to(superplm.architecture))


def _default_objective(superplm: SuperPLM) -> Objective:
    if superplm.cls is not None:
        return MaskedLanguageModelling()
    return Distillation(Teacher.of(superplm))


def _begin(
    superplm: SuperPLM,
    source: Source,
    settings: TrainingSettings,
    objective: Objective,
    processes: ProcessGroup,
) -> _Run:
    identity = run_identity(superplm, source, settings, objective)
    superplm.to(processes.device)
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
        source,
        size=settings.batch_size,
        parts=settings.batch_parts,
        mask_probability=objective.mask_probability,
        seed=settings.seed,
        by_length=settings.by_length,
    )
    return _Run(superplm, batches, settings, objective, optimizer, identity, processes)


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
    run.superplm.folder = out
    return run.superplm.eval()
