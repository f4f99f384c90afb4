"""`atb superplm finetune`: all slices of a SuperPLM on a task."""

from __future__ import annotations

from typing import Annotated, Literal

from typer import Option

from atb.commands.arguments import (
    FineTuningOptions,
    Seed,
    SpaceName,
    SubModelOptions,
    SuperPLMArgument,
    SuperPLMOutput,
    TaskName,
    TaskRows,
    print_held,
    use_threads,
)
from atb.commands.output import print_line, print_warning, progress

_DEFAULTS = FineTuningOptions(epochs=10.0, batch=32, learning_rate=1e-4, dropout=0.1)


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
    how: FineTuningOptions = _DEFAULTS,
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
