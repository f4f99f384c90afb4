"""`atb model import`: an encoder made elsewhere, as a model or a SuperPLM."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from atb.commands.arguments import ModelFolder
from atb.commands.output import print_line, print_status
from atb.errors import InputError


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
