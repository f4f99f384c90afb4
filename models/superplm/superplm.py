"""The SuperPLM: one set of weights that holds every architecture as a slice.

A slice runs by handing views of the shared parameters to an empty TinyBert of the small shape, so
what runs in training is the very module that `extract` returns.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from atb.errors import BadFile, InputError
from atb.models import Architecture
from atb.models.superplm.card import (
    WEIGHTS,
    Card,
    read_card,
    read_tensors,
    write_card,
    write_tensors,
)
from atb.models.superplm.modeling_tinybert import (
    TinyBertConfig,
    TinyBertForMaskedLM,
    TinyBertForQuestionAnswering,
    TinyBertForSequenceClassification,
    TinyBertModel,
    TinyBertOutput,
    TinyBertPredictions,
    TinyBertPreTrainedModel,
)
from atb.models.superplm.skeletons import shared_of, skeleton
from atb.models.superplm.slicing import (
    SliceLayers,
    architecture_of,
    config_of,
    layers_of_slice,
    name_in_slice,
    slice_parameter,
)

_ENCODER = "bert."
_PROJECTION = "bert.projection."
_PREDICTIONS = "cls.predictions."
_CLASSES: dict[str | None, type[TinyBertPreTrainedModel]] = {
    None: TinyBertModel,
    "mlm": TinyBertForMaskedLM,
    "classification": TinyBertForSequenceClassification,
    "qa": TinyBertForQuestionAnswering,
}
# Names of the heads of tasks, those of the stand-alone models.
_TASK_HEADS = {"classification": "classifier", "qa": "qa_outputs"}
_WORDS = "bert.embeddings.word_embeddings.weight"


class SuperPLM(nn.Module):
    """A TinyBert of the largest shape whose slices are the architectures of a search space.

    Attributes:
        config: Configuration of the whole.
        bert: Embeddings, encoder, pooler, and a projection into a teacher's space if there is one.
        cls: The masked-LM head, or None.
        task_head: Kind and outputs of the head for a task, or None.
        slice_layers: Which layers slices of fewer layers take.
        folder: Where it was read from, or written at the end of its training; None before that.
    """

    folder: Path | None = None

    def __init__(
        self,
        config: TinyBertConfig,
        *,
        with_mlm_head: bool = False,
        task_head: tuple[str, int] | None = None,
        slice_layers: SliceLayers = "bottom",
    ) -> None:
        super().__init__()
        self.config = config
        self.slice_layers = slice_layers
        self.bert = TinyBertModel(config)
        self.cls: nn.ModuleDict | None = None
        if with_mlm_head:
            self.cls = nn.ModuleDict({"predictions": TinyBertPredictions(config)})
            self.cls.apply(self.bert._init_weights)
        self.task_head = task_head
        if task_head is not None:
            head = nn.Linear(config.hidden_size, task_head[1])
            self.bert._init_weights(head)
            setattr(self, _TASK_HEADS[task_head[0]], head)

    @classmethod
    def of_card(cls, card: Card) -> SuperPLM:
        """One of the shape that a card describes, with fresh weights."""
        made = cls(
            card.config,
            with_mlm_head=card.with_mlm_head,
            task_head=card.task_head,
            slice_layers=card.slice_layers,
        )
        made.folder = card.folder
        return made

    def with_task_head(
        self, kind: Literal["classification", "qa"], outputs: int, *, dropout: float
    ) -> SuperPLM:
        """A copy for a task: with a fresh head from N(0, 0.02), without the masked-LM head.

        Args:
            kind: A classifier of the pooled first token, or "qa", a head on each token.
            outputs: Numbers that the head puts out.
            dropout: Share of hidden states and attention weights set to zero while training.
        """
        changes = {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
        config = config_of(self.architecture, self.config, **changes)
        copied = SuperPLM(config, task_head=(kind, outputs), slice_layers=self.slice_layers)
        copied.bert.load_state_dict(self.bert.state_dict())
        return copied

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
        slice_layers: SliceLayers = "bottom",
    ) -> SuperPLM:
        """A SuperPLM of this largest shape with fresh weights from N(0, 0.02).

        Args:
            architecture: The largest shape.
            vocabulary_size: Rows of the word table.
            positions: Tokens in the longest sequence.
            with_mlm_head: Whether it has a masked-LM head, tied to the word table.
            projection_size: Hidden size of the teacher, for a projection into its space.
            dropout: Share of hidden states and attention weights set to zero while training.
            slice_layers: Which layers slices of fewer layers take.
        """
        config = config_of(
            architecture,
            vocab_size=vocabulary_size,
            max_position_embeddings=positions,
            projection_size=projection_size,
            hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=dropout,
        )
        return cls(config, with_mlm_head=with_mlm_head, slice_layers=slice_layers)

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
        """Parameters of a slice whose names start with a prefix, as views that gradients pass.

        The names are the slice's own: its layers are counted from 0.
        """
        taken = layers_of_slice(self.slice_layers, self.architecture.layers, architecture.layers)
        return {
            own_name: self._slice(name, parameter, architecture)
            for name, parameter in self.named_parameters()
            if name.startswith(prefix) and (own_name := name_in_slice(name, taken)) is not None
        }

    def parameter_count(self, architecture: Architecture) -> int:
        """Number of parameters of a slice, its heads included."""
        return sum(tensor.numel() for tensor in self.sliced(architecture).values())

    def _slice(self, name: str, parameter: Tensor, architecture: Architecture) -> Tensor:
        return slice_parameter(name, parameter, self.architecture, architecture)

    def forward(
        self,
        architecture: Architecture,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        *,
        attention_states: bool = False,
    ) -> TinyBertOutput:
        """Run a slice.

        Args:
            architecture: Shape of the slice.
            input_ids: Numbers of tokens, [batch, length].
            attention_mask: 1 for tokens and 0 for padding, [batch, length]; all ones if None.
            token_type_ids: Segment of each token, [batch, length]; zeros if None.
            attention_states: Whether to return the last layer's queries, keys and values.

        Raises:
            InputError: The architecture is larger than the SuperPLM.
        """
        self.check(architecture)
        empty = skeleton(TinyBertModel, architecture, shared_of(self.config)).train(self.training)
        output: TinyBertOutput = functional_call(
            empty,
            {
                name.removeprefix(_ENCODER): tensor
                for name, tensor in self.sliced(architecture, _ENCODER).items()
                if not name.startswith(_PROJECTION)
            },
            (input_ids,),
            # by name: the reference swapped these two by position
            {
                "attention_mask": attention_mask,
                "token_type_ids": token_type_ids,
                "output_attention_states": attention_states,
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
                "encoder, or use the masked-LM objective."
            )
        layer = self.sliced(architecture, _PROJECTION)
        return functional.linear(hidden, layer[_PROJECTION + "weight"], layer[_PROJECTION + "bias"])

    def mlm_logits(self, architecture: Architecture, hidden: Tensor, positions: Tensor) -> Tensor:
        """Vocabulary logits at some positions only.

        Args:
            architecture: Shape of the slice.
            hidden: Its last hidden states, [batch, length, hidden].
            positions: bool [batch, length], N of them true.

        Returns:
            [N, vocabulary].

        Raises:
            InputError: This SuperPLM has no masked-LM head.
        """
        self.check_mlm_head()
        table = self._slice(_WORDS, self.get_parameter(_WORDS), architecture)
        head = self.sliced(architecture, _PREDICTIONS)
        logits: Tensor = functional_call(
            skeleton(TinyBertPredictions, architecture, shared_of(self.config)),
            {name.removeprefix(_PREDICTIONS): tensor for name, tensor in head.items()},
            (hidden[positions], table),
        )
        return logits

    def task_logits(self, architecture: Architecture, output: TinyBertOutput) -> tuple[Tensor, ...]:
        """Logits of the task's head over a slice's output.

        Returns:
            [batch, outputs] of a classifier; for questions start and end, each [batch, length].

        Raises:
            InputError: This SuperPLM has no head for a task.
        """
        if self.task_head is None:
            raise InputError(
                "This SuperPLM has no task's head: make it with `atb superplm finetune`."
            )
        kind = self.task_head[0]
        weight, bias = self.sliced(architecture, _TASK_HEADS[kind]).values()
        states = output.last_hidden_state if kind == "qa" else output.pooler_output
        assert states is not None
        if kind == "classification":
            states = functional.dropout(states, self.config.hidden_dropout_prob, self.training)
        logits = functional.linear(states, weight, bias)
        return logits.unbind(-1) if kind == "qa" else (logits,)

    def check_mlm_head(self) -> None:
        """Refuse a SuperPLM without a masked-LM head by an InputError."""
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
            architecture: Shape of the slice.
            head: None for the encoder alone; "mlm" takes the head along, "classification" and "qa"
                take it along where this SuperPLM has it, and start a fresh one otherwise.
            **changes: Fields of the configuration, such as `num_labels=3`.

        Raises:
            InputError: The architecture is too large, or there is no such head.
        """
        self.check(architecture)
        if head not in _CLASSES:
            raise InputError(f"There is no head {head!r}: choose mlm, classification, qa or none.")
        if head == "mlm":
            self.check_mlm_head()
        takes_head = head is not None and (self.task_head or ("",))[0] == head
        if self.task_head is not None and takes_head:
            changes["num_labels"] = self.task_head[1]
        model = _CLASSES[head](config_of(architecture, self.config, **changes))
        weights = self.sliced(architecture, "" if head == "mlm" or takes_head else _ENCODER)
        prefix = _ENCODER if head is None else ""
        tensors = {name.removeprefix(prefix): tensor.detach() for name, tensor in weights.items()}
        names = model.load_state_dict(tensors, strict=False)  # heads of tasks may start fresh
        assert not names.unexpected_keys, names.unexpected_keys
        model.eval()  # type: ignore[no-untyped-call, unused-ignore]
        return model

    def save(self, folder: Path, **facts: Any) -> None:
        """Write weights (safetensors) and a card, with further JSON-able facts, into a folder."""
        tensors = {name: tensor.detach() for name, tensor in self.named_parameters()}
        write_tensors(tensors, folder / WEIGHTS)
        self.write_card(folder, storage="float32", **facts)

    def write_card(self, folder: Path, *, storage: str, **facts: Any) -> None:
        """Write the card alone, for weights that are stored in some way."""
        write_card(
            folder,
            self.config,
            with_mlm_head=self.cls is not None,
            task_head=self.task_head,
            slice_layers=self.slice_layers,
            storage=storage,
            **facts,
        )

    @classmethod
    def load(cls, folder: Path) -> SuperPLM:
        """Read what `save` wrote, in eval mode.

        Raises:
            BadFile: Something is missing, truncated, foreign or of another format.
        """
        card = read_card(folder)
        if card.storage != "float32":
            raise BadFile(
                f"{folder} is a packed SuperPLM ({card.storage}): load it with load_superplm."
            )
        return cls.of_card(card).fill(read_tensors(folder / WEIGHTS), folder).eval()

    def fill(self, tensors: dict[str, Tensor], source: Path) -> SuperPLM:
        """Take all weights by name, and return itself.

        Raises:
            BadFile: They are not those of this shape; the message names their `source`.
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
        return self
