"""Reading single encoders: BERTs, TinyBERTs, and what AutoTinyBERT's authors released.

The authors' checkpoints (S1 to S4, KD-S1 to KD-S4, the SuperPLM) have BERT's names for tensors, the
query width as `qkv_size` in a configuration without a model type, and the map into the teacher's
space as `dense_fit`. Foreign weights are read as safetensors only.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from atb.data import EncoderConfig
from atb.data.tokenizer import read_json_object
from atb.errors import BadFile
from atb.models import Architecture, weights_shapes
from atb.models.superplm import WEIGHTS, SuperPLM, TinyBertConfig, layer_of, read_tensors

# Beginnings of names under which an encoder is stored: DistributedDataParallel's, and BERT's
# relatives'.
_PREFIXES = ("module.", "bert.", "electra.")
_PICKLED = "pytorch_model.bin"
_HEAD = "cls.predictions."
_DECODER = "cls.predictions.decoder.weight"
_PROJECTION, _QUERY = "bert.projection.weight", "bert.encoder.layer.0.attention.self.query.weight"
_WORDS = "bert.embeddings.word_embeddings.weight"
# Beginnings of the names of heads for tasks.
_TASK_HEADS = ("classifier.", "qa_outputs.")
# Numbers of places that older versions of transformers stored among the weights.
_BUFFERS = (".position_ids", ".token_type_ids")
# Older names of the same.
_RENAMED = {
    "dense_fit.": "projection.",
    "fit_dense.": "projection.",
    "LayerNorm.gamma": "LayerNorm.weight",
    "LayerNorm.beta": "LayerNorm.bias",
    "cls.predictions.decoder.bias": "cls.predictions.bias",
}


@dataclass(frozen=True, slots=True)
class ReadEncoder:
    """An encoder that was read, and what of it was there.

    Attributes:
        superplm: The encoder as a SuperPLM of its own shape, in its own order, in eval mode.
        stored: Names of its parameters that were stored; the others start fresh.
        left_behind: Names of stored tensors of heads for tasks, which are not taken.
    """

    superplm: SuperPLM
    stored: frozenset[str]
    left_behind: tuple[str, ...] = ()

    @property
    def stored_count(self) -> int:
        """Number of the parameters that were stored, each counted once."""
        return sum(
            parameter.numel()
            for name, parameter in self.superplm.named_parameters()
            if name in self.stored
        )

    @property
    def fresh_count(self) -> int:
        """Number of the parameters that start fresh: those of a pooler that was missing."""
        return sum(p.numel() for p in self.superplm.parameters()) - self.stored_count


def read_encoder(folder: Path, *, dropout: float = 0.1, with_projection: bool = False) -> SuperPLM:
    """An encoder as a SuperPLM; see `read_parameters`."""
    return read_parameters(folder, dropout=dropout, with_projection=with_projection).superplm


def read_parameters(
    folder: Path, *, dropout: float = 0.1, with_projection: bool = False
) -> ReadEncoder:
    """Read an encoder.

    Its masked-LM head comes along where there is one; a pooler that is missing starts fresh.

    Args:
        folder: A folder with `config.json` and `model.safetensors`.
        dropout: Share of hidden states and attention weights set to zero in training.
        with_projection: Whether the map into a teacher's space comes along.

    Raises:
        BadFile: It is no BERT, or its weights are not safetensors.
    """
    given = EncoderConfig.read(folder)
    stored = _read_stored(folder)
    # the authors' SuperPLM does not tell its query width
    width = given.qkv_size or (len(stored[_QUERY]) if _QUERY in stored else None)
    projection = stored.get(_PROJECTION) if with_projection else None
    try:
        _check_shapes(given, width, stored, folder)
        config = TinyBertConfig(
            **given.sizes,
            qkv_size=width,
            projection_size=None if projection is None else len(projection),
            layer_norm_eps=given.layer_norm_epsilon,
            hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=dropout,
        )
        superplm = SuperPLM(config, with_mlm_head=f"{_HEAD}bias" in stored)
    except BadFile:
        raise
    except ValueError as error:
        raise BadFile(f"{folder / 'config.json'} describes no possible BERT: {error}") from error
    wanted = {name for name, _ in superplm.named_parameters()}
    _check_no_more(stored, wanted, superplm.architecture.layers, folder)
    taken = {name: stored[name] for name in wanted & set(stored)}
    _check_complete(
        {name: tuple(parameter.shape) for name, parameter in superplm.named_parameters()},
        stored,
        folder,
    )
    superplm.load_state_dict(taken, strict=False)
    left_behind = (name.removeprefix("bert.") for name in sorted(set(stored) - wanted))
    heads = tuple(name for name in left_behind if name.startswith(_TASK_HEADS))
    return ReadEncoder(superplm.eval(), frozenset(taken), heads)


def _check_shapes(
    given: EncoderConfig, width: int | None, stored: Mapping[str, Tensor], folder: Path
) -> None:
    """Refuse sizes that are not those of the weights, before memory is taken for them."""
    sizes = given.sizes
    layers = {layer_of(name) for name in stored} - {None}
    architecture = Architecture(
        min(sizes["num_hidden_layers"], len(layers) + 1),
        sizes["hidden_size"],
        sizes["num_attention_heads"],
        width or sizes["hidden_size"],
        sizes["intermediate_size"],
    )
    shapes = weights_shapes(
        architecture,
        vocabulary_size=sizes["vocab_size"],
        positions=sizes["max_position_embeddings"],
        token_types=sizes["type_vocab_size"],
    )
    _check_complete({f"bert.{name}": shape for name, shape in shapes.items()}, stored, folder)


def _check_complete(
    wanted: Mapping[str, tuple[int, ...]], stored: Mapping[str, Tensor], folder: Path
) -> None:
    """Refuse weights that lack a tensor, but for those of the pooler, or have another shape."""
    for name, shape in wanted.items():
        if name not in stored:
            if name.startswith("bert.pooler."):
                continue
            raise BadFile(f"{folder} lacks the tensor {name}: give an encoder with BERT's layout.")
        if tuple(stored[name].shape) != shape:
            raise BadFile(
                f"{folder}: config.json and {WEIGHTS} are of different shapes, {name} is "
                f"{tuple(stored[name].shape)} where {shape} is told: take both from their source "
                "again."
            )


def _check_no_more(
    stored: Mapping[str, Tensor], wanted: Set[str], layers: int, folder: Path
) -> None:
    """Refuse weights that take part in what the encoder computes and that BERT has no place for.

    Heads of tasks are left out, and so are layers above those that the configuration counts.
    """
    for name in sorted(set(stored) - wanted):
        layer = layer_of(name)
        is_encoder = name.startswith("bert.embeddings.") or (layer is not None and layer < layers)
        if is_encoder and not name.endswith(_BUFFERS):
            raise BadFile(
                f"{folder} has the tensor {name}, which BERT has no place for: give an encoder "
                "with BERT's layout."
            )


def _read_stored(folder: Path) -> dict[str, Tensor]:
    """The tensors under our names."""
    stored = {_renamed(name): tensor for name, tensor in _read_weights(folder).items()}
    for name, tensor in stored.items():
        if not tensor.is_floating_point() and not name.endswith(_BUFFERS):
            raise BadFile(
                f"{folder} stores {name} as {str(tensor.dtype).removeprefix('torch.')}: give the "
                "model as it was before it was quantised."
            )
    stored = {name: tensor.float() for name, tensor in stored.items()}
    decoder, words = stored.pop(_DECODER, None), stored.get(_WORDS)
    if decoder is not None and words is not None and not torch.equal(decoder, words):
        raise BadFile(
            f"{folder} has a masked-LM decoder of its own, where BERT's is the word table: it "
            "cannot be taken over."
        )
    return stored


def _read_weights(folder: Path) -> dict[str, Tensor]:
    """The tensors of a folder; several files hold those of a large model, and an index names them.

    Raises:
        BadFile: They are missing, damaged, or in a format that runs code.
    """
    index = folder / f"{WEIGHTS}.index.json"
    if (folder / WEIGHTS).is_file() or not (index.is_file() or (folder / _PICKLED).is_file()):
        return read_tensors(folder / WEIGHTS)
    if not index.is_file():
        raise BadFile(
            f"{folder} has its weights in {_PICKLED}, which runs code when it is read: "
            f"save them as {WEIGHTS} with the tool that made them, then try again."
        )
    files = read_json_object(index, "index of weights").get("weight_map")
    names = set(map(str, files.values())) if isinstance(files, dict) else {""}
    if any(Path(name).name != name for name in names):
        raise BadFile(f"{index} does not name files beside it: take it from its source again.")
    return {
        name: tensor
        for file in sorted(names)
        for name, tensor in read_tensors(folder / file).items()
    }


def _renamed(name: str) -> str:
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    for old, new in _RENAMED.items():
        if name.startswith(old) or name.endswith(old):
            name = name.replace(old, new)
    return name if name.startswith(_HEAD) else f"bert.{name}"
