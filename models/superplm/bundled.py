"""SuperPLMs packed small: int8 rows with a scale each, as the bundled one ships."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from atb.errors import BadFile, InputError
from atb.files import atomic_folder
from atb.models.superplm.card import CARD, WEIGHTS, read_card, read_tensors, write_tensors
from atb.models.superplm.superplm import SuperPLM

#: SuperPLMs that ship inside the package, by name.
BUNDLED: dict[str, Path] = {"mini": Path(__file__).parents[1] / "mini"}

_SCALE = ".scale"
_LARGEST = 127  # symmetric, so that zero stays zero
_BYTES_LIMIT = 25_000_000  # what the package can carry


def pack(superplm: SuperPLM, folder: Path, **facts: Any) -> None:
    """Write a SuperPLM with its matrices as int8 rows, a float32 scale for each row.

    Args:
        superplm: Its weights are not changed.
        folder: Made if it is missing.
        **facts: Further JSON-able facts for the card.

    Raises:
        InputError: It would be larger than what ships inside the package.
    """
    tensors: dict[str, Tensor] = {}
    for name, parameter in superplm.named_parameters():
        values = parameter.detach()
        if values.dim() < 2:
            tensors[name] = values
            continue
        scale = values.abs().amax(1).clamp(min=torch.finfo(torch.float32).tiny) / _LARGEST  # [rows]
        tensors[name] = (values / scale[:, None]).round().to(torch.int8)
        tensors[name + _SCALE] = scale
    size = sum(tensor.nbytes for tensor in tensors.values())
    if size > _BYTES_LIMIT:
        raise InputError(
            f"The SuperPLM {superplm.architecture} packs to {size:,} bytes and the limit is "
            f"{_BYTES_LIMIT:,}: save it unpacked instead."
        )
    with atomic_folder(folder, last=CARD) as temporary:
        write_tensors(tensors, temporary / WEIGHTS)
        superplm.write_card(temporary, storage="int8", **facts)


def load_packed(folder: Path) -> SuperPLM:
    """Read what `pack` wrote, in eval mode.

    Raises:
        BadFile: Something is missing, truncated, foreign or of another format.
    """
    card = read_card(folder)
    if card.storage != "int8":
        raise BadFile(
            f"{folder} is not a packed SuperPLM but {card.storage}: load it with load_superplm."
        )
    stored = read_tensors(folder / WEIGHTS)
    tensors: dict[str, Tensor] = {}
    for name, tensor in stored.items():
        if name.endswith(_SCALE):
            continue
        scale = stored.get(name + _SCALE)
        if scale is not None and scale.shape != tensor.shape[:1]:
            raise BadFile(f"{folder}: {name} has {len(tensor)} rows and {len(scale)} scales.")
        tensors[name] = tensor.float() if scale is None else tensor.float() * scale[:, None]
    return SuperPLM.of_card(card).fill(tensors, folder).eval()


def folder_of(name_or_folder: str | Path) -> Path:
    """The folder of a bundled SuperPLM by name, or the folder that was given."""
    return BUNDLED.get(str(name_or_folder), Path(name_or_folder))


def load_superplm(name_or_folder: str | Path) -> SuperPLM:
    """A bundled SuperPLM by name, or one from a folder, packed or not, in eval mode.

    Raises:
        InputError: There is no such SuperPLM.
        BadFile: The folder is no SuperPLM, or a damaged one.
    """
    folder = folder_of(name_or_folder)
    if not folder.is_dir():
        raise InputError(
            f"There is no SuperPLM {str(name_or_folder)!r}: give a folder that `atb superplm` "
            f"wrote, or one of {', '.join(BUNDLED)}."
        )
    return load_packed(folder) if read_card(folder).storage == "int8" else SuperPLM.load(folder)
