"""`atb superplm`: make, train and judge a weight-sharing SuperPLM."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from atb.commands.arguments import Seed, SuperPLMFolder, completion, note_held
from atb.commands.output import note, print_line, progress
from atb.commands.superplm.scores import evaluate, finetune
from atb.errors import InputError
from atb.training import ObjectiveName

if TYPE_CHECKING:
    from atb.data import TextModel
    from atb.data.corpus import TokenShards

app = typer.Typer(help="The weight-sharing SuperPLM.", no_args_is_help=True)

Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the result.")]
Shards = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="DIR",
        help="Token shards in the encoder's vocabulary; by default the shipped English sample, in "
        "the encoder's words.",
    ),
]


def _text_of(encoder: Path, data: Path | None) -> tuple[TextModel, TokenShards]:
    """An encoder's tokenizer, and the text in its words on which importance is measured."""
    from atb.data import TextModel
    from atb.data.corpus import MANY_UNKNOWN
    from atb.training.one_shot import open_text

    model = TextModel.read(encoder)
    if data is not None:
        return model, open_text(data, model)
    text = model.sample()
    if text.unknown_share > MANY_UNKNOWN:
        note(
            f"warning: {encoder} does not know {text.unknown_share:.0%} of the words of the "
            "shipped English sample: give --data with text in its language."
        )
    return model, text


@app.command("init")
def init(
    out: Out,
    source: Annotated[
        Path | None,
        typer.Option("--from", metavar="DIR", help="A BERT encoder as a transformers folder."),
    ] = None,
    architecture: Annotated[
        str | None,
        typer.Option("--arch", metavar="ARCH", help="From scratch, with this largest shape."),
    ] = None,
    data: Shards = None,
    vocabulary: Annotated[
        Path | None,
        typer.Option(
            "--vocabulary",
            metavar="PATH",
            help="From scratch: a vocab.txt, a tokenizer.json or a tokenizer's folder; BERT's "
            "English vocabulary by default.",
        ),
    ] = None,
    cased: Annotated[
        bool, typer.Option("--cased", help="Keep case and accents, for a cased vocabulary.")
    ] = False,
    layers: Annotated[
        int | None, typer.Option("--layers", min=1, help="Of the encoder; all by default.")
    ] = None,
    kept_layers: Annotated[
        Literal["bottom", "even"] | None,
        typer.Option("--keep", help="Which of its layers: the lowest (default), or evenly spaced."),
    ] = None,
    projection: Annotated[
        int | None,
        typer.Option("--projection", min=1, help="From scratch: hidden size of a teacher."),
    ] = None,
    seed: Seed = 0,
) -> None:
    """Start from a pre-trained encoder, ordered by importance, or from scratch.

    Importance is measured on the text given by --data.
    """
    import torch

    from atb.data.tokenizer import read_vocabulary
    from atb.files import atomic_folder
    from atb.models import resolve
    from atb.models.superplm import CARD, SuperPLM
    from atb.training.one_shot import initialise

    if (source is None) == (architecture is None):
        raise InputError("Give either --from DIR for a pre-trained encoder, or --arch ARCH.")
    if (out / CARD).exists():
        raise InputError(f"{out} holds a SuperPLM already: choose another --out.")
    if kept_layers is not None and layers is None:
        raise InputError(
            "--keep chooses among layers: say how many with --layers, or leave it out."
        )
    if source is not None:
        if vocabulary is not None or cased:
            raise InputError("--vocabulary and --cased are for --arch: an encoder has its own.")
        text_model, text = _text_of(source, data)
        words = text_model.vocabulary
        with progress("importance") as show:
            superplm = initialise(
                source,
                text,
                layers=layers,
                kept_layers=kept_layers or "bottom",
                seed=seed,
                progress=lambda done, total: show(done, total, ""),
            )
        origin = f"{source.resolve().name}, ordered by importance"
    else:
        assert architecture is not None
        if layers is not None:
            raise InputError("--layers is for --from: --arch tells the layers itself.")
        words = read_vocabulary(vocabulary, lowercase=False if cased else None)
        torch.manual_seed(seed)
        superplm = SuperPLM.from_architecture(
            resolve(architecture),
            vocabulary_size=len(words),
            with_mlm_head=True,
            projection_size=projection,
        )
        origin = "random weights"
    with atomic_folder(out, last=CARD) as folder:
        superplm.save(folder, origin=origin, seed=seed)
        words.save(folder, positions=superplm.config.max_position_embeddings)
    print_line(f"{out}: {superplm.architecture}, from {origin}")


@app.command("train")
def train(
    superplm: SuperPLMFolder,
    out: Out,
    data: Annotated[Path, typer.Option("--data", metavar="DIR", help="Token shards.")],
    objective: Annotated[
        ObjectiveName,
        typer.Option(
            "--objective",
            help="Masked words; a teacher's last layer (kd) or how its tokens relate (relations); "
            "or masked words with a teacher who counts less and less (inherit).",
        ),
    ] = "kd",
    teacher: Annotated[
        str | None,
        typer.Option(
            "--teacher",
            metavar="NAME",
            help="A BERT or ELECTRA encoder's folder or its name on the hub, or a SuperPLM; by "
            "default the SuperPLM itself as it starts.",
        ),
    ] = None,
    attention_weight: Annotated[
        float | None,
        typer.Option(
            "--attention-weight",
            min=0.0,
            help="Of the attention term of kd, which pairs head with head (1 by default): 0 for a "
            "teacher whose heads are in another order, as are those of the encoder a SuperPLM was "
            "ordered from.",
        ),
    ] = None,
    relation_heads: Annotated[
        int | None,
        typer.Option("--relation-heads", min=1, help="Of relations, at most; 12 by default."),
    ] = None,
    annealed: Annotated[
        float | None,
        typer.Option(
            "--annealed", help="Share of the run in which inherit's teacher fades; all by default."
        ),
    ] = None,
    teacher_cache: Annotated[
        Path | None,
        typer.Option(
            "--teacher-cache",
            metavar="DIR",
            help="Keep there what the teacher says of each sequence (kd and relations), for "
            "epochs to come.",
        ),
    ] = None,
    space: Annotated[
        str | None,
        typer.Option(
            "--space",
            metavar="NAME",
            help="See `atb space list`, or a TOML file; mini.",
            autocompletion=completion.spaces,
        ),
    ] = None,
    chosen: Annotated[
        list[str] | None,
        typer.Option(
            "--arch",
            metavar="ARCH",
            help="Train only these slices, repeatable, in place of a space: what searches for "
            "several limits have found is trained further at once.",
        ),
    ] = None,
    sampling: Annotated[
        Literal["uniform", "sandwich"] | None,
        typer.Option("--sampling", help="sandwich by default, uniform with --arch."),
    ] = None,
    in_place: Annotated[
        bool,
        typer.Option("--in-place", help="The sandwich's largest learns, and teaches the others."),
    ] = False,
    batch_parts: Annotated[
        int,
        typer.Option("--batch-parts", help="Parts of a batch, each with sub-models of its own."),
    ] = 1,
    random_samples: Annotated[
        int, typer.Option("--random-samples", help="Random sub-models for each part of a batch.")
    ] = 2,
    steps: Annotated[int, typer.Option("--steps")] = 1000,
    batch: Annotated[int, typer.Option("--batch", help="Sequences in a step.")] = 16,
    learning_rate: Annotated[float, typer.Option("--learning-rate")] = 1e-4,
    warmup_steps: Annotated[
        int, typer.Option("--warmup-steps", help="At most a tenth of all steps.")
    ] = 10_000,
    bf16: Annotated[bool, typer.Option("--bf16", help="Matrix products in bfloat16.")] = False,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write TensorBoard's files beside losses.jsonl.")
    ] = False,
    threads: Annotated[int | None, typer.Option("--threads", min=1)] = None,
    seed: Seed = 0,
) -> None:
    """Train all slices at once; the same command resumes a run that was stopped.

    With several GPUs or machines: torchrun ... -m atb superplm train ...; the processes share the
    parts of each batch.
    """
    import torch

    from atb.data import TextModel
    from atb.models import find_space, resolve
    from atb.models.superplm import folder_of, load_superplm
    from atb.training import TrainingSettings, leads
    from atb.training.one_shot import objective_of, open_text, space_of, train_superplm

    if chosen and space is not None:
        raise InputError("--arch names the slices to train itself: leave --space out.")
    only = tuple(dict.fromkeys(resolve(name) for name in chosen or ()))
    settings = TrainingSettings(
        space=space_of(*only) if only else find_space(space or "mini"),
        chosen=only,
        steps=steps,
        batch_size=batch,
        batch_parts=batch_parts,
        sampling=sampling or ("uniform" if only else "sandwich"),
        in_place=in_place,
        random_samples=random_samples,
        learning_rate=learning_rate,
        warmup_steps=warmup_steps,
        seed=seed,
        bf16=bf16,
    )
    if threads is not None:
        torch.set_num_threads(threads)
    start = load_superplm(superplm)
    if not only:
        note_held(settings.space, start.architecture)
    text_model = TextModel.read(folder_of(superplm))
    shards = open_text(data, text_model)
    aim = objective_of(
        objective,
        start,
        text_model.vocabulary,
        teacher,
        attention_weight=attention_weight,
        relation_heads=relation_heads,
        annealed=annealed,
        cache=None if teacher_cache is None else (shards, teacher_cache),
    )
    with progress("train") as show:
        train_superplm(
            start,
            shards,
            settings,
            out,
            objective=aim,
            tensorboard=tensorboard,
            progress=lambda step: show(
                step.number, step.steps, f"loss {step.loss:.4f}, {step.tokens:,} tokens"
            ),
        )
    if not leads():
        return
    text_model.save_tokenizer(out)
    print_line(f"{out}: trained {steps} steps; judge it with `atb superplm evaluate {out}`")


app.command("finetune")(finetune)
app.command("evaluate")(evaluate)
