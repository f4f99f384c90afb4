"""A SuperPLM's folder: weights as safetensors, and a JSON card that says what they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from torch import Tensor

from atb.errors import BadFile
from atb.files import atomic_path, read_document, refusal_of_system, write_document
from atb.models import Architecture
from atb.models.superplm.modeling_tinybert import TinyBertConfig
from atb.models.superplm.slicing import SliceLayers, architecture_of, config_of

CARD = "superplm.json"
WEIGHTS = "model.safetensors"
KIND = "superplm"
# Format 1: float32 tensors, or int8 rows with scales (`atb.models.superplm.bundled`).
FORMAT = 1


def write_card(
    folder: Path,
    config: TinyBertConfig,
    *,
    with_mlm_head: bool,
    task_head: tuple[str, int] | None = None,
    slice_layers: SliceLayers = "bottom",
    storage: str,
    **facts: Any,
) -> None:
    """Write the card.

    Args:
        folder: The SuperPLM's.
        config: Configuration of the whole.
        with_mlm_head: Whether it has a masked-LM head.
        task_head: Kind and outputs of the head for a task, if there is one.
        slice_layers: Which layers slices of fewer layers take; a card without it means the bottom.
        storage: How the weights are stored: float32 or int8.
        **facts: Further JSON-able facts.
    """
    content = {
        "architecture": str(architecture_of(config)),
        "storage": storage,
        "vocabulary_size": config.vocab_size,
        "positions": config.max_position_embeddings,
        "token_types": config.type_vocab_size,
        "layer_norm_epsilon": config.layer_norm_eps,
        "projection_size": config.projection_size,
        "with_mlm_head": with_mlm_head,
        "dropout": config.hidden_dropout_prob,
    }
    if task_head is not None:
        content["task_head"] = {"kind": task_head[0], "outputs": task_head[1]}
    if slice_layers != "bottom":
        content["slice_layers"] = slice_layers
    write_document(folder / CARD, {**content, **facts}, kind=KIND, format=FORMAT)


@dataclass(frozen=True, slots=True)
class Card:
    """What a card says.

    Attributes:
        config: Configuration of the whole.
        with_mlm_head: Whether it has a masked-LM head.
        task_head: Kind and outputs of the head for a task, if there is one.
        slice_layers: Which layers slices of fewer layers take.
        storage: How the weights are stored: float32 or int8.
        facts: All entries of the card.
        folder: The SuperPLM's.
    """

    config: TinyBertConfig
    with_mlm_head: bool
    task_head: tuple[str, int] | None
    slice_layers: SliceLayers
    storage: str
    facts: Mapping[str, Any]
    folder: Path


def read_card(folder: Path) -> Card:
    """Read the card.

    Raises:
        BadFile: It is missing, foreign, or lacks something.
    """
    card = read_document(folder / CARD, kind=KIND, format=FORMAT)
    try:
        dropout = float(card["dropout"])
        projection_size = card["projection_size"]
        config = config_of(
            Architecture.parse(card["architecture"]),
            vocab_size=int(card["vocabulary_size"]),
            max_position_embeddings=int(card["positions"]),
            type_vocab_size=int(card["token_types"]),
            layer_norm_eps=float(card["layer_norm_epsilon"]),
            projection_size=None if projection_size is None else int(projection_size),
            hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=dropout,
        )
        head = card.get("task_head")
        task_head = None if head is None else (str(head["kind"]), int(head["outputs"]))
        with_mlm_head, storage = bool(card["with_mlm_head"]), str(card["storage"])
        slice_layers = card.get("slice_layers", "bottom")
        if slice_layers not in get_args(SliceLayers):
            raise ValueError(f"slice_layers is {slice_layers!r}")
        return Card(config, with_mlm_head, task_head, slice_layers, storage, card, folder)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise BadFile(
            f"{folder / CARD} is damaged ({error}): take the folder from its source again."
        ) from error


def write_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write a safetensors file, whole or not at all; what is not contiguous is copied.

    Raises:
        OSError: The file cannot be written, as on a full disk.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    with atomic_path(path) as temporary:
        try:
            save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, temporary)
        except SafetensorError as error:
            raise refusal_of_system(error, path) or error from error


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file.

    Raises:
        BadFile: It is missing, truncated or foreign.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors: dict[str, Tensor] = load_file(path)
    except (OSError, SafetensorError) as error:
        raise BadFile(
            f"{path} is not a readable safetensors file ({error}): it may be missing or truncated; "
            "take it from its source again."
        ) from error
    return tensors
