"""`atb model export`: a model as it is deployed."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from typer import Argument, Option

from atb.commands.arguments import Json, ModelFolder, Options, option
from atb.commands.output import print_result, progress
from atb.errors import InputError

if TYPE_CHECKING:
    from atb.deploy import TaskData


class QuantisationOptions(Options, panel="Quantisation"):
    """How int8 is made, and what it is scored on."""

    quantisation: Literal["dynamic", "static"] = option(
        default="dynamic",
        help="Quantise int8 with ranges found at each inference (`dynamic`), or fixed from text of "
        "--data or the bundled sample (`static`).",
    )
    data: str | None = option(
        default=None,
        metavar="DIR|hf:NAME",
        help="Score fp32 and int8 on these rows of the task that it was fine-tuned on; by default "
        "nothing is scored.",
    )
    sequence_length: int | None = option(
        default=None,
        help="Cut the rows of --data to this many tokens; by default as in fine-tuning.",
    )


def export(
    model: Annotated[
        Path,
        Argument(
            metavar="DIR",
            help="A folder that `atb model` extract, import, train or finetune wrote.",
        ),
    ],
    out: ModelFolder,
    layout: Annotated[
        Literal["tinybert", "bert"],
        Option(
            "--format",
            help="Write for transformers `tinybert`, with its own modelling file, or `bert`, an "
            "equal plain BERT.",
        ),
    ] = "tinybert",
    *,
    quantised: QuantisationOptions,
    json: Json = False,
) -> None:
    """Write a model with its head as it is deployed.

    It is a transformers folder with model.onnx, model.int8.onnx, tokenizer and model card. With
    --data it is also measured what int8 costs on the task.

    Example:
        atb model export finetuned --format bert --out deployed
    """
    from atb.deploy import deploy

    rows = _rows(model, quantised.data, quantised.sequence_length)
    with progress("export") as show:
        made = deploy(
            model, out, layout=layout, quantisation=quantised.quantisation, rows=rows, progress=show
        )
    scores = [
        f"{precision} on {split}: "
        + ", ".join(f"{name} {value:.4f}" for name, value in values.items())
        for precision, splits in made.scores.items()
        for split, values in splits.items()
    ]
    print_result(
        {**asdict(made), "architecture": str(made.architecture)},
        f"{out}: {made.architecture} as {made.layout}, ONNX within {made.fp32_difference:.1e} of "
        f"torch, int8 to a cosine of {made.int8_cosine:.4f}",
        *scores,
        json=json,
    )


def _rows(model: Path, data: str | None, sequence_length: int | None) -> TaskData | None:
    """The rows to score on; None for no scores."""
    from atb.deploy import TaskData
    from atb.training.finetuning import REPORT, find_task, read_report, with_changes

    if data is None:
        if sequence_length is not None:
            raise InputError("--sequence-length is that of --data: leave it out, or give rows.")
        return None
    if not (model / REPORT).is_file():
        raise InputError(
            f"{model} was not fine-tuned, and --data scores a task: leave it out, or fine-tune "
            "with `atb model finetune` first."
        )
    task = find_task(read_report(model).task)
    length = with_changes(task.name, sequence_length=sequence_length).sequence_length
    return TaskData(task, data, length)
