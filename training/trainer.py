"""One-shot training: each step trains several slices of a SuperPLM on one batch."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import numpy.typing as npt
import torch

from atb.data.masking import mask_tokens
from atb.data.shards import TokenShards
from atb.errors import InputError, RunError
from atb.files import prepare_output
from atb.models.card import CARD
from atb.models.superplm import SuperPLM
from atb.training.checkpoint import check_same_run, load_checkpoint, save_checkpoint
from atb.training.objectives import (
    Batch,
    Distillation,
    MaskedLanguageModelling,
    Objective,
    Target,
    Teacher,
)
from atb.training.sampling import sampled_architectures
from atb.training.settings import TrainingSettings

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
    shards: TokenShards
    settings: TrainingSettings
    objective: Objective
    optimizer: torch.optim.Optimizer
    scheduler: Any
    identity: dict[str, Any]
    step: int = 0
    tokens: int = 0
    _orders: dict[int, npt.NDArray[np.int64]] = field(default_factory=dict)

    def batch(self) -> list[Batch]:
        """The parts of this step's batch; they follow from seed and step alone."""
        settings = self.settings
        first = self.step * settings.batch_size
        rows = [self._row(first + place) for place in range(settings.batch_size)]
        return [
            self._part(np.array(part), number)
            for number, part in enumerate(np.array_split(rows, settings.batch_parts))
        ]

    def _row(self, place: int) -> int:
        """The sequence at a place of the endless, reshuffled text."""
        epoch, position = divmod(place, len(self.shards))
        if epoch not in self._orders:
            self._orders = {epoch: self.shards.order(epoch, self.settings.seed)}
        return int(self._orders[epoch][position])

    def _part(self, rows: npt.NDArray[np.int64], number: int) -> Batch:
        ids, mask = self.shards.batch(rows)
        labels = None
        if self.objective.mask_probability:
            ids, masked = mask_tokens(
                ids,
                mask,
                np.random.default_rng([self.settings.seed, self.step, number, 1]),
                probability=self.objective.mask_probability,
                vocabulary_size=self.shards.vocabulary_size,
            )
            labels = torch.from_numpy(masked)
        return Batch(torch.from_numpy(ids), torch.from_numpy(mask), labels)

    def advance(self) -> float:
        """Do one step; returns the mean loss of its sub-models."""
        # dropout from seed and step, so that a resumed run goes on as if never stopped
        digest = hashlib.sha256(f"{self.settings.seed}:{self.step}".encode()).digest()
        torch.manual_seed(int.from_bytes(digest[:7], "big"))
        self.optimizer.zero_grad(set_to_none=True)
        total = 0.0
        for number, batch in enumerate(self.batch()):
            total += self._accumulate(batch, number)
            self.tokens += int(batch.attention_mask.sum())
        torch.nn.utils.clip_grad_norm_(self.superplm.parameters(), self.settings.largest_norm)
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
                    target = self.objective.prepare(batch)
                loss = self.objective.loss(self.superplm, architecture, batch, target) * share
            value = float(loss.detach())
            if not math.isfinite(value):
                raise RunError(
                    f"The loss of {architecture} became {value} at step {self.step + 1}: the last "
                    "checkpoint is kept; try a lower learning rate."
                )
            loss.backward()  # type: ignore[no-untyped-call]
            total += value
        return total


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
    if isinstance(objective, Distillation):
        objective.check(superplm)
    prepare_output(out, directory=True)
    run = _begin(superplm, shards, settings, objective)
    if (out / CARD).is_file():
        return _finished(out, run)
    run.step = load_checkpoint(out, superplm, run.optimizer, run.identity)
    for _ in range(run.step):
        run.scheduler.step()
    superplm.train()
    with torch.random.fork_rng(devices=[]), _open_log(out / LOG, run.step) as log:
        while run.step < settings.steps:
            loss = run.advance()
            done = run.step == settings.steps
            if run.step % settings.log_steps == 0 or done:
                line = {"step": run.step, "loss": loss, "tokens": run.tokens}
                log.write(
                    json.dumps({**line, "learning_rate": run.scheduler.get_last_lr()[0]}) + "\n"
                )
                log.flush()
            if run.step % settings.checkpoint_steps == 0 and not done:
                save_checkpoint(out, run.step, superplm, run.optimizer, run.identity)
            if progress is not None:
                progress(Step(run.step, settings.steps, run.tokens, loss))
    superplm.eval()
    superplm.save(out, run=run.identity)
    shutil.rmtree(out / "checkpoints", ignore_errors=True)
    return superplm


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
    from transformers import get_linear_schedule_with_warmup

    plain = {name for name, _ in superplm.named_parameters() if _without_decay(name)}
    groups = [
        {
            "params": [
                p for name, p in superplm.named_parameters() if (name in plain) is undecayed
            ],
            "weight_decay": 0.0 if undecayed else settings.weight_decay,
        }
        for undecayed in (False, True)
    ]
    optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate, betas=(0.9, 0.999), fused=True)
    scheduler = get_linear_schedule_with_warmup(  # type: ignore[no-untyped-call, unused-ignore]
        optimizer, settings.warmup, settings.steps
    )
    identity = {
        "settings": json.loads(json.dumps(settings.to_json())),
        "text": shards.sha256,
        "objective": _describe(objective),
        "starting_point": _fingerprint(superplm),
    }
    return _Run(superplm, shards, settings, objective, optimizer, scheduler, identity)


def _without_decay(name: str) -> bool:
    return name.endswith("bias") or "LayerNorm" in name


def _describe(objective: Objective) -> dict[str, Any]:
    """An objective's numbers, and a fingerprint of its teacher."""
    described: dict[str, Any] = {"name": type(objective).__name__}
    for name in getattr(objective, "__dataclass_fields__", {}):
        value = getattr(objective, name)
        described[name] = _fingerprint(value.encoder) if isinstance(value, Teacher) else value
    return described


def _fingerprint(module: torch.nn.Module) -> str:
    """Hash over all weights."""
    digest = hashlib.sha256()
    for name, parameter in sorted(module.named_parameters()):
        digest.update(name.encode())
        digest.update(parameter.detach().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _finished(out: Path, run: _Run) -> SuperPLM:
    """The result of a run that is done."""
    card = json.loads((out / CARD).read_text("utf-8"))
    check_same_run(card.get("run"), run.identity, out)
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
