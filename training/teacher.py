"""Targets of distillation: outputs of a frozen encoder, or of a larger slice."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from atb.data.tokenizer import find_vocabulary, vocabulary_of
from atb.errors import BadFile, InputError
from atb.models.superplm import BUNDLED, SuperPLM

# Vanishes in any softmax, and is far from overflow.
_PADDED = -1e9


@dataclass(frozen=True, slots=True)
class Batch:
    """Token numbers for one part of a training batch.

    Attributes:
        input_ids: [batch, length].
        attention_mask: [batch, length], 1 for tokens and 0 for padding.
        labels: [batch, length], the hidden words where some were masked and -100 elsewhere; None
            where nothing was masked.
        token_type_ids: [batch, length], which of two sentences a token is of; None for one.
        wanted: What a task wants of each sequence, [batch]: one tensor of classes or numbers, or
            two, of the first and the last token of an answer.
        rows: Numbers of the sequences in their source, [batch]; None where there is no source.
    """

    input_ids: Tensor
    attention_mask: Tensor
    labels: Tensor | None = None
    token_type_ids: Tensor | None = None
    wanted: tuple[Tensor, ...] = ()
    rows: npt.NDArray[np.int64] | None = None

    def to(self, device: torch.device) -> Batch:
        """The same there."""
        labels = None if self.labels is None else self.labels.to(device)
        types = None if self.token_type_ids is None else self.token_type_ids.to(device)
        return Batch(
            self.input_ids.to(device),
            self.attention_mask.to(device),
            labels,
            types,
            tuple(tensor.to(device) for tensor in self.wanted),
            self.rows,
        )

    @property
    def masked(self) -> Tensor:
        """Where words are hidden, bool [batch, length]."""
        assert self.labels is not None, "this objective needs masked batches"
        return self.labels >= 0


@dataclass(frozen=True)
class AttentionStates:
    """Queries, keys and values of a layer.

    Attributes:
        states: Each [batch, length, width].
        heads: Number of attention heads of the layer.
        attention_mask: [batch, length].
    """

    states: tuple[Tensor, Tensor, Tensor]
    heads: int
    attention_mask: Tensor

    @property
    def width(self) -> int:
        """Of each of queries, keys and values."""
        return int(self.states[0].shape[-1])

    @cached_property
    def logits(self) -> Tensor:
        """Scaled attention logits before the softmax, [batch, heads, length, length].

        Padded keys have zero: both sides of a distillation read the same there (AutoTinyBERT's
        code).
        """
        query, key = (self._split(states, self.heads) for states in self.states[:2])
        return self._scaled(query, key).masked_fill(self._padded_keys, 0.0)

    def relations(self, heads: int) -> Tensor:
        """Logits of how tokens relate by queries, keys and values (MiniLMv2, section 3.2).

        Args:
            heads: Relation heads, which need not be the layer's own but divide its width.

        Returns:
            [3, batch, heads, length, length], next to nothing in a softmax at padded keys.
        """
        split = [self._split(states, heads) for states in self.states]
        scaled = torch.stack([self._scaled(one, one) for one in split])
        return scaled.masked_fill(self._padded_keys, _PADDED)

    def detached(self) -> AttentionStates:
        """The same, to be learnt from."""
        query, key, value = (states.detach() for states in self.states)
        return replace(self, states=(query, key, value))

    @property
    def _padded_keys(self) -> Tensor:
        return self.attention_mask[:, None, None, :] == 0

    @staticmethod
    def _split(states: Tensor, heads: int) -> Tensor:
        batch, length, width = states.shape
        # [B, A, T, D]
        return states.float().view(batch, length, heads, width // heads).transpose(1, 2)

    @staticmethod
    def _scaled(left: Tensor, right: Tensor) -> Tensor:
        scaled: Tensor = left @ right.transpose(-1, -2) / left.shape[-1] ** 0.5
        return scaled


@dataclass(frozen=True, slots=True)
class DistillationTarget:
    """What sub-models learn to put out for one batch; None where it is not wanted.

    Attributes:
        hidden: Last hidden states in the space that slices project to, [batch, length, width].
        sentences: Their means over the tokens of each sequence, [batch, width].
        attention: Attention states of the last layer.
        vocabulary_logits: At the masked positions, [N, vocabulary].
        task_logits: Logits of a task's head; see `SuperPLM.task_logits`.
        weight: Share of the loss that is measured against this, from 0 to 1.
    """

    hidden: Tensor | None = None
    sentences: Tensor | None = None
    attention: AttentionStates | None = None
    vocabulary_logits: Tensor | None = None
    task_logits: tuple[Tensor, ...] = ()
    weight: float = 1.0


class Teacher:
    """A frozen encoder with BERT's module names: BERT, ELECTRA, TinyBert.

    Attributes:
        encoder: The encoder, in eval mode.
        head: Maps hidden states [N, hidden] to vocabulary logits [N, vocabulary]; None without one.
        whole: The model that both are parts of.
        vocabulary_sha256: Hash of its vocabulary; None where that is not known.
        name: By which it is found again: a bundled SuperPLM, a folder, or a name on the hub; None
            where it was made in memory.
    """

    def __init__(
        self,
        encoder: nn.Module,
        *,
        head: Callable[[Tensor], Tensor] | None = None,
        whole: nn.Module | None = None,
        vocabulary_sha256: str | None = None,
        name: str | None = None,
    ) -> None:
        """Freeze an encoder; where it has a sentence projection, that is part of its output."""
        self.whole = (whole or encoder).eval().requires_grad_(False)
        self.encoder: Any = encoder
        self._projection: nn.Module | None = getattr(encoder, "projection", None)
        self.head = head
        self.vocabulary_sha256 = vocabulary_sha256
        self.name = name

    @classmethod
    def of(cls, superplm: SuperPLM) -> Teacher:
        """A frozen copy of a whole SuperPLM, to teach its own slices."""
        name, digest = _name_of(superplm), vocabulary_sha256_of(superplm)
        if superplm.cls is None:
            encoder = superplm.extract(superplm.architecture)
            return cls(encoder, name=name, vocabulary_sha256=digest)
        model: Any = superplm.extract(superplm.architecture, "mlm").requires_grad_(False)
        table = model.bert.embeddings.word_embeddings.weight
        return cls(
            model.bert,
            head=lambda hidden: model.cls["predictions"](hidden, table),
            whole=model,
            name=name,
            vocabulary_sha256=digest,
        )

    @classmethod
    def load(cls, name: str, *, download: bool = True) -> Teacher:
        """A BERT or ELECTRA encoder from a transformers folder or the Hugging Face hub.

        Its masked-LM head comes along where there is one. Weights are read as safetensors only,
        and no code of the folder is executed.

        Args:
            name: A folder, or a name on the hub.
            download: Whether what is not on this machine may be fetched from the hub.

        Raises:
            InputError: There is no such encoder.
            BadFile: It is an encoder of another kind, or a folder without its tokenizer.
        """
        from safetensors import SafetensorError
        from transformers import AutoConfig, AutoModel, AutoModelForMaskedLM
        from transformers.utils import logging

        logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        here = {"trust_remote_code": False, "local_files_only": not download}
        reading = {"use_safetensors": True, **here}
        try:
            config = AutoConfig.from_pretrained(name, **here)
            with_head = any("MaskedLM" in kind for kind in config.architectures or ())
            kind: Any = AutoModelForMaskedLM if with_head else AutoModel
            model = kind.from_pretrained(name, **reading)
        except (OSError, ValueError, ImportError, SafetensorError) as error:
            lines = str(error).splitlines() or [type(error).__name__]
            raise InputError(
                f"Cannot load the teacher {name} ({lines[0]}): give a transformers folder with "
                "safetensors weights, or the name of one on the hub."
            ) from error
        encoder = model.base_model
        _check_names(encoder, name)
        head = getattr(model, "cls", None) if with_head else None
        folder = Path(name)
        # a model of the hub is known by its name alone
        digest = vocabulary_of(folder).sha256 if folder.is_dir() else None
        found = str(folder.resolve()) if folder.is_dir() else name
        return cls(encoder, head=head, whole=model, vocabulary_sha256=digest, name=found)

    @property
    def hidden_size(self) -> int:
        """Width of the hidden states that it puts out."""
        config = self.encoder.config
        width = config.hidden_size if self._projection is None else config.projection_size
        return int(width)

    @property
    def heads(self) -> int:
        """Attention heads of its last layer."""
        return int(self.encoder.config.num_attention_heads)

    @property
    def vocabulary_size(self) -> int:
        """Rows of its word table."""
        return int(self.encoder.config.vocab_size)

    @property
    def positions(self) -> int:
        """Longest sequence that it reads."""
        return int(self.encoder.config.max_position_embeddings)

    @property
    def has_head(self) -> bool:
        """Whether it tells vocabulary logits."""
        return self.head is not None

    @torch.no_grad()
    def sentences(self, batch: Batch) -> Tensor:
        """Its vectors of sentences, [batch, width]: see `DistillationTarget.sentences`."""
        hidden = self(batch).hidden
        assert hidden is not None
        return mean_pooled(hidden, batch.attention_mask)

    @torch.no_grad()
    def __call__(
        self, batch: Batch, *, attention: bool = False, vocabulary_logits: bool = False
    ) -> DistillationTarget:
        """Run it without gradients.

        Args:
            batch: Input of the encoder.
            attention: Whether the last layer's queries, keys and values are wanted.
            vocabulary_logits: Whether logits at the masked positions are wanted.
        """
        self.whole.to(batch.input_ids.device)
        with _recorded(self.encoder.encoder.layer[-1].attention.self) as seen:
            hidden = self.encoder(
                input_ids=batch.input_ids, attention_mask=batch.attention_mask
            ).last_hidden_state
        logits = None
        if vocabulary_logits:
            assert self.head is not None
            logits = self.head(hidden[batch.masked]).float()
        if self._projection is not None:
            hidden = self._projection(hidden)
        states = None
        if attention:
            states = AttentionStates(
                (seen["query"], seen["key"], seen["value"]), self.heads, batch.attention_mask
            )
        return DistillationTarget(hidden.float(), attention=states, vocabulary_logits=logits)


def mean_pooled(states: Tensor, attention_mask: Tensor) -> Tensor:
    """Mean over tokens but padding: [B, T, H] -> [B, H]."""
    weights = attention_mask[..., None].to(states.dtype)
    return (states * weights).sum(1) / weights.sum(1).clamp(min=1)


def vocabulary_sha256_of(superplm: SuperPLM) -> str | None:
    """Hash of a SuperPLM's vocabulary; None where nothing tells it, as of one made in memory."""
    if superplm.folder is None:
        return None
    words = find_vocabulary(superplm.folder)
    return None if words is None else words.sha256


def _name_of(superplm: SuperPLM) -> str | None:
    """By which a SuperPLM is found again."""
    folder = superplm.folder
    bundled = next((name for name, known in BUNDLED.items() if known == folder), None)
    return bundled or (None if folder is None else str(folder.resolve()))


def _check_names(encoder: Any, name: str) -> None:
    """Refuse what is not laid out like BERT."""
    try:
        last = encoder.encoder.layer[-1].attention.self
        assert all(hasattr(last, part) for part in ("query", "key", "value"))
    except (AttributeError, TypeError, IndexError, AssertionError) as error:
        kind = getattr(encoder.config, "model_type", type(encoder).__name__)
        raise BadFile(
            f"{name} is a {kind} model, which is not laid out like BERT: give a BERT or ELECTRA "
            "encoder as the teacher."
        ) from error


@contextlib.contextmanager
def _recorded(attention: Any) -> Iterator[dict[str, Tensor]]:
    """Record what the query, key and value layers of an attention module put out.

    The classes of transformers do not hand them out.
    """
    seen: dict[str, Tensor] = {}

    def record(name: str) -> Callable[[nn.Module, Any, Tensor], None]:
        return lambda _module, _inputs, output: seen.update({name: output})

    hooks = [
        getattr(attention, name).register_forward_hook(record(name))
        for name in ("query", "key", "value")
    ]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()
