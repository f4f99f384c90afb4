"""What models are fed: the fixed input of our graphs, or what the inputs of any model ask for."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from atb.devices.worker.core.interface import Arrays, Input, WorkerError

#: How many token ids a foreign model that does not say so most likely knows.
UNKNOWN_VOCABULARY = 100


def make_tokens(vocabulary_size: int, batch: int, sequence_length: int) -> npt.NDArray[np.int64]:
    """The same token ids on every machine, scattered over the vocabulary: [batch, sequence]."""
    count = batch * sequence_length
    # 7919 is a prime, so neighbouring tokens lie far apart and few repeat
    tokens = np.arange(1, count + 1, dtype=np.int64) * 7919 % vocabulary_size
    return tokens.reshape(batch, sequence_length)


def make_inputs(vocabulary_size: int, batch: int, sequence_length: int) -> Arrays:
    """The fixed input of the default graph: three int64 arrays [batch, sequence]."""
    tokens = make_tokens(vocabulary_size, batch, sequence_length)
    return {
        "input_ids": tokens,
        "attention_mask": np.ones_like(tokens),
        "token_type_ids": np.zeros_like(tokens),
    }


_ELEMENT_TYPES = {
    **{
        f"tensor({kind}{bits})": np.dtype(f"{kind}{bits}")
        for kind in ("int", "uint")
        for bits in (8, 16, 32, 64)
    },
    "tensor(float16)": np.dtype(np.float16),
    "tensor(float)": np.dtype(np.float32),
    "tensor(double)": np.dtype(np.float64),
    "tensor(bool)": np.dtype(np.bool_),
}


class _Input(NamedTuple):
    name: str
    kind: str
    shape: list[Any]


#: What an input is for, by words in its name, the first that fits.
_ROLES = (
    ("other", ("unique", "label", "masked_lm_weight", "past", "cache", "global_attention")),
    ("heads", ("head_mask",)),
    ("positions", ("position",)),
    ("tokens", ("masked_lm_ids",)),
    ("mask", ("mask",)),
    ("segments", ("type", "segment")),
    ("length", ("length",)),
    ("tokens", ("ids", "token", "word")),
)
#: Roles whose shape must be the one that was asked for.
_OF_THE_TEXT = ("tokens", "mask", "segments", "positions")
_CHOICES = 2  # of a multiple choice, where the model takes any number


def vocabulary_of(told: Any, most: int | None = None) -> int:
    """How many token ids a model is fed: those that it says it knows, but not more than `most`."""
    text = str(told)
    known = int(text) if text.isdecimal() and int(text) > 0 else UNKNOWN_VOCABULARY
    return min(known, most or known)


def _role(given: _Input) -> str:
    name = given.name.lower()
    fitting = (role for role, words in _ROLES if any(word in name for word in words))
    return next(fitting, "nameless")


def make_feed(inputs: Sequence[Input], settings: Mapping[str, Any], vocabulary_size: int) -> Arrays:
    """What a BERT-like model from anywhere is fed, by the names of its inputs.

    The first input of tokens gets them, or the first of whole numbers whose name says nothing.
    Further ones of those get ones, which serve as a mask as well as as a segment.

    Args:
        inputs: In the order in which the model has them.
        settings: The fields of `RunSettings`.
        vocabulary_size: How many token ids there are.
    """
    taken = [_Input(*given) for given in inputs]
    roles = {given.name: _role(given) for given in taken}
    whole = [given for given in taken if "int" in given.kind]
    rows = [given for given in whole if len(given.shape) != 1]
    if any(roles[given.name] in ("tokens", "nameless") for given in rows):
        # beside rows of tokens, what has one number for each is the name of an example
        roles |= {g.name: "other" for g in whole if g not in rows and roles[g.name] == "tokens"}
    rows_first = sorted(whole, key=lambda given: given not in rows)
    nameless = [given.name for given in rows_first if roles[given.name] == "nameless"]
    if "tokens" not in roles.values() and nameless:
        roles[nameless[0]] = "tokens"
    axes: dict[str, int] = {}
    first = sorted(taken, key=lambda given: roles[given.name] != "tokens")
    feed = {
        given.name: _fill(given, roles[given.name], axes, settings, vocabulary_size)
        for given in first
    }
    return {given.name: feed[given.name] for given in taken}


def _fill(
    given: _Input,
    role: str,
    axes: dict[str, int],
    settings: Mapping[str, Any],
    vocabulary_size: int,
) -> npt.NDArray[Any]:
    """The values of one input, of which all axes of the same name are equally long."""
    name, kind, _ = given
    if kind not in _ELEMENT_TYPES:
        raise WorkerError(
            "load-error",
            f"input {name!r} takes {kind}, and only numbers can be filled in: export the model "
            "so that it begins with the ids of tokens",
        )
    dtype, length = _ELEMENT_TYPES[kind], settings["sequence_length"]
    sizes = _sizes(given, role, axes, settings)
    values: npt.NDArray[Any]
    if role == "tokens":
        most = min(vocabulary_size, np.iinfo(dtype).max) if dtype.kind in "iu" else vocabulary_size
        values = make_tokens(most, 1, math.prod(sizes)).reshape(sizes)
    elif role == "positions":
        values = np.broadcast_to(np.arange(sizes[-1] if sizes else 1), sizes)
    elif role in ("segments", "other"):
        values = np.zeros(sizes)
    elif role == "length":
        values = np.full(sizes, length)
    elif dtype.kind == "f" and len(sizes) > 2 and role == "nameless":  # embeddings, or a picture
        values = (np.arange(math.prod(sizes)) % 7919 / 7919 - 0.5).reshape(sizes)
    elif role == "nameless" and dtype.kind in "iu":  # a mask, or one of the fewest tokens
        values = np.full(sizes, min(1, vocabulary_size - 1))
    else:
        values = np.ones(sizes)
    return np.ascontiguousarray(values, dtype=dtype)


def _sizes(
    given: _Input, role: str, axes: dict[str, int], settings: Mapping[str, Any]
) -> list[int]:
    """The shape of an input."""
    batch, length = settings["batch"], settings["sequence_length"]
    shape = given.shape
    if not shape and role in _OF_THE_TEXT:  # of any rank
        shape = [None, None]
    usual = _usual_sizes(role, len(shape), batch, length)
    sizes = []
    for axis, size in enumerate(shape):
        fixed = _is_fixed(size)
        name = str(size or "")
        if axis == 0 and _says_length(name) and len(shape) > 1 and not _is_turned(shape):
            name = ""  # which says the same as the last axis: it is the usual one
        found = size if fixed else _size_of_axis(name, axes, batch, length, usual[axis])
        if found is None:
            raise WorkerError(
                "load-error",
                f"input {given.name!r} has the shape {shape}, of which the length of axis {axis} "
                "is not known: fix it when you export the model",
            )
        if not fixed and any(map(str.isalpha, str(size or ""))):
            axes.setdefault(str(size), found)
        sizes.append(found)
    if role in _OF_THE_TEXT:
        _check_fixed(given, role, settings)
    return sizes


def _usual_sizes(role: str, rank: int, batch: int, length: int) -> list[int | None]:
    """What free axes are, where their names do not say it."""
    if rank == 1:
        return [length if role in ("tokens", "mask", "segments") else batch]
    if rank == 2:
        return [batch, length]
    if role in _OF_THE_TEXT:  # the choices of each row; heads, and which token is shown to which
        return [batch, _CHOICES if rank == 3 else 1, *[length] * (rank - 2)]
    return [batch, length if rank == 3 else None, *[None] * (rank - 2)][:rank]


def _size_of_axis(
    name: str, axes: Mapping[str, int], batch: int, length: int, usual: int | None
) -> int | None:
    """How long a free axis is, by its name."""
    word = name.lower()
    if name in axes:
        return axes[name]
    if "past" in word and "+" not in word:  # nothing was said before
        return 0
    if "batch" in word:
        return batch
    if "choice" in word:
        return _CHOICES
    return length if _says_length(name) else usual


def _says_length(axis: Any) -> bool:
    """Whether an axis has a name that is one of sequences' lengths."""
    return any(word in str(axis).lower() for word in ("seq", "len", "token", "time"))


def _is_turned(shape: Sequence[Any]) -> bool:
    """Whether the axis of a sequence stands first, before that of the batch."""
    return len(shape) > 1 and _says_length(shape[0]) and not _says_length(shape[-1])


def _is_fixed(size: Any) -> bool:
    return isinstance(size, int) and size >= 0


def _check_fixed(given: _Input, role: str, settings: Mapping[str, Any]) -> None:
    """Fixed axes must be what was asked for, or latencies would be those of other inputs."""
    shape, helps = given.shape, []
    if len(shape) == 1 and role != "tokens":  # one number for each sequence
        return
    batch, length = (shape[:1], shape[-1:]) if not _is_turned(shape) else (shape[-1:], shape[:1])
    if len(shape) == 1:
        batch = [1]
    for option, axis, wanted in (
        ("batch", batch, settings["batch"]),
        ("sequence-length", length, settings["sequence_length"]),
    ):
        broadcast = option == "batch" and axis == [1] and role != "tokens"
        partial = option != "batch" and "masked" in given.name.lower()  # a few of the tokens
        if axis and _is_fixed(axis[0]) and axis[0] != wanted and not broadcast and not partial:
            helps.append(f"--{option} {axis[0]}")
    if helps:
        asked = [settings["batch"], settings["sequence_length"]]
        raise WorkerError(
            "load-error",
            f"input {given.name!r} has the fixed shape {shape}, not {asked}: give "
            f"{' '.join(helps)}",
        )
