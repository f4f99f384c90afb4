"""A model with the head of a task, and its tokenizer: loaded, run over rows, scored, saved."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from atb.data.tasks import Examples, Feature, Outputs, Task
from atb.errors import BadFile, InputError
from atb.models.superplm import BUNDLED, CARD, TinyBertPreTrainedModel, save_folder
from atb.training import fingerprint
from atb.training.finetuning.prediction import Inputs, outputs_of

_DROPOUTS = ("hidden_dropout_prob", "attention_probs_dropout_prob")


@dataclass(frozen=True, slots=True)
class TaskModel:
    """A model that does a task.

    Attributes:
        model: A transformers model with the task's head.
        tokenizer: The fast tokenizer that it was trained with.
        task: The task that the head is for.
    """

    model: Any
    tokenizer: Any
    task: Task

    @classmethod
    def fresh(cls, name: str, task: Task, *, dropout: float, seed: int) -> TaskModel:
        """A pre-trained encoder with a fresh head.

        Weights are read as safetensors only, and no code of the folder is executed.

        Args:
            name: A transformers folder, or a name on the hub.
            task: The task that the head is for.
            dropout: Share of hidden states and attention weights set to zero while training.
            seed: Determines the head.

        Raises:
            InputError: There is no such model.
        """
        from transformers import AutoConfig

        with _translate_loading_errors(name):
            config = AutoConfig.from_pretrained(name, trust_remote_code=False)
        for field in _DROPOUTS:
            if hasattr(config, field):
                setattr(config, field, dropout)
        if task.head == "classification":
            config.num_labels = task.outputs
            config.problem_type = "regression" if task.outputs == 1 else None
        torch.manual_seed(seed)
        return cls._load(name, task, config)

    @classmethod
    def load(cls, name: str, task: Task) -> TaskModel:
        """A model that was fine-tuned on the task.

        Raises:
            InputError: There is no such model.
            BadFile: It has no head, or one of another size.
        """
        from transformers import AutoConfig

        with _translate_loading_errors(name):
            config = AutoConfig.from_pretrained(name, trust_remote_code=False)
        kind = "ForQuestionAnswering" if task.head == "qa" else "ForSequenceClassification"
        made_as = config.architectures or ["an encoder"]
        fits = made_as[0].endswith(kind) and (
            task.head == "qa" or config.num_labels == task.outputs
        )
        if not fits:
            raise BadFile(
                f"{name} is {made_as[0]} and {task.name} wants a model {kind} with {task.outputs} "
                "outputs: fine-tune one with `atb model finetune`."
            )
        return cls._load(name, task, config)

    @classmethod
    def _load(cls, name: str, task: Task, config: Any) -> TaskModel:
        from transformers import (
            AutoModelForQuestionAnswering,
            AutoModelForSequenceClassification,
            AutoTokenizer,
        )

        kind: Any = (
            AutoModelForQuestionAnswering
            if task.head == "qa"
            else AutoModelForSequenceClassification
        )
        with _translate_loading_errors(name):
            model = kind.from_pretrained(
                name, config=config, use_safetensors=True, trust_remote_code=False
            )
            tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=False)
        if not tokenizer.is_fast or tokenizer.pad_token_id is None:
            raise InputError(
                f"The tokenizer of {name} is not a fast one with padding: choose a model with a "
                "tokenizer.json."
            )
        _check_words(model, tokenizer, name)
        if not _knows_token_types(model):
            kept = [name for name in tokenizer.model_input_names if name != "token_type_ids"]
            tokenizer.model_input_names = kept
        return cls(model, tokenizer, task)

    @property
    def pad(self) -> int:
        """Number of the padding token."""
        return int(self.tokenizer.pad_token_id)

    def encode(self, examples: Examples, sequence_length: int) -> list[Feature]:
        """What the model reads of some rows.

        Raises:
            InputError: The model has fewer positions.
        """
        positions = _positions(self.model)
        if positions is not None and sequence_length > positions:
            raise InputError(
                f"A sequence length of {sequence_length} is more than the model's {positions} "
                "positions: give --sequence-length."
            )
        return self.task.encode(examples, self.tokenizer, sequence_length)

    def run(
        self,
        features: Sequence[Feature],
        progress: Callable[[int, int], None] | None = None,
    ) -> Outputs:
        """Logits for all features, in eval mode; training mode is restored."""
        was_training = self.model.training
        self.model.eval()
        try:
            return outputs_of(self._logits, features, self.pad, progress=progress)
        finally:
            self.model.train(was_training)

    def evaluate(self, examples: Examples, sequence_length: int) -> dict[str, float]:
        """The task's scores on some rows."""
        features = self.encode(examples, sequence_length)
        return self.task.score(examples, features, self.run(features))

    def fingerprint(self) -> str:
        """Hash over all weights."""
        return fingerprint(self.model)

    def save(self, folder: Path) -> None:
        """Write a transformers folder."""
        # how rows were cut here is nothing that the tokenizer should do elsewhere
        self.tokenizer.backend_tokenizer.no_truncation()
        if isinstance(self.model, TinyBertPreTrainedModel):
            save_folder(self.model, self.tokenizer, folder)
            return
        self.model.save_pretrained(folder, safe_serialization=True)
        self.tokenizer.save_pretrained(folder)

    def _logits(self, batch: Inputs) -> Sequence[Tensor]:
        device = self.model.device
        inputs = {
            name: tensor.to(device) for name, tensor in batch.items() if name in _MODEL_INPUTS
        }
        found = self.model(**inputs)
        if self.task.head == "qa":
            return found.start_logits, found.end_logits
        return (found.logits,)


def _check_words(model: Any, tokenizer: Any, name: str) -> None:
    """Refuse a model that came without its words; transformers makes a tokenizer of none.

    Raises:
        BadFile: The tokenizer knows special tokens only, or more tokens than the model has rows.
    """
    numbers = tokenizer.get_vocab()
    if not set(numbers) - set(tokenizer.all_special_tokens):
        raise BadFile(
            f"{name} holds no tokenizer: put the files of the tokenizer there that its model was "
            "trained with."
        )
    rows = model.get_input_embeddings().num_embeddings
    if max(numbers.values()) >= rows:
        raise BadFile(
            f"{name} has {rows:,} rows in its word table and a vocabulary of "
            f"{max(numbers.values()) + 1:,} tokens: put the tokenizer there that it was trained "
            "with."
        )


def _knows_token_types(model: Any) -> bool:
    """Whether a model tells the two texts of a pair apart by an embedding (RoBERTa has but one)."""
    takes = "token_type_ids" in inspect.signature(model.forward).parameters
    known = getattr(model.config, "type_vocab_size", None)
    return takes and (known is None or known > 1)


def _positions(model: Any) -> int | None:
    """Most tokens that a model has positions for; None where it has no such limit."""
    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, torch.nn.Embedding):
            # RoBERTa and its kin count positions from behind the padding's on
            first = 0 if module.padding_idx is None else module.padding_idx + 1
            return module.num_embeddings - first
    known = getattr(model.config, "max_position_embeddings", None)
    return known if known is None or known > 0 else None  # XLNet says -1


_MODEL_INPUTS = ("input_ids", "token_type_ids", "attention_mask")


@contextmanager
def _translate_loading_errors(name: str) -> Iterator[None]:
    """Turn what loading can raise into a sentence, and keep transformers from talking meanwhile."""
    from safetensors import SafetensorError
    from transformers.utils import logging

    folder = BUNDLED.get(name, Path(name))
    if (folder / CARD).is_file():
        raise InputError(
            f"{name} is a SuperPLM and not a model: cut one out of it with `atb model extract`."
        )
    if not folder.is_dir() and (folder.is_absolute() or name.startswith(".")):
        raise InputError(f"There is no folder {name}: check the path.")
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    except (OSError, ValueError, ImportError, RuntimeError, SafetensorError) as error:
        lines = str(error).splitlines() or [type(error).__name__]
        raise InputError(
            f"Cannot load the model {name} ({lines[0]}): give a transformers folder with "
            "safetensors weights, or the name of one on the hub."
        ) from error
