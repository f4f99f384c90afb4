"""A teacher's outputs for each sequence, kept on disk, so that later epochs need not run it again.

It pays where the teacher is large beside the sub-models and the text is gone over several times.
A folder holds `cache.json` (format 1), `done.npy` and what is kept of the sequences as float16 in
arrays as long as the text, of which the file system stores what was written: the states of all
tokens, or just the vector of each sentence.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from atb.data.corpus import TokenShards
from atb.errors import BadFile, InputError
from atb.files import prepare_output, read_document, write_document
from atb.training import (
    AttentionStates,
    Batch,
    DistillationTarget,
    Teacher,
    fingerprint,
    leader_first,
)

_CARD, _KIND, _FORMAT = "cache.json", "teacher-cache", 1
_STATES = ("query", "key", "value")
_SENTENCES = "sentences"
_States = npt.NDArray[np.float16]


@dataclass(frozen=True, slots=True)
class _Store:
    """Arrays of a cache, mapped.

    Attributes:
        done: Whether a sequence is there, [n].
        states: What is kept by name: states [n, T, width], or vectors of sentences [n, width].
    """

    done: npt.NDArray[np.uint8]
    states: dict[str, _States]


class CachedTeacher(Teacher):
    """A teacher that is run once for each sequence; its outputs are kept as float16."""

    def __init__(
        self, teacher: Teacher, text: TokenShards, folder: Path, *, only_sentences: bool = False
    ) -> None:
        """Open a cache, or begin one.

        Args:
            teacher: Encoder whose outputs are kept.
            text: Text of the sequences; batches hold their numbers in it.
            folder: Folder of the cache.
            only_sentences: Whether the vectors of sentences are kept, in place of all states.

        Raises:
            InputError: The folder holds the cache of another teacher or text, or the disk has not
                the room.
            BadFile: It is damaged.
        """
        super().__init__(
            teacher.encoder,
            head=teacher.head,
            whole=teacher.whole,
            vocabulary_sha256=teacher.vocabulary_sha256,
            name=teacher.name,
        )
        self._length, self._pad = text.sequence_length, text.special.pad
        self._only_sentences = only_sentences
        config = teacher.encoder.config
        width = int(getattr(config, "qkv_size", None) or config.hidden_size)
        widths = {"hidden": self.hidden_size, **dict.fromkeys(_STATES, width)}
        if only_sentences:
            widths = {_SENTENCES: self.hidden_size}
        card = {
            "teacher": fingerprint(self.whole),
            "text": text.sha256,
            "sequences": len(text),
            "sequence_length": text.sequence_length,
            "widths": widths,
        }
        with leader_first():  # one makes the files, and the others find them
            self._store = _open(folder, card)

    def __call__(
        self, batch: Batch, *, attention: bool = False, vocabulary_logits: bool = False
    ) -> DistillationTarget:
        """The same as without a cache; asked anew where words are hidden, other ones each time."""
        if (
            self._only_sentences
            or batch.rows is None
            or batch.labels is not None
            or vocabulary_logits
        ):
            return super().__call__(batch, attention=attention, vocabulary_logits=vocabulary_logits)
        self._fill_missing(batch)
        length, device = batch.input_ids.shape[1], batch.input_ids.device

        def taken(name: str) -> Tensor:
            found = self._store.states[name][batch.rows][:, :length]
            return torch.from_numpy(found.astype(np.float32)).to(device)

        states = None
        if attention:
            query, key, value = map(taken, _STATES)
            states = AttentionStates((query, key, value), self.heads, batch.attention_mask)
        return DistillationTarget(taken("hidden"), attention=states)

    def sentences(self, batch: Batch) -> Tensor:
        """The same as without a cache, but for rounding."""
        if not self._only_sentences or batch.rows is None or batch.labels is not None:
            return super().sentences(batch)
        self._fill_missing(batch)
        found = self._store.states[_SENTENCES][batch.rows].astype(np.float32)
        return torch.from_numpy(found).to(batch.input_ids.device)

    def _fill_missing(self, batch: Batch) -> None:
        assert batch.rows is not None
        missing = np.flatnonzero(self._store.done[batch.rows] == 0)
        if len(missing):
            self._fill(batch, missing)

    def _fill(self, batch: Batch, missing: npt.NDArray[np.integer[Any]]) -> None:
        """Ask for sequences; states at full length, whatever the sequences came with."""
        room = (0, 0 if self._only_sentences else self._length - batch.input_ids.shape[1])
        asked = replace(
            batch,
            input_ids=functional.pad(batch.input_ids[missing], room, value=self._pad),
            attention_mask=functional.pad(batch.attention_mask[missing], room),
            rows=None,
        )
        assert batch.rows is not None
        rows = batch.rows[missing]
        if self._only_sentences:
            named = {_SENTENCES: super().sentences(asked)}
        else:
            found = super().__call__(asked, attention=True)
            assert found.hidden is not None
            assert found.attention is not None
            states = zip(_STATES, found.attention.states, strict=True)
            named = {"hidden": found.hidden, **dict(states)}
        for name, tensor in named.items():
            self._store.states[name][rows] = tensor.float().cpu().numpy().astype(np.float16)
        self._store.done[rows] = 1  # last, so that after a kill the teacher is run again


def _open(folder: Path, card: dict[str, Any]) -> _Store:
    path = folder / _CARD
    sequences, length = card["sequences"], card["sequence_length"]
    shapes = {
        name: (sequences, width) if name == _SENTENCES else (sequences, length, width)
        for name, width in card["widths"].items()
    }
    if not path.is_file():
        prepare_output(folder, directory=True)
        needed = sum(2 * int(np.prod(shape)) for shape in shapes.values())
        free = shutil.disk_usage(folder).free
        if needed > free:
            raise InputError(
                f"A cache of this text takes {needed / 1e9:.1f} GB and {folder} has "
                f"{free / 1e9:.1f} GB left: choose another disk, or go without."
            )
        for name, shape in shapes.items():
            _new_array(folder / f"{name}.npy", np.float16, shape)
        _new_array(folder / "done.npy", np.uint8, (card["sequences"],))
        write_document(path, card, kind=_KIND, format=_FORMAT)
    known = read_document(path, kind=_KIND, format=_FORMAT)
    if {name: known.get(name) for name in card} != card:
        raise InputError(
            f"{folder} holds what another teacher said, or of another text: choose another folder."
        )
    try:
        return _Store(
            np.load(folder / "done.npy", mmap_mode="r+", allow_pickle=False),
            {
                name: np.load(folder / f"{name}.npy", mmap_mode="r+", allow_pickle=False)
                for name in shapes
            },
        )
    except (OSError, ValueError, EOFError) as error:
        raise BadFile(f"{folder} is damaged ({error}): remove it, to begin again.") from error


def _new_array(path: Path, kind: type[np.generic], shape: tuple[int, ...]) -> None:
    np.lib.format.open_memmap(path, mode="w+", dtype=kind, shape=shape).flush()
