"""A model is improved for a given time: it learns on from its teacher's vectors of sentences.

The time is measured first and the steps follow from it, so that the learning rate ends at zero as
the time does. The plan is written down: the same call goes on with it and ends with the same model.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from atb.data.corpus import TokenShards
from atb.errors import BadFile, InputError
from atb.files import prepare_output, read_document, write_document
from atb.models import Architecture
from atb.models.superplm import SuperPLM, config_of
from atb.plain import from_plain, to_plain
from atb.training import Batch, Batches, Teacher, TextSource, fingerprint, outcome
from atb.training.one_shot.further import train_further
from atb.training.one_shot.objectives import Distillation
from atb.training.one_shot.teacher_cache import CachedTeacher
from atb.training.one_shot.trainer import TrainingStep

_PLAN, _KIND, _FORMAT = "plan.json", "improvement", 1
#: Sentences of a step, in parts of like length.
BATCH, PARTS = 128, 4
LEARNING_RATE = 5e-4
#: Steps that are timed for the plan, after one that is not.
_TIMED_STEPS = 4
#: The teacher is given this share of the time at most: of a longer text, less is learnt from.
_TEACHER_SHARE = 0.35
_FEWEST_SENTENCES = 500

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class _Plan:
    """What fits into the time.

    Attributes:
        seconds: The time.
        model: Hash of the weights that are improved.
        text: Hash of the text.
        sentences: Sentences of it that are learnt from.
        steps: Optimiser steps.
    """

    seconds: float
    model: str
    text: str
    sentences: int
    steps: int


def improve(
    model: SuperPLM,
    text: TokenShards,
    teacher: Teacher,
    out: Path,
    *,
    seconds: float,
    seed: int = 0,
    progress: Progress | None = None,
) -> SuperPLM:
    """Train a model of one shape on sentences for about a given time.

    The same call resumes a run that was stopped, and reads one that is done.

    Args:
        model: A SuperPLM of its own shape, such as `slice_alone` makes; it stays as it is.
        text: Sentences to learn from, in the model's vocabulary.
        teacher: Whose vectors of sentences it learns.
        out: Folder of the run.
        seconds: Time for the teacher's vectors and the training, on this machine as it is now.
        seed: Determines the order of the sentences and dropout.
        progress: Called with the steps done, the steps in all, and a word.

    Returns:
        The improved model, in eval mode.

    Raises:
        InputError: The text has too few sentences, does not fit the model, or the folder is that of
            another run.
        RunError: The loss became infinite or no number.
    """
    begun, model = time.monotonic(), copy.deepcopy(model)
    plan = _plan(model, text, teacher, out, seconds)
    text = text.spread(plan.sentences)
    cached = CachedTeacher(teacher, text, out / "teacher", only_sentences=True)
    _ask_teacher(cached, text, progress)
    objective = Distillation.of_sentences(cached)
    if not plan.steps:
        left = seconds - (time.monotonic() - begun)
        plan = replace(plan, steps=max(1, int(left / _step_seconds(model, text, objective))))
        write_document(out / _PLAN, to_plain(plan), kind=_KIND, format=_FORMAT)

    def tell(step: TrainingStep) -> None:
        if progress is not None:
            progress(step.number, step.steps, f"improving the model, loss {step.loss:.4f}")

    return train_further(
        model,
        text,
        out / "training",
        objective=objective,
        steps=plan.steps,
        batch_size=BATCH,
        learning_rate=LEARNING_RATE,
        seed=seed,
        bf16=_has_bfloat16(),
        by_length=True,
        progress=tell,
    )


def slice_alone(superplm: SuperPLM, architecture: Architecture) -> SuperPLM:
    """A SuperPLM of a slice's own shape, with a copy of its weights, in eval mode.

    Raises:
        InputError: The architecture is larger than the SuperPLM.
    """
    superplm.check(architecture)
    made = SuperPLM(
        config_of(architecture, superplm.config),
        with_mlm_head=superplm.cls is not None,
        task_head=superplm.task_head,
    )
    sliced = superplm.sliced(architecture)
    made.load_state_dict({name: tensor.detach() for name, tensor in sliced.items()})
    return made.eval()


def check_sentences(text: TokenShards) -> None:
    """Refuse a text of too few sentences by an InputError."""
    if len(text) < _FEWEST_SENTENCES:
        raise InputError(
            f"There are {len(text):,} sentences to learn from: give at least {_FEWEST_SENTENCES}."
        )


def _plan(model: SuperPLM, text: TokenShards, teacher: Teacher, out: Path, seconds: float) -> _Plan:
    """The plan that the folder holds, or one whose steps are not known yet.

    Raises:
        InputError: The text is too short, or the folder holds another run.
        BadFile: Its plan is damaged.
    """
    check_sentences(text)
    wanted = _Plan(seconds, fingerprint(model), text.sha256, 0, 0)
    if (out / _PLAN).is_file():
        fields = read_document(out / _PLAN, kind=_KIND, format=_FORMAT)
        try:
            known = from_plain(_Plan, fields)
        except (TypeError, ValueError, KeyError) as error:
            raise BadFile(f"{out / _PLAN} is damaged ({error}): remove {out}.") from error
        if replace(known, sentences=0, steps=0) != wanted:
            raise InputError(
                f"{out} holds the improvement of another model, on other text or for another time: "
                "choose another folder."
            )
        return known
    prepare_output(out, directory=True)
    source = TextSource(text)
    rows = source.order(0, 0)[: min(len(text), 4 * BATCH)]
    begun = time.monotonic()
    for batch in _in_batches(source, rows):
        teacher.sentences(batch)
    per_sentence = (time.monotonic() - begun) / len(rows)
    most = max(_FEWEST_SENTENCES, int(_TEACHER_SHARE * seconds / per_sentence))
    plan = replace(wanted, sentences=min(len(text), most))
    write_document(out / _PLAN, to_plain(plan), kind=_KIND, format=_FORMAT)
    return plan


def _ask_teacher(cached: CachedTeacher, text: TokenShards, progress: Progress | None) -> None:
    """Have the teacher's vectors of all sentences ready."""
    rows = np.arange(len(text))
    for number, batch in enumerate(_in_batches(TextSource(text), rows), start=1):
        cached.sentences(batch)
        if progress is not None:
            done = min(number * BATCH, len(rows))
            progress(done, len(rows), "asking the teacher about sentences")


def _in_batches(source: TextSource, rows: npt.NDArray[np.int64]) -> Iterator[Batch]:
    """Sentences of like length together."""
    rows = rows[np.argsort(source.lengths_of(rows), kind="stable")]
    for start in range(0, len(rows), BATCH):
        yield source.batch_of(rows[start : start + BATCH], 0.0, np.random.default_rng(0))


def _step_seconds(model: SuperPLM, text: TokenShards, objective: Distillation) -> float:
    """Time of a step of training, measured on a copy; the first one is not counted."""
    tried = copy.deepcopy(model).train()
    optimizer = torch.optim.AdamW(tried.parameters(), lr=1e-6, fused=True)
    batches = Batches(
        TextSource(text), size=BATCH, parts=PARTS, mask_probability=0.0, seed=0, by_length=True
    )
    begun = 0.0
    for step in range(_TIMED_STEPS + 1):
        begun = begun if step > 1 else time.monotonic()
        for batch in batches.of_step(step):
            with torch.autocast("cpu", torch.bfloat16, enabled=_has_bfloat16()):
                target = objective.prepare(batch)
                found = outcome(objective, tried, tried.architecture, batch, target)
            found.loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return (time.monotonic() - begun) / _TIMED_STEPS


def _has_bfloat16() -> bool:
    """Whether this processor multiplies in bfloat16 faster than in float32."""
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cuda.is_available())
