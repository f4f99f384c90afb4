"""`atb model`: one architecture out of a SuperPLM, ready to load."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from atb.commands.arguments import Json, Seed, SuperPLMFolder, completion
from atb.commands.model.finetune import evaluate, finetune
from atb.commands.output import note, print_json, print_line, progress
from atb.errors import InputError
from atb.training import ObjectiveName

app = typer.Typer(help="Single models.", no_args_is_help=True)


@app.command("extract")
def extract(
    architecture: Annotated[
        str, typer.Argument(metavar="ARCH", autocompletion=completion.architectures)
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the model.")],
    superplm: SuperPLMFolder = "mini",
) -> None:
    """Cut an architecture out of a SuperPLM, with the head of a task where it has one.

    Writes a transformers folder with its own modelling file, model.onnx and model.int8.onnx.
    """
    from atb.deploy import export_model
    from atb.files import prepared_folder
    from atb.models import resolve
    from atb.models.superplm import folder_of, load_superplm

    shape = resolve(architecture)
    loaded = load_superplm(superplm)
    loaded.check(shape)
    with prepared_folder(out):
        note(f"extracting {shape} ...")
        export_model(loaded, shape, out, source=folder_of(superplm))
    count = loaded.parameter_count(shape)
    print_line(f"{out}: {shape}, {count:,} parameters, as transformers folder and ONNX")


@app.command("import")
def import_model(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="DIR",
            help="A BERT, a TinyBERT or a checkpoint of AutoTinyBERT's authors: a folder with "
            "config.json, model.safetensors and its tokenizer.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the model.")],
    as_superplm: Annotated[
        bool,
        typer.Option("--as-superplm", help="As a SuperPLM, to search in and to cut models out of."),
    ] = False,
) -> None:
    """Take an encoder over from elsewhere, with its masked-LM head and its projection.

    Writes what `atb model extract` does, or a SuperPLM's folder. The head of a task stays behind.
    """
    from atb.data import TextModel
    from atb.deploy import export_model
    from atb.files import atomic_folder
    from atb.models import Stage, read_history
    from atb.models.superplm import CARD
    from atb.training import read_parameters

    text_model = TextModel.read(source)
    read = read_parameters(source, with_projection=True)
    loaded = read.superplm
    if read.left_behind:
        note(
            f"warning: {source} has the head of a task ({read.left_behind[0]}), which stays "
            "behind: make one with `atb model finetune`."
        )
    shape = loaded.architecture
    if as_superplm:
        if (out / CARD).exists():
            raise InputError(f"{out} holds a SuperPLM already: choose another --out.")
        with atomic_folder(out, last=CARD) as folder:
            loaded.save(folder, origin=f"imported from {source.name}")
            text_model.save_tokenizer(folder)
    else:
        history = (*read_history(source), Stage("import", {"source": source.resolve().name}))
        export_model(loaded, shape, out, vocabulary=text_model.vocabulary, history=history)
    fresh = f", and a fresh pooler of {read.fresh_count:,}" if read.fresh_count else ""
    print_line(f"{out}: {shape}, {read.stored_count:,} parameters{fresh}")


@app.command("train")
def train(
    model: Annotated[
        Path, typer.Argument(metavar="DIR", help="A folder that `atb model extract` wrote.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the model.")],
    data: Annotated[Path, typer.Option("--data", metavar="DIR", help="Token shards.")],
    objective: Annotated[
        ObjectiveName, typer.Option("--objective", help="As for `atb superplm train`.")
    ] = "kd",
    teacher: Annotated[
        str | None,
        typer.Option("--teacher", metavar="NAME", help="A SuperPLM, or a BERT or ELECTRA encoder."),
    ] = None,
    attention_weight: Annotated[
        float | None, typer.Option("--attention-weight", min=0.0, help="Of kd; 1 by default.")
    ] = None,
    relation_heads: Annotated[
        int | None, typer.Option("--relation-heads", min=1, help="At most; 12 by default.")
    ] = None,
    annealed: Annotated[
        float | None, typer.Option("--annealed", help="Share of the run, of inherit.")
    ] = None,
    steps: Annotated[int, typer.Option("--steps")] = 1000,
    batch: Annotated[int, typer.Option("--batch", help="Sequences in a step.")] = 16,
    learning_rate: Annotated[float, typer.Option("--learning-rate")] = 1e-4,
    dropout: Annotated[float, typer.Option("--dropout", min=0.0)] = 0.1,
    bf16: Annotated[bool, typer.Option("--bf16", help="Matrix products in bfloat16.")] = False,
    threads: Annotated[int | None, typer.Option("--threads", min=1)] = None,
    seed: Seed = 0,
) -> None:
    """Train one model further; the same command resumes a run that was stopped.

    Writes what `atb model extract` does.
    """
    import torch

    from atb.data import TextModel
    from atb.training import read_encoder
    from atb.training.one_shot import objective_of, open_text, train_further

    if threads is not None:
        torch.set_num_threads(threads)
    if objective != "mlm" and teacher is None:
        raise InputError(f"--objective {objective} needs a --teacher, such as mini.")
    start = read_encoder(model, dropout=dropout, with_projection=True)
    text_model = TextModel.read(model)
    words = text_model.vocabulary
    shards = open_text(data, text_model)
    aim = objective_of(
        objective,
        start,
        words,
        teacher,
        attention_weight=attention_weight,
        relation_heads=relation_heads,
        annealed=annealed,
    )
    with progress("train") as show:
        trained = train_further(
            start,
            shards,
            out / "training",
            objective=aim,
            steps=steps,
            batch_size=batch,
            learning_rate=learning_rate,
            seed=seed,
            bf16=bf16,
            progress=lambda step: show(step.number, step.steps, f"loss {step.loss:.4f}"),
        )
    from atb.deploy import export_model
    from atb.models import Stage, read_history

    stage = Stage(
        "train",
        {
            "objective": objective,
            "teacher": teacher,
            "steps": steps,
            "batch": batch,
            "learning_rate": learning_rate,
            "seed": seed,
        },
    )
    history = (*read_history(model), stage)
    export_model(trained, trained.architecture, out, vocabulary=words, history=history)
    print_line(f"{out}: {trained.architecture}, trained {steps} steps further")


@app.command("export")
def export(
    model: Annotated[
        Path, typer.Argument(metavar="DIR", help="What extract, import, train or finetune wrote.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the result.")],
    layout: Annotated[
        Literal["tinybert", "bert"],
        typer.Option(
            "--format",
            help="For transformers: with its own modelling file, or as an equal plain BERT.",
        ),
    ] = "tinybert",
    quantisation: Annotated[
        Literal["dynamic", "static"],
        typer.Option(
            "--quantisation",
            help="Of int8: ranges found at each inference, or fixed from text (of --data, or the "
            "shipped sample).",
        ),
    ] = "dynamic",
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            metavar="DIR|hf:NAME",
            help="Rows of the task it was fine-tuned on: scores fp32 and int8 on them.",
        ),
    ] = None,
    sequence_length: Annotated[
        int | None, typer.Option("--sequence-length", help="Of --data, as in fine-tuning.")
    ] = None,
    json: Json = False,
) -> None:
    """Write a model with its head as it is deployed.

    A transformers folder, model.onnx, model.int8.onnx, tokenizer and model card. With --data, what
    int8 costs on the task.
    """
    from atb.deploy import TaskData, deploy
    from atb.training.finetuning import REPORT, find_task, read_report, with_changes

    rows = None
    if data is not None:
        if not (model / REPORT).is_file():
            raise InputError(
                f"{model} was not fine-tuned, and --data scores a task: leave it out, or fine-tune "
                "with `atb model finetune` first."
            )
        task = find_task(read_report(model).task)
        length = with_changes(task.name, sequence_length=sequence_length).sequence_length
        rows = TaskData(task, data, length)
    elif sequence_length is not None:
        raise InputError("--sequence-length is that of --data: leave it out, or give rows.")
    with progress("export") as show:
        made = deploy(
            model, out, layout=layout, quantisation=quantisation, rows=rows, progress=show
        )
    if json:
        print_json({**asdict(made), "architecture": str(made.architecture)})
        return
    print_line(
        f"{out}: {made.architecture} as {made.layout}, ONNX within {made.fp32_difference:.1e} of "
        f"torch, int8 to a cosine of {made.int8_cosine:.4f}"
    )
    for precision, splits in made.scores.items():
        for split, values in splits.items():
            told = ", ".join(f"{name} {value:.4f}" for name, value in values.items())
            print_line(f"{precision} on {split}: {told}")


app.command("finetune")(finetune)
app.command("evaluate")(evaluate)
