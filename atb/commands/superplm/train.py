"""`atb superplm train` and `finetune`: all slices of a SuperPLM at once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from typer import Option

from atb.commands.arguments import (
    DistillationOptions,
    FineTuningOptions,
    Options,
    Seed,
    SpaceName,
    SubModelOptions,
    SuperPLMArgument,
    SuperPLMOutput,
    TaskName,
    TaskRows,
    TrainingOptions,
    completion,
    option,
    print_held,
    use_threads,
)
from atb.commands.output import print_line, print_warning, progress
from atb.errors import InputError

if TYPE_CHECKING:
    from atb.training import TrainingSettings

_FINETUNING = FineTuningOptions(epochs=10.0, batch=32, learning_rate=1e-4, dropout=0.1)


class SliceOptions(Options, panel="Sub-models"):
    """Which slices learn."""

    space: str | None = option(
        default=None,
        metavar="NAME",
        help="Train the slices of this space, a name of `atb space list` or a TOML file; by "
        "default mini.",
        autocompletion=completion.spaces,
    )
    architectures: list[str] | None = option(
        "--arch",
        default=None,
        metavar="ARCH",
        help="Train only this slice, instead of a space, such as one that a search has found; "
        "repeatable.",
    )
    sampling: Literal["uniform", "sandwich", "anchored"] | None = option(
        default=None,
        help="Train random slices in a step (`uniform`), the largest and the smallest "
        "besides (`sandwich`), or the largest in one of four parts (`anchored`); by default "
        "sandwich, and uniform with --arch.",
    )


class RunOptions(Options, panel="Training"):
    """What else there is to a run."""

    teacher_cache: Path | None = option(
        default=None,
        metavar="DIR",
        help="Keep the outputs of the teacher of `kd`, `sentences` and `relations` in this "
        "folder, for later epochs; by default they are computed each time.",
    )
    by_length: bool = option(
        "--by-length",
        default=False,
        help="Put sequences of like length into the same part of a batch, which saves padding.",
    )
    warmup_steps: int = option(
        default=10_000,
        help="Raise the learning rate during this many steps, at most a tenth of all.",
    )
    tensorboard: bool = option(
        "--tensorboard", default=False, help="Write TensorBoard's files beside losses.jsonl."
    )


def train(
    superplm: Annotated[
        str, Option(metavar="DIR", help="Train the SuperPLM in this folder; `mini` is bundled.")
    ],
    out: SuperPLMOutput,
    data: Annotated[Path, Option(metavar="DIR", help="Learn from these token shards.")],
    distillation: DistillationOptions,
    slices: SliceOptions,
    parts: SubModelOptions,
    training: TrainingOptions,
    run: RunOptions,
    seed: Seed = 0,
) -> None:
    """Train all slices at once; the same command resumes a run that was stopped.

    With several GPUs or machines: torchrun ... -m atb superplm train ...; the processes share the
    parts of each batch.

    Example:
        atb superplm train --superplm start --data shards --objective mlm --out trained
    """
    from atb.data import TextModel
    from atb.models.superplm import folder_of, load_superplm
    from atb.training import leads
    from atb.training.one_shot import open_text, train_superplm

    settings = _settings(slices, parts, training, run, seed)
    use_threads(training.threads)
    start = load_superplm(superplm)
    if not settings.chosen:
        print_held(settings.space, start.architecture)
    text_model = TextModel.read(folder_of(superplm))
    shards = open_text(data, text_model)
    cache = None if run.teacher_cache is None else (shards, run.teacher_cache)
    objective = distillation.make(start, text_model.vocabulary, cache)
    with progress("train") as show:
        train_superplm(
            start,
            shards,
            settings,
            out,
            objective=objective,
            tensorboard=run.tensorboard,
            progress=lambda step: show(
                step.number, step.steps, f"loss {step.loss:.4f}, {step.tokens:,} tokens"
            ),
        )
    if not leads():
        return
    text_model.save_tokenizer(out)
    print_line(
        f"{out}: trained {training.steps} steps; score it with `atb superplm evaluate {out}`"
    )


def _settings(
    slices: SliceOptions,
    parts: SubModelOptions,
    training: TrainingOptions,
    run: RunOptions,
    seed: int,
) -> TrainingSettings:
    from atb.models import find_space, resolve
    from atb.training import TrainingSettings
    from atb.training.one_shot import space_of

    if slices.architectures and slices.space is not None:
        raise InputError("--arch names the slices to train itself: leave --space out.")
    only = tuple(dict.fromkeys(resolve(name) for name in slices.architectures or ()))
    return TrainingSettings(
        space=space_of(*only) if only else find_space(slices.space or "mini"),
        chosen=only,
        steps=training.steps,
        batch_size=training.batch,
        batch_parts=parts.batch_parts,
        sampling=slices.sampling or ("uniform" if only else "sandwich"),
        in_place=parts.in_place,
        by_length=run.by_length,
        random_samples=parts.random_samples,
        learning_rate=training.learning_rate,
        warmup_steps=run.warmup_steps,
        seed=seed,
        bf16=training.bf16,
    )


def finetune(
    superplm: SuperPLMArgument,
    task: TaskName,
    data: TaskRows,
    out: SuperPLMOutput,
    space: SpaceName = "mini",
    sampling: Annotated[
        Literal["uniform", "sandwich"],
        Option(
            help="Train in each step the largest, the smallest and random slices (`sandwich`) or "
            "random ones (`uniform`)."
        ),
    ] = "sandwich",
    *,
    parts: SubModelOptions,
    how: FineTuningOptions = _FINETUNING,
    seed: Seed = 0,
) -> None:
    """Fine-tune all slices on a task at once; the same command resumes a run that was stopped.

    A tenth of the training rows is held out: `atb superplm evaluate` scores slices on those.

    Example:
        atb superplm finetune trained --task rte --data glue/rte --out elastic
    """
    from atb.data import TextModel
    from atb.models import find_space
    from atb.models.superplm import folder_of, load_superplm
    from atb.training.finetuning import ElasticSettings, find_task, finetune_elastic

    use_threads(how.threads)
    settings = ElasticSettings(
        space=find_space(space),
        batch_parts=parts.batch_parts,
        sampling=sampling,
        in_place=parts.in_place,
        random_samples=parts.random_samples,
        seed=seed,
        **how.settings,
    )
    start = load_superplm(superplm)
    print_held(settings.space, start.architecture)
    words = TextModel.read(folder_of(superplm)).vocabulary
    with progress("fine-tune") as show:
        finetune_elastic(
            start,
            find_task(task),
            data,
            settings,
            out,
            vocabulary=words,
            progress=lambda step: show(step.number, step.steps, f"loss {step.loss:.4f}"),
            warn=print_warning,
        )
    print_line(f"{out}: score its slices with `atb superplm evaluate {out}`")
