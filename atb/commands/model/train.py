"""`atb model train`: one model further."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from atb.commands.arguments import (
    DistillationOptions,
    ModelFolder,
    Seed,
    TrainingOptions,
    use_threads,
)
from atb.commands.output import print_line, progress
from atb.errors import InputError


def train(
    model: Annotated[
        Path, Argument(metavar="DIR", help="A folder that `atb model extract` wrote.")
    ],
    out: ModelFolder,
    data: Annotated[Path, Option(metavar="DIR", help="Learn from these token shards.")],
    distillation: DistillationOptions,
    training: TrainingOptions,
    dropout: Annotated[float, Option(min=0.0, help="Drop this fraction of activations.")] = 0.1,
    seed: Seed = 0,
) -> None:
    """Train one model further; the same command resumes a run that was stopped.

    Writes what `atb model extract` does.

    Example:
        atb model train model --data shards --teacher mini --steps 1000 --out trained
    """
    from atb.data import TextModel
    from atb.deploy import export_model
    from atb.models import Stage, read_history
    from atb.training import read_encoder
    from atb.training.one_shot import open_text, train_further

    use_threads(training.threads)
    objective, teacher = distillation.objective, distillation.teacher
    if objective != "mlm" and teacher is None:
        raise InputError(f"--objective {objective} needs a --teacher, such as mini.")
    start = read_encoder(model, dropout=dropout, with_projection=True)
    text_model = TextModel.read(model)
    words = text_model.vocabulary
    shards = open_text(data, text_model)
    with progress("train") as show:
        trained = train_further(
            start,
            shards,
            out / "training",
            objective=distillation.make(start, words),
            steps=training.steps,
            batch_size=training.batch,
            learning_rate=training.learning_rate,
            seed=seed,
            bf16=training.bf16,
            progress=lambda step: show(step.number, step.steps, f"loss {step.loss:.4f}"),
        )
    stage = Stage(
        "train",
        {
            "objective": objective,
            "teacher": teacher,
            "steps": training.steps,
            "batch": training.batch,
            "learning_rate": training.learning_rate,
            "seed": seed,
        },
    )
    history = (*read_history(model), stage)
    export_model(trained, trained.architecture, out, vocabulary=words, history=history)
    print_line(f"{out}: {trained.architecture}, trained {training.steps} steps further")
