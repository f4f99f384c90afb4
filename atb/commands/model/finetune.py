"""`atb model finetune`: a model on a task of GLUE or SQuAD."""

from __future__ import annotations

from typing import Annotated

from typer import Option

from atb.commands.arguments import (
    FineTuningOptions,
    Json,
    ModelFolder,
    Seed,
    TaskName,
    TaskRows,
    use_threads,
)
from atb.commands.model.evaluate import ModelArgument, scores_table
from atb.commands.output import print_result, print_warning, progress


def finetune(
    model: ModelArgument,
    task: TaskName,
    data: TaskRows,
    out: ModelFolder,
    how: FineTuningOptions,
    evaluation_steps: Annotated[
        int | None,
        Option(help="Score the held-out rows every this many steps; by default the task's own."),
    ] = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Fine-tune a model on a task; the same command resumes a run that was stopped.

    Settings that are not given are as AutoTinyBERT has them for the task. A tenth of the training
    rows is held out to choose the best weights by; the development split is read once, to report.

    Example:
        atb model finetune model --task rte --data glue/rte --out finetuned
    """
    from atb.training.finetuning import find_task, fine_tune, with_changes

    use_threads(how.threads)
    known = find_task(task)
    settings = with_changes(
        known.name, **how.settings, evaluation_steps=evaluation_steps, seed=seed
    )
    with progress("fine-tune") as show:
        found = fine_tune(model, known, data, settings, out, progress=show, warn=print_warning)
    print_result(
        {
            "task": found.task,
            "metric": found.metric,
            "held_out": found.held_out,
            "best_step": found.best_step,
            "steps": found.steps,
            "scores": found.scores,
        },
        scores_table(found.scores),
        json=json,
        status=[
            (
                f"{out}: weights of step {found.best_step} of {found.steps}, held-out "
                f"{found.metric} {found.held_out:.4f}"
            )
        ],
    )
