"""A corpus becomes token shards: streamed, the same bytes every time, and resumed when killed.

While it is worked on, the shards lie in `.NAME.partial` beside the folder that is wanted, with a
note of how far the text was read; a shard ends where a document does, so that reading goes on with
the next one. In the end the folder takes its name, whole.
"""

from __future__ import annotations

import json
import shutil
from array import array
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from atb.data.corpus.corpus import EVERYTHING, Text
from atb.data.corpus.packing import PackedDocument, Packer, check_sequence_length
from atb.data.corpus.shards import (
    META,
    Shard,
    content_sha256,
    read_meta,
    save_shard,
    token_type,
    write_meta,
)
from atb.data.tokenizer import Vocabulary, read_vocabulary
from atb.errors import InputError, RunError
from atb.files import atomic_path, prepare_output

#: Tokens from which on a shard is written, 32 MB, so that memory and copies stay small.
SHARD_TOKENS = 1 << 24
_STATE = "state.json"


@dataclass(frozen=True, slots=True)
class Counts:
    """What was read and packed.

    Attributes:
        documents: Number of documents read.
        sentences: Number of sentences in them.
        cut_sentences: How many sentences were longer than a sequence, and cut.
        unknown_tokens: Number of words that the vocabulary has no pieces for.
        tokens: Number of tokens, `[CLS]` and `[SEP]` included.
    """

    documents: int = 0
    sentences: int = 0
    cut_sentences: int = 0
    unknown_tokens: int = 0
    tokens: int = 0

    def with_document(self, document: PackedDocument) -> Counts:
        """These and one more document."""
        return Counts(
            self.documents + 1,
            self.sentences + document.sentences,
            self.cut_sentences + document.cut_sentences,
            self.unknown_tokens + document.unknown_tokens,
            self.tokens + len(document.tokens),
        )


@dataclass(frozen=True, slots=True)
class Summary:
    """What was prepared.

    Attributes:
        folder: Folder of the shards.
        counts: Numbers of documents, sentences and tokens in them.
        sequences: Number of packed sequences.
        sequence_length: Tokens of the longest sequence that may occur.
        sha256: Hash over the shards.
        reused: Whether the folder held the same shards already.
    """

    folder: Path
    counts: Counts
    sequences: int
    sequence_length: int
    sha256: str
    reused: bool = False

    @property
    def unknown_share(self) -> float:
        """Share of the tokens that the vocabulary does not know."""
        return self.counts.unknown_tokens / self.counts.tokens

    @property
    def filled_share(self) -> float:
        """Share of all places of the sequences that hold a token."""
        return self.counts.tokens / (self.sequences * self.sequence_length)


def prepare(
    text: Text,
    out: Path,
    *,
    sequence_length: int = 128,
    single_sentences: bool = False,
    vocabulary: Vocabulary | None = None,
    limit_tokens: int | None = None,
    documents: range = EVERYTHING,
    progress: Callable[[float | None, int], None] | None = None,
) -> Summary:
    """Pack a text into token shards.

    Args:
        text: Read once, in order.
        out: The folder to make. When it holds the same shards already, nothing is done; when an
            equal call was stopped, that one is continued.
        sequence_length: Most tokens of a sequence, `[CLS]` and `[SEP]` included.
        single_sentences: Whether each sentence is a sequence of its own; else as many as fit.
        vocabulary: The shipped one by default.
        limit_tokens: Stop after this many tokens.
        documents: Numbers of the documents that are used, counted from 0.
        progress: Called with the share of the text that was read, and the tokens so far.

    Raises:
        InputError: The text cannot be read or gives no token, or `out` holds something else.
        RunError: The disk is full; what was written stays for the next call.
    """
    _check(sequence_length, limit_tokens)
    vocabulary = vocabulary or read_vocabulary()
    recipe = {
        **text.identity,
        "sequence_length": sequence_length,
        "vocabulary_sha256": vocabulary.sha256,
        "limit_tokens": limit_tokens,
        "documents": None if documents == EVERYTHING else [documents.start, documents.stop],
        # told where it is so: older shards are known again
        **({"single_sentences": True} if single_sentences else {}),
    }
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        return _already_there(out, recipe)
    prepare_output(out)
    partial = _Partial.begin(out.parent / f".{out.name}.partial", recipe)
    done = range(documents.start + partial.counts.documents, documents.stop)
    packed = Packer(vocabulary, sequence_length, single_sentences).pack(text.paragraphs(done))
    report = progress or (lambda _share, _tokens: None)
    try:
        dtype = token_type(len(vocabulary))
        _fill(partial, packed, limit_tokens, dtype, lambda done: report(text.share_read, done))
        meta = partial.finish(out, vocabulary)
    except InputError:
        partial.drop_if_empty()
        raise
    except OSError as error:
        raise RunError(
            f"Cannot write to {out.parent} ({error.strerror}): make room and give the same command "
            "again; what was prepared is kept."
        ) from error
    return _summary(out, meta)


def _check(sequence_length: int, limit_tokens: int | None) -> None:
    check_sequence_length(sequence_length)
    if limit_tokens is not None and limit_tokens < 1:
        raise InputError(f"The limit is {limit_tokens} tokens: give a positive number.")


@dataclass
class _Partial:
    """A folder of shards that is worked on.

    Attributes:
        folder: Where the shards lie until they are whole.
        recipe: Text and settings that the shards follow from; the same is asked for to continue.
        entries: Entries of the meta file for the shards that are written.
        counts: What is in those shards.
    """

    folder: Path
    recipe: dict[str, Any]
    entries: list[dict[str, Any]] = field(default_factory=list)
    counts: Counts = field(default_factory=Counts)

    @classmethod
    def begin(cls, folder: Path, recipe: dict[str, Any]) -> _Partial:
        """Take up what an equal call left, or start.

        Raises:
            InputError: The folder was left by another call.
        """
        if (folder / _STATE).is_file():
            try:
                state = json.loads((folder / _STATE).read_text("utf-8"))
                if state["recipe"] == recipe:
                    return cls(folder, recipe, state["entries"], Counts(**state["counts"]))
            except (ValueError, KeyError, TypeError):
                pass
            raise InputError(
                f"{folder} holds the beginning of other shards: give that command again to go on, "
                "or remove the folder."
            )
        shutil.rmtree(folder, ignore_errors=True)  # of a call that was killed in its first shard
        folder.mkdir()
        return cls(folder, recipe)

    def add(self, shard: Shard, counts: Counts) -> None:
        """Write a shard, then that it is written."""
        self.entries.append(save_shard(self.folder, len(self.entries), shard))
        self.counts = counts
        state = {"recipe": self.recipe, "entries": self.entries, "counts": asdict(counts)}
        with atomic_path(self.folder / _STATE) as temporary:
            temporary.write_text(json.dumps(state), "utf-8")

    def drop_if_empty(self) -> None:
        """Leave nothing behind where nothing was made."""
        if not self.entries:
            shutil.rmtree(self.folder)

    def finish(self, out: Path, vocabulary: Vocabulary) -> dict[str, Any]:
        """Write the meta file and give the folder its name; returns what the file says."""
        meta = {
            "vocabulary": {
                "size": len(vocabulary),
                "sha256": vocabulary.sha256,
                "special_tokens": asdict(vocabulary.special),
            },
            "sequence_length": self.recipe["sequence_length"],
            "counts": asdict(self.counts),
            "shards": self.entries,
            "recipe": self.recipe,
        }
        write_meta(self.folder, meta)
        (self.folder / _STATE).unlink(missing_ok=True)
        if out.exists():
            out.rmdir()
        self.folder.rename(out)
        return meta


def _fill(
    partial: _Partial,
    documents: Iterator[PackedDocument],
    limit_tokens: int | None,
    dtype: type[np.unsignedinteger[Any]],
    progress: Callable[[int], None],
) -> None:
    """Write the shards that are missing."""
    counts = partial.counts
    tokens, lengths = array("I"), array("H")
    for whole in documents:
        document = whole
        if limit_tokens is not None and counts.tokens >= limit_tokens:
            break
        if limit_tokens is not None:
            document = whole.first(limit_tokens - counts.tokens)
        tokens.extend(document.tokens)
        lengths.extend(document.lengths)
        counts = counts.with_document(document)
        if len(tokens) >= SHARD_TOKENS:
            partial.add(_shard(tokens, lengths, dtype), counts)
            tokens, lengths = array("I"), array("H")
        progress(counts.tokens)
    if tokens:
        partial.add(_shard(tokens, lengths, dtype), counts)
    if not partial.entries:
        raise InputError("There is no text in what was given: pass text with a paragraph a line.")


def _shard(tokens: array[int], lengths: array[int], dtype: type[np.unsignedinteger[Any]]) -> Shard:
    return Shard(np.array(tokens, dtype=dtype), np.array(lengths, dtype=np.uint16))


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
        Counts(**meta["counts"]),
        sum(entry["sequences"] for entry in meta["shards"]),
        int(meta["sequence_length"]),
        content_sha256(meta),
        reused,
    )
