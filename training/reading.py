"""Reading single encoders: BERTs, TinyBERTs, and what AutoTinyBERT's authors released.

The authors' checkpoints (S1 to S4, KD-S1 to KD-S4, the SuperPLM) have BERT's names for tensors, the
query width as `qkv_size` in a configuration without a model type, and the map into the teacher's
space as `dense_fit`. Foreign weights are read as safetensors only.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from atb.errors import BadFile
from atb.models.card import WEIGHTS, read_tensors
from atb.models.modeling_tinybert import TinyBertConfig
from atb.models.superplm import SuperPLM

__all__ = ["read_encoder"]

# Beginnings of names under which an encoder is stored: DistributedDataParallel's, and BERT's
# relatives'.
_PREFIXES = ("module.", "bert.", "electra.")
_HEAD = "cls.predictions."
_DECODER = "cls.predictions.decoder.weight"
_PROJECTION, _QUERY = "bert.projection.weight", "bert.encoder.layer.0.attention.self.query.weight"
_WORDS = "bert.embeddings.word_embeddings.weight"
# Older names of the same.
_RENAMED = {
    "dense_fit.": "projection.",
    "fit_dense.": "projection.",
    "LayerNorm.gamma": "LayerNorm.weight",
    "LayerNorm.beta": "LayerNorm.bias",
    "cls.predictions.decoder.bias": "cls.predictions.bias",
}


def read_encoder(folder: Path, *, dropout: float = 0.1, with_projection: bool = False) -> SuperPLM:
    """An encoder as a SuperPLM of its own shape, in its own order, in eval mode.

    Its masked-LM head comes along where there is one; a pooler that is missing starts fresh.

    Args:
        folder: With `config.json` and `model.safetensors`.
        dropout: Of hidden states and attention weights in training to come.
        with_projection: Whether the map into a teacher's space comes along.

    Raises:
        BadFile: It is no BERT, or its weights are not safetensors.
    """
    given, sizes = _read_sizes(folder / "config.json")
    stored = _read_stored(folder)
    # the authors' SuperPLM does not tell its query width
    width = given.get("qkv_size", len(stored[_QUERY]) if _QUERY in stored else None)
    projection = stored.get(_PROJECTION) if with_projection else None
    try:
        config = TinyBertConfig(
            **sizes,
            qkv_size=width,
            projection_size=None if projection is None else len(projection),
            layer_norm_eps=float(given.get("layer_norm_eps", 1e-12)),
            hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=dropout,
        )
    except (TypeError, ValueError) as error:
        raise BadFile(f"{folder / 'config.json'} describes no possible BERT: {error}") from error
    superplm = SuperPLM(config, with_mlm_head=f"{_HEAD}bias" in stored)
    wanted = {name for name, _ in superplm.named_parameters()}
    missing = {name for name in wanted - set(stored) if not name.startswith("bert.pooler.")}
    if missing:
        raise BadFile(
            f"{folder} lacks the tensor {min(missing)}: give an encoder with BERT's layout."
        )
    try:
        superplm.load_state_dict(
            {name: stored[name] for name in wanted & set(stored)}, strict=False
        )
    except RuntimeError as error:
        raise BadFile(
            f"{folder}: config.json and {WEIGHTS} are of different shapes: take it from its source "
            "again."
        ) from error
    return superplm.eval()


def _read_stored(folder: Path) -> dict[str, Tensor]:
    """The tensors under our names."""
    if not (folder / WEIGHTS).is_file() and (folder / "pytorch_model.bin").is_file():
        raise BadFile(
            f"{folder} has its weights in pytorch_model.bin, which runs code when it is read: "
            f"save them as {WEIGHTS} with the tool that made them, then try again."
        )
    stored = {_renamed(name): t.float() for name, t in read_tensors(folder / WEIGHTS).items()}
    decoder, words = stored.pop(_DECODER, None), stored.get(_WORDS)
    if decoder is not None and words is not None and not torch.equal(decoder, words):
        raise BadFile(
            f"{folder} has a masked-LM decoder of its own, where BERT's is the word table: it "
            "cannot be taken over."
        )
    return stored


def _renamed(name: str) -> str:
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    for old, new in _RENAMED.items():
        if name.startswith(old) or name.endswith(old):
            name = name.replace(old, new)
    return name if name.startswith(_HEAD) else f"bert.{name}"


def _read_sizes(path: Path) -> tuple[dict[str, Any], dict[str, int]]:
    """All that a configuration says, and the sizes in it."""
    try:
        given = json.loads(path.read_text("utf-8"))
        sizes = {
            name: int(given[name])
            for name in (
                "vocab_size",
                "hidden_size",
                "num_hidden_layers",
                "num_attention_heads",
                "intermediate_size",
                "max_position_embeddings",
                "type_vocab_size",
            )
        }
    except FileNotFoundError as error:
        raise BadFile(
            f"There is no {path}: give a transformers folder of a BERT encoder."
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadFile(f"{path} does not describe a BERT encoder ({error!r}).") from error
    if given.get("hidden_act", "gelu") != "gelu" or given.get("embedding_size") not in (
        None,
        sizes["hidden_size"],
    ):
        raise BadFile(
            f"{path.parent} is not laid out like BERT: give an encoder with GELU and embeddings as "
            "wide as its hidden states."
        )
    return given, sizes
