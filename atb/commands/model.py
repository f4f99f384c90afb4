"""`atb model`: single models, out of a SuperPLM or made elsewhere, trained and deployed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from typer import Argument, Option

from atb.commands.arguments import (
    ArchitectureArgument,
    DistillationOptions,
    FineTuningOptions,
    Json,
    ModelFolder,
    Options,
    Seed,
    SequenceLengthOfTask,
    SuperPLMFolder,
    TaskName,
    TaskRows,
    TorchThreads,
    TrainingOptions,
    option,
    require_teacher,
    use_threads,
)
from atb.commands.output import (
    Table,
    print_line,
    print_result,
    print_status,
    print_warning,
    progress,
)
from atb.errors import InputError

if TYPE_CHECKING:
    from atb.data.tasks import Examples, Task
    from atb.deploy import TaskData
    from atb.training.finetuning import TaskModel

_ModelArgument = Annotated[
    str, Argument(metavar="MODEL", help="A transformers folder, or a name on the hub.")
]


def extract(
    architecture: ArchitectureArgument, out: ModelFolder, superplm: SuperPLMFolder = "mini"
) -> None:
    """Cut an architecture out of a SuperPLM, with the head of a task where it has one.

    Writes a transformers folder with its own modelling file, model.onnx and model.int8.onnx.

    Example:
        atb model extract L4-H256-A8-Q256-F512 --out model
    """
    from atb.deploy import export_model
    from atb.files import prepared_folder
    from atb.models import resolve
    from atb.models.superplm import folder_of, load_superplm

    shape = resolve(architecture)
    loaded = load_superplm(superplm)
    loaded.check(shape)
    with prepared_folder(out):
        print_status(f"extracting {shape} ...")
        export_model(loaded, shape, out, source=folder_of(superplm))
    count = loaded.parameter_count(shape)
    print_line(f"{out}: {shape}, {count:,} parameters, as transformers folder and ONNX")


def import_model(
    source: Annotated[
        Path,
        Argument(
            metavar="DIR",
            help="A BERT, a TinyBERT or a checkpoint of AutoTinyBERT's authors: a folder with "
            "config.json, model.safetensors and its tokenizer.",
        ),
    ],
    out: ModelFolder,
    as_superplm: Annotated[
        bool,
        Option("--as-superplm", help="Write a SuperPLM, to search in and to cut models out of it."),
    ] = False,
) -> None:
    """Take over an encoder made elsewhere, with its masked-LM head and its projection.

    Writes what `atb model extract` does, or a SuperPLM's folder. The head of a task stays behind.

    Example:
        atb model import bert-folder --out imported --as-superplm
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
        print_status(
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
    require_teacher(distillation.objective, distillation.teacher)
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
    how = {name: getattr(distillation, name) for name in ("objective", "teacher")}
    how |= {name: getattr(training, name) for name in ("steps", "batch", "learning_rate")}
    history = (*read_history(model), Stage("train", {**how, "seed": seed}))
    export_model(trained, trained.architecture, out, vocabulary=words, history=history)
    print_line(f"{out}: {trained.architecture}, trained {training.steps} steps further")


def finetune(
    model: _ModelArgument,
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
    ended = f"weights of step {found.best_step} of {found.steps}"
    print_result(
        {
            name: getattr(found, name)
            for name in ("task", "metric", "held_out", "best_step", "steps", "scores")
        },
        _scores_table(found.scores),
        json=json,
        status=[f"{out}: {ended}, held-out {found.metric} {found.held_out:.4f}"],
    )


def evaluate(
    model: _ModelArgument,
    data: TaskRows,
    task: Annotated[
        str | None,
        Option(metavar="TASK", help="Score this task; by default the one in the model's folder."),
    ] = None,
    split: Annotated[
        str | None,
        Option(metavar="SPLIT", help="Score this split; by default the development splits."),
    ] = None,
    sequence_length: SequenceLengthOfTask = None,
    answers: Annotated[
        Path | None,
        Option(
            metavar="DIR",
            help="Write answers to this folder, as the leaderboards of GLUE and SQuAD want them; "
            "by default only scores are shown.",
        ),
    ] = None,
    threads: TorchThreads = None,
    json: Json = False,
) -> None:
    """Score a fine-tuned model on a split, or write its answers to a test split.

    Example:
        atb model evaluate finetuned --data glue/rte
    """
    from atb.data.tasks import check_split
    from atb.files import prepare_output
    from atb.training.finetuning import TaskModel, find_task, with_changes

    use_threads(threads)
    known = find_task(task or _task_of(model))
    splits = known.development_splits if split is None else (split,)
    for name in splits:
        check_split(known, name)
    length = with_changes(known.name, sequence_length=sequence_length).sequence_length
    if answers is not None:
        prepare_output(answers, directory=True)
    read = {name: known.read(data, name) for name in splits}
    for rows in read.values():
        rows.tell(print_warning)
    loaded = TaskModel.load(model, known)
    scores = _score(known, loaded, read, length, answers)
    document = {"task": known.name, "metric": known.metric, "scores": scores}
    print_result(document, *([_scores_table(scores)] if scores else []), json=json)


def _score(
    known: Task, loaded: TaskModel, read: Mapping[str, Examples], length: int, answers: Path | None
) -> dict[str, dict[str, float]]:
    """The scores of each split that has labels; answers are written on the way."""
    scores: dict[str, dict[str, float]] = {}
    with progress("evaluate") as show:
        for name, rows in read.items():
            features = loaded.encode(rows, length)
            outputs = loaded.run(
                features,
                lambda done, total, name=name: show(done, total, name),  # type: ignore[misc]
            )
            if known.head == "qa" or all("label" in row for row in rows.rows):
                scores[name] = known.score(rows, features, outputs)
            elif answers is None:
                raise InputError(
                    f"The split {name} has no labels to score by: write answers with --answers DIR."
                )
            if answers is not None:
                file = answers / known.answers_file(name)
                known.write_answers(rows, features, outputs, file)
                print_status(f"{file}: {len(rows):,} answers")
    return scores


def _task_of(model: str) -> str:
    """What a fine-tuned folder was made for."""
    from atb.training.finetuning import REPORT, read_report

    if not (Path(model) / REPORT).is_file():
        raise InputError(f"{model} does not tell its task: name it with --task.")
    return read_report(Path(model)).task


def _scores_table(scores: Mapping[str, Mapping[str, float]]) -> Table:
    """Scores by split and by name."""
    rows = [
        (split, name, f"{value:.4f}")
        for split, values in scores.items()
        for name, value in values.items()
    ]
    return Table(("split", "score", "value"), rows, left=(0, 1))


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
