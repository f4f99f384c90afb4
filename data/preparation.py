"""A corpus becomes token shards: streamed, the same bytes every time, whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from atb.data.corpus import Corpus
from atb.data.packing import check_sequence_length, pack
from atb.data.shards import (
    META,
    Shard,
    content_sha256,
    read_meta,
    save_shard,
    token_type,
    write_meta,
)
from atb.data.vocabulary import load_tokenizer, vocabulary_sha256
from atb.errors import InputError
from atb.files import prepare_output

__all__ = ["Summary", "prepare"]

#: Tokens in one shard file: 32 MB, so that memory and copies stay small.
SHARD_TOKENS = 1 << 24


@dataclass(frozen=True, slots=True)
class Summary:
    """What was prepared.

    Attributes:
        folder: Where the shards are.
        documents: Documents read.
        sequences: Packed sequences.
        tokens: Tokens in them, `[CLS]` and `[SEP]` included.
        sequence_length: Tokens of the longest sequence that may occur.
        sha256: Hash over the shards.
        reused: Whether the folder held the same shards already.
    """

    folder: Path
    documents: int
    sequences: int
    tokens: int
    sequence_length: int
    sha256: str
    reused: bool = False


def prepare(
    source: Path,
    out: Path,
    *,
    sequence_length: int = 128,
    vocabulary: Path | None = None,
    limit_tokens: int | None = None,
    documents: range | None = None,
    progress: Callable[[float, int], None] | None = None,
) -> Summary:
    """Pack a corpus into token shards.

    Args:
        source: A text file or a folder of them: one paragraph a line, a blank line between
            documents; `.gz` and `.xz` are unpacked.
        out: The folder to make. When it holds the same shards already, nothing is done.
        sequence_length: Most tokens of a sequence, `[CLS]` and `[SEP]` included.
        vocabulary: A user's own WordPiece vocabulary.
        limit_tokens: Stop after this many tokens.
        documents: Numbers of the documents that are used, counted from 0 across all files; see
            `atb.data.samples.TRAINING_DOCUMENTS`.
        progress: Told the share of the files that was read, and the tokens so far.

    Raises:
        InputError: The source cannot be read or gives no token, or `out` holds something else;
            nothing was written.
    """
    check_sequence_length(sequence_length)
    if limit_tokens is not None and limit_tokens < 1:
        raise InputError(f"The limit is {limit_tokens} tokens: give a positive number.")
    corpus = Corpus(source, documents=documents)
    tokenizer = load_tokenizer(vocabulary)
    recipe = {
        "files": {path.name: path.stat().st_size for path in corpus.files},
        "sequence_length": sequence_length,
        "vocabulary_sha256": vocabulary_sha256(vocabulary),
        "limit_tokens": limit_tokens,
        "documents": None if documents is None else [documents.start, documents.stop],
    }
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        return _already_there(out, recipe)
    prepare_output(out)
    partial = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}."))
    try:
        entries = _write_shards(
            corpus,
            pack(corpus.paragraphs(), tokenizer, sequence_length),
            partial,
            dtype=token_type(tokenizer.get_vocab_size()),
            limit_tokens=limit_tokens,
            progress=progress,
        )
        meta = {
            "vocabulary": {
                "size": tokenizer.get_vocab_size(),
                "sha256": recipe["vocabulary_sha256"],
            },
            "sequence_length": sequence_length,
            "documents": corpus.documents_read,
            "shards": entries,
            "recipe": recipe,
        }
        write_meta(partial, meta)
        if out.exists():
            out.rmdir()
        partial.chmod(0o755)
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return _summary(out, meta)


def _write_shards(
    corpus: Corpus,
    sequences: Iterable[list[int]],
    folder: Path,
    *,
    dtype: type[np.unsignedinteger[Any]],
    limit_tokens: int | None,
    progress: Callable[[float, int], None] | None,
) -> list[dict[str, Any]]:
    """Write the packed corpus into shard files of `folder`; returns their meta entries."""
    tokens, lengths = array("I"), array("H")
    entries: list[dict[str, Any]] = []
    written = 0

    def flush() -> None:
        nonlocal tokens, lengths, written
        shard = Shard(np.array(tokens, dtype=dtype), np.array(lengths, dtype=np.uint16))
        entries.append(save_shard(folder, len(entries), shard))
        written += len(tokens)
        tokens, lengths = array("I"), array("H")

    for number, sequence in enumerate(sequences):
        tokens.extend(sequence)
        lengths.append(len(sequence))
        if progress is not None and number % 1000 == 0:
            progress(corpus.share_read, written + len(tokens))
        if limit_tokens is not None and written + len(tokens) >= limit_tokens:
            break
        if len(tokens) >= SHARD_TOKENS:
            flush()
    if tokens:
        flush()
    if not entries:
        raise InputError(
            f"There is no text in {corpus.files[0]}: give a text file with one paragraph a line."
        )
    if progress is not None:
        progress(1.0, written)
    return entries


def _already_there(out: Path, recipe: dict[str, Any]) -> Summary:
    """The summary of shards that an equal call made before."""
    if (out / META).is_file():
        meta = read_meta(out)
        if meta.get("recipe") == recipe:
            return _summary(out, meta, reused=True)
    raise InputError(f"{out} holds something else already: choose another --out, or remove it.")


def _summary(out: Path, meta: dict[str, Any], *, reused: bool = False) -> Summary:
    return Summary(
        out,
        int(meta["documents"]),
        sum(entry["sequences"] for entry in meta["shards"]),
        sum(entry["tokens"] for entry in meta["shards"]),
        int(meta["sequence_length"]),
        content_sha256(meta),
        reused,
    )
