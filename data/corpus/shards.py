"""Token shards: sequences of tokens in memory-mapped files, read by batches in any order.

A folder of shards holds `meta.json` and for each shard two arrays: `tokens-00000.npy`, all
sequences one after another, and `lengths-00000.npy`, their lengths. Format history: 1, the first;
its `special_tokens` and `counts` came later, and are BERT's and unknown where they are missing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.format import open_memmap

from atb.data.tokenizer import SpecialTokens, Vocabulary
from atb.errors import BadFile
from atb.files import read_document, write_document

KIND, FORMAT = "token-shards", 1
META = "meta.json"


@dataclass(frozen=True, slots=True)
class Shard:
    """Sequences one after another: tokens [sum of lengths] and lengths [n], whole numbers."""

    tokens: npt.NDArray[np.unsignedinteger[Any]]
    lengths: npt.NDArray[np.uint16]


@dataclass(frozen=True)
class TokenShards:
    """Packed sequences `[CLS] ... [SEP]`, each of at most `sequence_length` tokens.

    Attributes:
        shards: The arrays, memory-mapped when they come from a folder.
        sequence_length: Tokens in the longest sequence that may occur.
        vocabulary_size: Every token lies below it.
        vocabulary_sha256: Hash of the vocabulary that made them.
        sha256: Hash over all of it, which names this text in results.
        special: Numbers of the special tokens of the vocabulary.
    """

    shards: tuple[Shard, ...]
    sequence_length: int
    vocabulary_size: int
    vocabulary_sha256: str
    sha256: str
    special: SpecialTokens = field(default_factory=SpecialTokens)

    @staticmethod
    def are_in(folder: Path) -> bool:
        """Whether a folder says that it holds token shards."""
        return (folder / META).is_file()

    @classmethod
    def open(cls, folder: Path) -> TokenShards:
        """Map the shards of a folder; only the lengths are read.

        Raises:
            BadFile: Something is missing, foreign or truncated.
        """
        if not folder.is_dir():
            raise BadFile(f"There is no folder {folder}: make it with `atb data prepare`.")
        meta = read_document(folder / META, kind=KIND, format=FORMAT)
        try:
            shards = tuple(
                _load_shard(folder, number, counts) for number, counts in enumerate(meta["shards"])
            )
            opened = cls(
                shards,
                int(meta["sequence_length"]),
                int(meta["vocabulary"]["size"]),
                str(meta["vocabulary"]["sha256"]),
                content_sha256(meta),
                SpecialTokens(**meta["vocabulary"].get("special_tokens", {})),
            )
        except BadFile:
            raise
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise BadFile(
                f"{folder / META} is damaged ({error}): prepare the text again."
            ) from error
        longest = max((int(shard.lengths.max(initial=0)) for shard in shards), default=0)
        if not len(opened) or longest > opened.sequence_length:
            raise BadFile(f"{folder} does not hold what its {META} says: prepare the text again.")
        return opened

    @classmethod
    def of_sequences(
        cls, sequences: Sequence[Sequence[int]], vocabulary: Vocabulary, sequence_length: int
    ) -> TokenShards:
        """Shards in memory.

        Args:
            sequences: Each `[CLS] ... [SEP]`.
            vocabulary: The vocabulary that made them.
            sequence_length: Tokens in the longest sequence that may occur.
        """
        size = len(vocabulary)
        tokens = np.array([t for sequence in sequences for t in sequence], token_type(size))
        lengths = np.array([len(sequence) for sequence in sequences], np.uint16)
        content = hashlib.sha256(tokens.tobytes() + lengths.tobytes()).hexdigest()
        shards = (Shard(tokens, lengths),)
        return cls(shards, sequence_length, size, vocabulary.sha256, content, vocabulary.special)

    def __len__(self) -> int:
        """Number of sequences."""
        return int(self._first[-1])

    @cached_property
    def _first(self) -> npt.NDArray[np.int64]:
        """Number of the first sequence of each shard, and of the one after the last."""
        return np.cumsum([0, *(len(shard.lengths) for shard in self.shards)], dtype=np.int64)

    @cached_property
    def _starts(self) -> tuple[npt.NDArray[np.int64], ...]:
        """For each shard, where its sequences begin."""
        return tuple(
            np.cumsum(shard.lengths, dtype=np.int64) - shard.lengths for shard in self.shards
        )

    @property
    def token_count(self) -> int:
        """Number of tokens, `[CLS]` and `[SEP]` included."""
        return sum(len(shard.tokens) for shard in self.shards)

    @property
    def unknown_share(self) -> float:
        """Share of the tokens, special ones left out, that the vocabulary does not know."""
        unknown = sum(int((shard.tokens == self.special.unknown).sum()) for shard in self.shards)
        return unknown / max(1, self.token_count - 2 * len(self))

    def lengths_of(self, indices: npt.NDArray[np.int64]) -> npt.NDArray[np.integer[Any]]:
        """Tokens of some sequences, [n]."""
        return self._lengths[indices]

    @cached_property
    def _lengths(self) -> npt.NDArray[np.integer[Any]]:
        return np.concatenate([shard.lengths for shard in self.shards])

    def batch(
        self, indices: Sequence[int] | npt.NDArray[np.integer[Any]]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Some sequences, padded to the longest of them.

        Args:
            indices: Numbers of sequences from 0 to `len(self) - 1`, at least one.

        Returns:
            Tokens [n, T] padded with `[PAD]`, and the attention mask [n, T], 1 at tokens.

        Raises:
            BadFile: The file holds tokens that the vocabulary has not.
        """
        numbers = np.asarray(indices, dtype=np.int64)
        if numbers.min() < 0 or numbers.max() >= len(self):
            raise IndexError(f"sequences are numbered from 0 to {len(self) - 1}")
        where = np.searchsorted(self._first, numbers, side="right") - 1
        rows: list[npt.NDArray[Any]] = []
        for number, shard_number in zip(numbers, where, strict=True):
            local = number - self._first[shard_number]
            shard = self.shards[shard_number]
            start = self._starts[shard_number][local]
            rows.append(shard.tokens[start : start + int(shard.lengths[local])])
        ids = np.full((len(rows), max(len(row) for row in rows)), self.special.pad, dtype=np.int64)
        attention_mask = np.zeros_like(ids)
        for place, row in enumerate(rows):
            ids[place, : len(row)] = row
            attention_mask[place, : len(row)] = 1
        if ids.max() >= self.vocabulary_size:
            raise BadFile(
                f"Token {ids.max()} is outside the vocabulary of {self.vocabulary_size}: the "
                "shards are damaged; prepare the text again."
            )
        return ids, attention_mask

    def order(self, epoch: int, seed: int) -> npt.NDArray[np.int64]:
        """All sequence numbers, shuffled in a way that `epoch` and `seed` alone determine."""
        return np.random.default_rng([seed, epoch]).permutation(len(self)).astype(np.int64)

    def spread(self, count: int) -> TokenShards:
        """So many sequences from everywhere in the text, or all when there are fewer."""
        if count >= len(self):
            return self
        ids, mask = self.batch(np.linspace(0, len(self) - 1, count).astype(np.int64))
        shard = Shard(
            ids[mask == 1].astype(token_type(self.vocabulary_size)), mask.sum(1).astype(np.uint16)
        )
        name = f"{self.sha256}:spread:{count}".encode()
        return replace(self, shards=(shard,), sha256=hashlib.sha256(name).hexdigest())


def token_type(vocabulary_size: int) -> type[np.unsignedinteger[Any]]:
    """The narrowest type that holds every token."""
    return np.uint16 if vocabulary_size <= 2**16 else np.uint32


def save_shard(folder: Path, number: int, shard: Shard) -> dict[str, Any]:
    """Write one shard; returns its entry for the meta file."""
    hashes = {}
    for name, array in (("tokens", shard.tokens), ("lengths", shard.lengths)):
        np.save(folder / f"{name}-{number:05}.npy", array, allow_pickle=False)
        hashes[name] = hashlib.sha256(array.tobytes()).hexdigest()
    return {"sequences": len(shard.lengths), "tokens": len(shard.tokens), "sha256": hashes}


def write_meta(folder: Path, meta: Mapping[str, Any]) -> None:
    """Write the meta file of a folder of shards."""
    write_document(folder / META, meta, kind=KIND, format=FORMAT)


def read_meta(folder: Path) -> dict[str, Any]:
    """Read the meta file of a folder of shards.

    Raises:
        BadFile: It is missing, foreign or truncated.
    """
    return read_document(folder / META, kind=KIND, format=FORMAT)


def content_sha256(meta: Mapping[str, Any]) -> str:
    """Hash over vocabulary, sequence length and the hashes of all arrays."""
    named = {name: meta[name] for name in ("vocabulary", "sequence_length", "shards")}
    return hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()


def _load_shard(folder: Path, number: int, counts: Mapping[str, Any]) -> Shard:
    """Map one shard and hold it against its entry in the meta file."""
    arrays = []
    for name in ("tokens", "lengths"):
        path = folder / f"{name}-{number:05}.npy"
        try:
            arrays.append(open_memmap(path, mode="r"))
        # NumPy reads the head of a damaged file as Python's syntax
        except (OSError, ValueError, EOFError, SyntaxError, TokenError) as error:
            raise BadFile(f"{path} is missing or truncated: prepare the text again.") from error
    tokens, lengths = arrays[0], np.asarray(arrays[1])
    fits = (
        tokens.ndim == lengths.ndim == 1
        and tokens.dtype in (np.dtype(np.uint16), np.dtype(np.uint32))
        and lengths.dtype == np.dtype(np.uint16)
        and len(tokens) == counts["tokens"] == int(lengths.sum(dtype=np.int64))
        and len(lengths) == counts["sequences"]
        and bool(lengths.all())
    )
    if not fits:
        raise BadFile(
            f"Shard {number} of {folder} is not what its {META} says: prepare the text again."
        )
    return Shard(tokens, lengths)
