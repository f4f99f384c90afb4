"""The SuperPLM: one set of weights that holds every architecture as a slice.

The slicing rule stands in `_AXES` and `SuperPLM.sliced` and nowhere else. A slice runs by handing
views of the shared parameters to an empty TinyBert of the small shape, so what runs in training is
the very module that `extract` returns.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.func import functional_call

from atb.errors import BadFile, InputError
from atb.files import atomic_path, read_document, write_document
from atb.models.architecture import Architecture
from atb.models.modeling_tinybert import (
    TinyBertConfig,
    TinyBertForMaskedLM,
    TinyBertForQuestionAnswering,
    TinyBertForSequenceClassification,
    TinyBertModel,
    TinyBertOutput,
    TinyBertPredictions,
    TinyBertPreTrainedModel,
)

__all__ = [
    "CARD",
    "WEIGHTS",
    "SuperPLM",
    "architecture_of",
    "attention_index_set",
    "axes_of",
    "config_of",
]

CARD = "superplm.json"
WEIGHTS = "model.safetensors"
KIND = "superplm"
# Format 1: float32 tensors, or int8 rows with scales (`atb.models.embedded`).
FORMAT = 1

# What the axes of each parameter are, by the end of its name; the first match counts.
# "all" is never cut: vocabulary, positions, token types, the projection's outputs.
_AXES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("embeddings.weight", ("all", "hidden")),
    ("LayerNorm.weight", ("hidden",)),
    ("LayerNorm.bias", ("hidden",)),
    ("self.query.weight", ("attention", "hidden")),
    ("self.query.bias", ("attention",)),
    ("self.key.weight", ("attention", "hidden")),
    ("self.key.bias", ("attention",)),
    ("self.value.weight", ("attention", "hidden")),
    ("self.value.bias", ("attention",)),
    ("attention.output.dense.weight", ("hidden", "attention")),
    ("intermediate.dense.weight", ("feed_forward", "hidden")),
    ("intermediate.dense.bias", ("feed_forward",)),
    ("pooler.dense.weight", ("hidden", "hidden")),
    ("transform.dense.weight", ("hidden", "hidden")),
    ("output.dense.weight", ("hidden", "feed_forward")),
    ("dense.bias", ("hidden",)),
    ("projection.weight", ("all", "hidden")),
    ("projection.bias", ("all",)),
    ("predictions.bias", ("all",)),
)

_LAYER = "bert.encoder.layer."


def axes_of(name: str) -> tuple[str, ...]:
    """What the axes of a parameter are: hidden, attention, feed_forward, or all (never cut)."""
    for ending, axes in _AXES:
        if name.endswith(ending):
            return axes
    raise AssertionError(f"no slicing rule for the parameter {name}")


def attention_index_set(
    super_architecture: Architecture, architecture: Architecture
) -> npt.NDArray[np.int64]:
    """Rows of query, key and value (columns of the attention output) that a slice uses.

    The first A heads of the SuperPLM, of each the first Q/A dimensions (AutoTinyBERT's whole
    heads and its head sub-matrix extraction are both cases of it).

    Returns:
        int64 array [Q], ascending.
    """
    starts = np.arange(architecture.heads) * super_architecture.head_size
    return (starts[:, None] + np.arange(architecture.head_size)).reshape(-1)


def config_of(
    architecture: Architecture, base: TinyBertConfig | None = None, **changes: Any
) -> TinyBertConfig:
    """The configuration of a TinyBert of this shape; all else as in `base`."""
    config: TinyBertConfig = copy.deepcopy(base) if base is not None else TinyBertConfig()
    config.num_hidden_layers = architecture.layers
    config.hidden_size = architecture.hidden
    config.num_attention_heads = architecture.heads
    config.qkv_size = architecture.qkv
    config.intermediate_size = architecture.feed_forward
    for name, value in changes.items():
        setattr(config, name, value)
    return config


def architecture_of(config: TinyBertConfig) -> Architecture:
    """The shape that a configuration describes."""
    return Architecture(
        config.num_hidden_layers,
        config.hidden_size,
        config.num_attention_heads,
        config.qkv_size,
        config.intermediate_size,
    )


class SuperPLM(nn.Module):
    """A TinyBert of the largest shape whose slices are the architectures of a search space.

    Attributes:
        config: Configuration of the whole.
        bert: Embeddings, encoder, pooler, and the projection into a teacher's space if there is one.
        cls: The masked-LM head, or None.
    """

    def __init__(self, config: TinyBertConfig, *, with_mlm_head: bool = False) -> None:
        super().__init__()
        self.config = config
        self.bert = TinyBertModel(config)
        self.cls: nn.ModuleDict | None = None
        if with_mlm_head:
            self.cls = nn.ModuleDict({"predictions": TinyBertPredictions(config)})
            self.cls.apply(self.bert._init_weights)

    @classmethod
    def from_architecture(
        cls,
        architecture: Architecture,
        *,
        vocabulary_size: int = 30_522,
        positions: int = 512,
        with_mlm_head: bool = False,
        projection_size: int | None = None,
        dropout: float = 0.1,
    ) -> SuperPLM:
        """A SuperPLM of this largest shape with fresh weights from N(0, 0.02).

        Args:
            architecture: The largest shape.
            vocabulary_size: Rows of the word table.
            positions: Longest sequence.
            with_mlm_head: Whether it has a masked-LM head, tied to the word table.
            projection_size: Hidden size of the teacher, for a projection into its space.
            dropout: Of hidden states and attention weights while training.
        """
        config = config_of(
            architecture,
            vocab_size=vocabulary_size,
            max_position_embeddings=positions,
            projection_size=projection_size,
            hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=dropout,
        )
        return cls(config, with_mlm_head=with_mlm_head)

    @property
    def architecture(self) -> Architecture:
        """The largest shape."""
        return architecture_of(self.config)

    def holds(self, architecture: Architecture) -> bool:
        """Whether the architecture is a slice of this SuperPLM."""
        return architecture.fits(self.architecture)

    def check(self, architecture: Architecture) -> None:
        """Refuse what is no slice.

        Raises:
            InputError: The architecture is larger than the SuperPLM.
        """
        if not self.holds(architecture):
            raise InputError(
                f"{architecture} does not fit into the SuperPLM, which is {self.architecture} "
                f"(heads of {self.architecture.head_size}): choose nothing larger in any number."
            )

    def sliced(self, architecture: Architecture, prefix: str = "") -> dict[str, Tensor]:
        """Parameters of a slice, by name, as differentiable views of the shared ones.

        Args:
            architecture: The slice.
            prefix: Only the parameters whose names start so.
        """
        return {
            name: self._slice(name, parameter, architecture)
            for name, parameter in self._kept(architecture)
            if name.startswith(prefix)
        }

    def _kept(self, architecture: Architecture) -> Iterator[tuple[str, Tensor]]:
        for name, parameter in self.named_parameters():
            if name.startswith(_LAYER):
                layer = int(name.removeprefix(_LAYER).partition(".")[0])
                if layer >= architecture.layers:  # the bottom layers stay
                    continue
            yield name, parameter

    def _slice(self, name: str, parameter: Tensor, architecture: Architecture) -> Tensor:
        whole = self.architecture
        lengths = {"hidden": architecture.hidden, "feed_forward": architecture.feed_forward}
        for dimension, axis in enumerate(axes_of(name)):
            if axis in lengths:
                parameter = parameter.narrow(dimension, 0, lengths[axis])
            elif axis == "attention" and architecture.head_size == whole.head_size:
                parameter = parameter.narrow(dimension, 0, architecture.qkv)
            elif (
                axis == "attention"
            ):  # [.., A * D, ..] -> [.., A, D, ..] -> cut both -> [.., Q, ..]
                parameter = (
                    parameter.unflatten(dimension, (whole.heads, whole.head_size))
                    .narrow(dimension, 0, architecture.heads)
                    .narrow(dimension + 1, 0, architecture.head_size)
                    .flatten(dimension, dimension + 1)
                )
        return parameter

    def forward(
        self,
        architecture: Architecture,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        *,
        attention_logits: bool = False,
    ) -> TinyBertOutput:
        """Run a slice.

        Args:
            architecture: The slice.
            input_ids: [batch, length].
            attention_mask: [batch, length], 1 for tokens and 0 for padding.
            token_type_ids: [batch, length].
            attention_logits: Whether to return the last layer's scaled logits before the softmax.

        Raises:
            InputError: The architecture is larger than the SuperPLM.
        """
        self.check(architecture)
        skeleton = _skeleton(architecture, *_frozen(self.config)).train(self.training)
        encoder = self.sliced(architecture, "bert.e") | self.sliced(architecture, "bert.pooler.")
        output: TinyBertOutput = functional_call(
            skeleton,
            {name.removeprefix("bert."): tensor for name, tensor in encoder.items()},
            (input_ids,),
            # by name: the reference swapped these two by position
            {
                "attention_mask": attention_mask,
                "token_type_ids": token_type_ids,
                "output_attention_logits": attention_logits,
            },
        )
        return output

    def hidden_states(
        self,
        architecture: Architecture,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
    ) -> Tensor:
        """Last hidden states of a slice, [batch, length, hidden of the slice]."""
        hidden = self(architecture, input_ids, attention_mask, token_type_ids).last_hidden_state
        assert isinstance(hidden, Tensor)
        return hidden

    def projected(self, architecture: Architecture, hidden: Tensor) -> Tensor:
        """A slice's hidden states in the teacher's space, [..., projection size].

        Raises:
            InputError: This SuperPLM has no projection.
        """
        if self.config.projection_size is None:
            raise InputError(
                "This SuperPLM has no projection into a teacher's space: initialise it from an "
                "encoder, or train it with the masked-LM objective."
            )
        layer = self.bert.projection
        weight = self._slice("bert.projection.weight", layer.weight, architecture)
        return nn.functional.linear(hidden, weight, layer.bias)

    def mlm_logits(self, architecture: Architecture, hidden: Tensor, positions: Tensor) -> Tensor:
        """Vocabulary logits at some positions only.

        Args:
            architecture: The slice.
            hidden: Its last hidden states, [batch, length, hidden].
            positions: bool [batch, length], N of them true.

        Returns:
            [N, vocabulary].

        Raises:
            InputError: This SuperPLM has no masked-LM head.
        """
        self._check_mlm_head()
        head = _head_skeleton(architecture, *_frozen(self.config))
        prefix = "cls.predictions."
        parameters = self.sliced(architecture, prefix)
        words = self.bert.embeddings.word_embeddings.weight
        table = self._slice("bert.embeddings.word_embeddings.weight", words, architecture)
        logits: Tensor = functional_call(
            head,
            {name.removeprefix(prefix): tensor for name, tensor in parameters.items()},
            (hidden[positions], table),
        )
        return logits

    def _check_mlm_head(self) -> None:
        if self.cls is None:
            raise InputError(
                "This SuperPLM has no masked-LM head: use distillation, or make it with one."
            )

    def extract(
        self,
        architecture: Architecture,
        head: Literal["mlm", "classification", "qa"] | None = None,
        **changes: Any,
    ) -> TinyBertPreTrainedModel:
        """A stand-alone model with a copy of a slice's weights, in eval mode.

        Args:
            architecture: The slice.
            head: None for the encoder alone; "mlm" takes the head along; "classification" and
                "qa" start fresh heads.
            **changes: Of the configuration, such as `num_labels=3`.

        Raises:
            InputError: The architecture is too large, or there is no such head.
        """
        self.check(architecture)
        classes: dict[str | None, type[TinyBertPreTrainedModel]] = {
            None: TinyBertModel,
            "mlm": TinyBertForMaskedLM,
            "classification": TinyBertForSequenceClassification,
            "qa": TinyBertForQuestionAnswering,
        }
        if head not in classes:
            raise InputError(f"There is no head {head!r}: choose mlm, classification, qa or none.")
        if head == "mlm":
            self._check_mlm_head()
        model = classes[head](config_of(architecture, self.config, **changes))
        prefix = "bert." if head is None else ""
        with torch.no_grad():
            weights = {
                name.removeprefix(prefix): tensor
                for name, tensor in self.sliced(
                    architecture, "" if head == "mlm" else "bert."
                ).items()
            }
            unexpected = model.load_state_dict(weights, strict=False).unexpected_keys
        assert not unexpected, unexpected
        return model.eval()

    def save(self, folder: Path, **card: Any) -> None:
        """Write weights (safetensors) and a card into a folder.

        Args:
            folder: Where to; made if missing.
            **card: Further JSON-able facts for the card.
        """
        from safetensors.torch import save_file  # noqa: PLC0415

        tensors = {name: tensor.detach().contiguous() for name, tensor in self.named_parameters()}
        with atomic_path(folder / WEIGHTS) as temporary:
            save_file(tensors, temporary, metadata={"format": "pt"})
        write_card(self, folder, storage="float32", **card)

    @classmethod
    def load(cls, folder: Path) -> SuperPLM:
        """Read what `save` wrote, in eval mode.

        Raises:
            BadFile: Something is missing, truncated, foreign or of another format.
        """
        superplm, storage = from_card(folder)
        if storage != "float32":
            raise BadFile(f"{folder} is a packed SuperPLM ({storage}): load it with load_superplm.")
        superplm.fill(read_tensors(folder / WEIGHTS), folder)
        return superplm.eval()

    def fill(self, tensors: dict[str, Tensor], source: Path) -> None:
        """Take weights by name.

        Raises:
            BadFile: They are not those of this shape.
        """
        wanted = {name: tuple(parameter.shape) for name, parameter in self.named_parameters()}
        found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
        if wanted != found:
            name = min(name for name in wanted | found if wanted.get(name) != found.get(name))
            raise BadFile(
                f"{source}: the tensor {name} is {found.get(name, 'missing')} where the card asks "
                f"for {wanted.get(name, 'none')}: weights and card are not of one SuperPLM."
            )
        self.load_state_dict(tensors)


def write_card(superplm: SuperPLM, folder: Path, *, storage: str, **card: Any) -> None:
    """Write the JSON card that says what the weights beside it are."""
    config = superplm.config
    content = {
        "architecture": str(superplm.architecture),
        "storage": storage,
        "vocabulary_size": config.vocab_size,
        "positions": config.max_position_embeddings,
        "projection_size": config.projection_size,
        "with_mlm_head": superplm.cls is not None,
        "dropout": config.hidden_dropout_prob,
    }
    write_document(folder / CARD, {**content, **card}, kind=KIND, format=FORMAT)


def from_card(folder: Path) -> tuple[SuperPLM, str]:
    """An unfilled SuperPLM as a folder's card describes it, and how its weights are stored.

    Raises:
        BadFile: The card is missing, foreign, or lacks something.
    """
    card = read_document(folder / CARD, kind=KIND, format=FORMAT)
    try:
        superplm = SuperPLM.from_architecture(
            Architecture.parse(card["architecture"]),
            vocabulary_size=int(card["vocabulary_size"]),
            positions=int(card["positions"]),
            with_mlm_head=bool(card["with_mlm_head"]),
            projection_size=card["projection_size"],
            dropout=float(card["dropout"]),
        )
        return superplm, str(card["storage"])
    except (KeyError, TypeError, ValueError) as error:
        raise BadFile(
            f"{folder / CARD} lacks or garbles {error}: take the folder from its source again."
        ) from error


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file.

    Raises:
        BadFile: It is missing, truncated or foreign.
    """
    from safetensors import SafetensorError  # noqa: PLC0415
    from safetensors.torch import load_file  # noqa: PLC0415

    try:
        tensors: dict[str, Tensor] = load_file(path)
    except (OSError, SafetensorError) as error:
        raise BadFile(
            f"{path} is not a readable safetensors file ({error}): it may be missing or truncated; "
            "take it from its source again."
        ) from error
    return tensors


def _frozen(config: TinyBertConfig) -> tuple[int, int, float, float]:
    return (
        config.vocab_size,
        config.max_position_embeddings,
        config.hidden_dropout_prob,
        config.attention_probs_dropout_prob,
    )


def _skeleton_config(
    architecture: Architecture,
    vocabulary_size: int,
    positions: int,
    hidden: float,
    attention: float,
) -> TinyBertConfig:
    return config_of(
        architecture,
        vocab_size=vocabulary_size,
        max_position_embeddings=positions,
        hidden_dropout_prob=hidden,
        attention_probs_dropout_prob=attention,
    )


@functools.lru_cache(maxsize=256)
def _skeleton(architecture: Architecture, *facts: Any) -> TinyBertModel:
    """A TinyBert without weights; on the meta device, so that it costs no memory."""
    with torch.device("meta"):
        return TinyBertModel(_skeleton_config(architecture, *facts))


@functools.lru_cache(maxsize=256)
def _head_skeleton(architecture: Architecture, *facts: Any) -> TinyBertPredictions:
    with torch.device("meta"):
        return TinyBertPredictions(_skeleton_config(architecture, *facts))
