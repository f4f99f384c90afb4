"""`atb data prepare`: text to token shards."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from atb.commands.arguments import Cased, Json, Options, VocabularyPath, option
from atb.commands.output import print_result, print_status, progress
from atb.errors import InputError

if TYPE_CHECKING:
    from atb.data.corpus import Summary, Text

_DEFAULT_SPLIT = "train"


class SourceOptions(Options, panel="Source"):
    """What to read of a source that is more than plain text."""

    column: str = option(
        default="text",
        help="Read the text from this field of JSON, CSV, TSV, Parquet or a dataset.",
    )
    split: str | None = option(default=None, help="Read this split of a dataset; by default train.")
    configuration: str | None = option(
        default=None, help="Read this configuration of a dataset; by default the only one it has."
    )
    revision: str | None = option(
        default=None, help="Read this commit or tag of a dataset of the hub; by default the newest."
    )
    limit_tokens: int | None = option(
        default=None, min=1, help="Stop after this many tokens; by default at the end."
    )


def prepare(
    source: Annotated[
        str, Argument(help="A text file, a folder of them, or hf:NAME of a Hugging Face dataset.")
    ],
    out: Annotated[Path, Option(metavar="DIR", help="Write the token shards to this folder.")],
    sequence_length: Annotated[int, Option(help="Cut sequences to this many tokens.")] = 128,
    sentences: Annotated[
        bool,
        Option(
            "--sentences",
            help="Make each sentence a sequence of its own, for --objective sentences.",
        ),
    ] = False,
    vocabulary: VocabularyPath = None,
    cased: Cased = False,
    *,
    part: SourceOptions,
    json: Json = False,
) -> None:
    """Pack whole sentences of a text into token shards for training.

    Files may be plain text (one paragraph a line, a blank line between documents), WikiExtractor's
    output, JSON lines, JSON, CSV and TSV with a header, or Parquet; all but Parquet may be
    compressed as .gz, .xz, .bz2 or .zst. The format of each file is reported on stderr. The same
    command resumes an interrupted run.

    Example:
        atb data prepare text/ --out shards --sequence-length 128
    """
    from atb.data.corpus import prepare as prepare_shards
    from atb.data.tokenizer import read_vocabulary

    words = read_vocabulary(vocabulary, lowercase=False if cased else None)
    text = _text(source, part)
    with progress("prepare") as show:
        summary = prepare_shards(
            text,
            out,
            sequence_length=sequence_length,
            single_sentences=sentences,
            vocabulary=words,
            limit_tokens=part.limit_tokens,
            progress=lambda share, tokens: show(
                int(1000 * (share or 0)), 1000, f"{tokens:,} tokens"
            ),
        )
    for sentence in text.notes:
        print_status(sentence)
    _print(summary, json=json)


def _text(source: str, part: SourceOptions) -> Text:
    from atb.data.corpus import HUGGING_FACE, Corpus, HuggingFaceText, is_saved_dataset

    if source.startswith(HUGGING_FACE) or is_saved_dataset(Path(source)):
        return HuggingFaceText(
            source.removeprefix(HUGGING_FACE),
            configuration=part.configuration,
            split=part.split or _DEFAULT_SPLIT,
            column=part.column,
            revision=part.revision,
        )
    for name in ("split", "configuration", "revision"):
        if getattr(part, name) is not None:
            raise InputError(
                f"--{name} is for Hugging Face datasets and {source} is not one: write "
                f"{HUGGING_FACE}NAME, or leave it out."
            )
    return Corpus(Path(source), column=part.column)


def _print(summary: Summary, *, json: bool) -> None:
    from atb.data.corpus import MANY_UNKNOWN

    counts = summary.counts
    if summary.unknown_share > MANY_UNKNOWN:
        print_status(
            f"warning: the vocabulary does not know {summary.unknown_share:.0%} of the words: is "
            "it of the language of the text? Choose another with --vocabulary."
        )
    print_result(
        {
            "folder": str(summary.folder),
            **asdict(counts),
            "sequences": summary.sequences,
            "sequence_length": summary.sequence_length,
            "sha256": summary.sha256,
            "reused": summary.reused,
        },
        f"{summary.folder}: {summary.sequences:,} sequences of at most {summary.sequence_length} "
        f"tokens, {counts.tokens:,} tokens from {counts.documents:,} documents",
        f"{counts.sentences:,} sentences, {counts.cut_sentences:,} of them longer than a sequence "
        f"and cut; {summary.filled_share:.0%} of all places filled; "
        f"{summary.unknown_share:.2%} of the words unknown to the vocabulary",
        json=json,
    )
