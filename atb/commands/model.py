"""`atb model`: one architecture out of a SuperPLM, ready to load."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from atb.commands.finetune import evaluate, finetune
from atb.console import note
from atb.options import SuperPLMFolder

app = typer.Typer(help="Single models.", no_args_is_help=True)


@app.command("extract")
def extract(
    architecture: Annotated[str, typer.Argument(metavar="ARCH")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the model.")],
    superplm: SuperPLMFolder = "mini",
) -> None:
    """Cut an architecture out of a SuperPLM.

    Writes a transformers folder with its own modelling file, model.onnx and model.int8.onnx.
    """
    from atb.files import prepare_output
    from atb.models.embedded import EMBEDDED, load_superplm
    from atb.models.known import resolve
    from atb.search.export import export_model

    shape = resolve(architecture)
    loaded = load_superplm(superplm)
    loaded.check(shape)
    prepare_output(out, directory=True)
    note(f"extracting {shape} ...")
    export_model(loaded, shape, out, source=EMBEDDED.get(superplm, Path(superplm)))
    typer.echo(
        f"{out}: {shape}, {shape.parameters():,} parameters, as transformers folder and ONNX"
    )


app.command("finetune")(finetune)
app.command("evaluate")(evaluate)
