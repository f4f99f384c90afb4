"""`atb data`: text to token shards."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from atb.console import print_json, progress
from atb.options import Json, SequenceLength

app = typer.Typer(help="Texts for training.", no_args_is_help=True)


@app.command("prepare")
def prepare(
    source: Annotated[
        Path, typer.Argument(help="A text file, or a folder of them; .xz and .gz too.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the shards.")],
    sequence_length: SequenceLength = 128,
    vocabulary: Annotated[
        Path | None,
        typer.Option(
            "--vocabulary", metavar="FILE", help="WordPiece vocabulary; BERT's by default."
        ),
    ] = None,
    limit_tokens: Annotated[
        int | None, typer.Option("--limit-tokens", min=1, help="Stop after so many tokens.")
    ] = None,
    json: Json = False,
) -> None:
    """Pack whole sentences of a text into token shards for training.

    One paragraph a line, a blank line between documents.
    """
    from atb.data.preparation import prepare as prepare_shards

    with progress("prepare") as show:
        summary = prepare_shards(
            source,
            out,
            sequence_length=sequence_length,
            vocabulary=vocabulary,
            limit_tokens=limit_tokens,
            progress=lambda share, tokens: show(int(1000 * share), 1000, f"{tokens:,} tokens"),
        )
    if json:
        print_json(
            {
                "folder": str(out),
                "documents": summary.documents,
                "sequences": summary.sequences,
                "tokens": summary.tokens,
                "sequence_length": summary.sequence_length,
                "sha256": summary.sha256,
                "reused": summary.reused,
            }
        )
        return
    typer.echo(
        f"{out}: {summary.sequences:,} sequences of at most {sequence_length} tokens, "
        f"{summary.tokens:,} tokens from {summary.documents:,} documents"
    )
