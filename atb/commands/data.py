"""`atb data`: text to token shards."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from atb.commands.arguments import Json, SequenceLength
from atb.commands.output import note, print_json, print_line, progress
from atb.errors import InputError

if TYPE_CHECKING:
    from atb.data.corpus import Summary, Text

app = typer.Typer(help="Texts for training.", no_args_is_help=True)

_DEFAULT_SPLIT = "train"


@app.command("prepare")
def prepare(
    source: Annotated[
        str,
        typer.Argument(help="A text file, a folder of them, or hf:NAME of a Hugging Face dataset."),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the shards.")],
    sequence_length: SequenceLength = 128,
    vocabulary: Annotated[
        Path | None,
        typer.Option(
            "--vocabulary",
            metavar="PATH",
            help="A WordPiece vocab.txt or tokenizer.json, or the folder of a model or tokenizer; "
            "BERT's English one by default.",
        ),
    ] = None,
    cased: Annotated[
        bool, typer.Option("--cased", help="Keep case and accents, for a cased vocabulary.")
    ] = False,
    column: Annotated[
        str,
        typer.Option(
            "--column",
            help="The field or column of the text in JSON, CSV, TSV, Parquet and datasets.",
        ),
    ] = "text",
    split: Annotated[
        str | None, typer.Option("--split", help="Of a dataset; train by default.")
    ] = None,
    configuration: Annotated[
        str | None, typer.Option("--configuration", help="Of a dataset that has several.")
    ] = None,
    revision: Annotated[
        str | None, typer.Option("--revision", help="Commit or tag of a dataset of the hub.")
    ] = None,
    limit_tokens: Annotated[
        int | None, typer.Option("--limit-tokens", min=1, help="Stop after so many tokens.")
    ] = None,
    json: Json = False,
) -> None:
    """Pack whole sentences of a text into token shards for training.

    Files: plain text (one paragraph a line, a blank line between documents), WikiExtractor's
    output, JSON lines, JSON, CSV and TSV with a header, Parquet; all but Parquet also packed as
    .gz, .xz, .bz2 or .zst. Which file was read as what is said on stderr. The same command goes on
    where it was interrupted.
    """
    from atb.data.corpus import prepare as prepare_shards
    from atb.data.tokenizer import read_vocabulary

    words = read_vocabulary(vocabulary, lowercase=False if cased else None)
    text = _text(source, column, split, configuration, revision)
    with progress("prepare") as show:
        summary = prepare_shards(
            text,
            out,
            sequence_length=sequence_length,
            vocabulary=words,
            limit_tokens=limit_tokens,
            progress=lambda share, tokens: show(
                int(1000 * (share or 0)), 1000, f"{tokens:,} tokens"
            ),
        )
    for sentence in text.notes:
        note(sentence)
    _tell(summary, json=json)


def _text(
    source: str, column: str, split: str | None, configuration: str | None, revision: str | None
) -> Text:
    from atb.data.corpus import HUGGING_FACE, Corpus, HuggingFaceText, is_saved_dataset

    if source.startswith(HUGGING_FACE) or is_saved_dataset(Path(source)):
        return HuggingFaceText(
            source.removeprefix(HUGGING_FACE),
            configuration=configuration,
            split=split or _DEFAULT_SPLIT,
            column=column,
            revision=revision,
        )
    given = {"--split": split, "--configuration": configuration, "--revision": revision}
    for option, value in given.items():
        if value is not None:
            raise InputError(
                f"{option} is for Hugging Face datasets and {source} is not one: write "
                f"{HUGGING_FACE}NAME, or leave it out."
            )
    return Corpus(Path(source), column=column)


def _tell(summary: Summary, *, json: bool) -> None:
    from dataclasses import asdict

    from atb.data.corpus import MANY_UNKNOWN

    counts = summary.counts
    if summary.unknown_share > MANY_UNKNOWN:
        note(
            f"warning: the vocabulary does not know {summary.unknown_share:.0%} of the words: is "
            "it of the language of the text? Choose another with --vocabulary."
        )
    if json:
        print_json(
            {
                "folder": str(summary.folder),
                **asdict(counts),
                "sequences": summary.sequences,
                "sequence_length": summary.sequence_length,
                "sha256": summary.sha256,
                "reused": summary.reused,
            }
        )
        return
    print_line(
        f"{summary.folder}: {summary.sequences:,} sequences of at most {summary.sequence_length} "
        f"tokens, {counts.tokens:,} tokens from {counts.documents:,} documents"
    )
    print_line(
        f"{counts.sentences:,} sentences, {counts.cut_sentences:,} of them longer than a sequence "
        f"and cut; {summary.filled_share:.0%} of all places filled; "
        f"{summary.unknown_share:.2%} of the words unknown to the vocabulary"
    )
