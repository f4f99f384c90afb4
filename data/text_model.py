"""The text that a model reads, by its folder: the one place that reads configurations.

`EncoderConfig` is what its configuration says, and refuses by name what is no BERT; `TextModel`
is that with the tokenizer that the model was trained with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from atb.data.corpus import TokenShards, held_out
from atb.data.tokenizer import Vocabulary, read_json_object, shown, vocabulary_of
from atb.errors import BadFile, InputError

_CONFIGURATION, _SUPERPLM = "config.json", "superplm.json"
#: Families of transformers that compute what BERT does.
_FAMILIES = ("bert", "electra", "atb-tinybert")
_SUPPORTED = "BERT, TinyBERT, MiniLM, ELECTRA and AutoTinyBERT's checkpoints are supported"
_SIZES = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
    "type_vocab_size",
)
#: Settings with which an encoder of these families computes something else than BERT.
_USUAL_SETTINGS: dict[str, tuple[object, ...]] = {
    "hidden_act": ("gelu",),
    "position_embedding_type": ("absolute",),
    "is_decoder": (False,),
    "add_cross_attention": (False,),
    "use_task_id": (False,),
    "quantization_config": (None,),
}


@dataclass(frozen=True)
class EncoderConfig:
    """What a configuration says of an encoder that computes what BERT does.

    Attributes:
        family: Its `model_type`; "bert" where an old file names none.
        sizes: Whole numbers by transformers' names: `vocab_size` (rows of the word table),
            `hidden_size`, `num_hidden_layers`, `num_attention_heads`, `intermediate_size`,
            `max_position_embeddings`, `type_vocab_size`.
        qkv_size: Width of query, key and value, where it is told.
        layer_norm_epsilon: Added to the variance in LayerNorm.
    """

    family: str
    sizes: Mapping[str, int]
    qkv_size: int | None
    layer_norm_epsilon: float

    @classmethod
    def read(cls, folder: Path) -> EncoderConfig:
        """Read `config.json`.

        Raises:
            BadFile: It is missing, damaged, or describes an encoder that computes something else.
        """
        path = folder / _CONFIGURATION
        if not path.is_file():
            raise BadFile(f"There is no {path}: give a transformers folder of a BERT encoder.")
        given = read_json_object(path, "model's configuration")
        family = _family_of(given, folder)
        try:
            sizes = {name: _whole(name, given.get(name)) for name in _SIZES}
            width = given.get("qkv_size")
            epsilon = float(given.get("layer_norm_eps", 1e-12))
            qkv_size = None if width is None else _whole("qkv_size", width)
        except (TypeError, ValueError) as error:
            raise BadFile(
                f"{path} does not describe a BERT encoder ({error}): {_SUPPORTED}."
            ) from error
        _check_settings(given, sizes["hidden_size"], folder)
        return cls(family, sizes, qkv_size, epsilon)


def _whole(name: str, value: object) -> int:
    """A positive whole number."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} is {'missing' if value is None else shown(repr(value))}")
    return value


def _family_of(given: Mapping[str, Any], folder: Path) -> str:
    """The family that a configuration names, which computes what BERT does."""
    named = given.get("model_type")
    made_as = given.get("architectures") or [""]
    maker = str(made_as[0]) if isinstance(made_as, list) else ""
    if named is None:  # files of before 2020, and those of AutoTinyBERT's authors
        if not maker or maker.startswith(("Bert", "TinyBert", "TinyBERT", "Super")):
            return "bert"
        named = maker
    if named not in _FAMILIES:
        raise BadFile(
            f"{folder} has the model type {shown(named)}, which computes something else than BERT: "
            f"{_SUPPORTED}."
        )
    return str(named)


def _check_settings(given: Mapping[str, Any], hidden_size: int, folder: Path) -> None:
    """Refuse settings with which an encoder computes something else."""
    usual = _USUAL_SETTINGS | dict.fromkeys(("embedding_size", "emb_size"), (hidden_size, None))
    for name, values in usual.items():
        found = given.get(name, values[0])
        if found not in values:
            raise BadFile(
                f"{folder} is not laid out like BERT, its {name} is {shown(repr(found))}: give an "
                f"encoder with {name} {values[0]!r}; {_SUPPORTED}."
            )


@dataclass(frozen=True)
class TextModel:
    """What text a model reads, and how.

    Attributes:
        folder: The model's, as the user calls it.
        family: The `model_type` of its configuration, or "superplm".
        vocabulary: The words it was trained with, and how text is cut into them.
        rows: Rows of its word table; at least as many as the vocabulary has tokens, often more.
        positions: Tokens in the longest sequence that it reads.
        token_types: Kinds of sentences that it tells apart.
    """

    folder: Path
    family: str
    vocabulary: Vocabulary = field(repr=False)
    rows: int
    positions: int
    token_types: int

    @classmethod
    def read(cls, folder: Path) -> TextModel:
        """Read what a transformers folder or a SuperPLM's folder says.

        Raises:
            BadFile: Something is missing or damaged, the model is no BERT, or it comes without a
                tokenizer or with more tokens than it has rows for.
        """
        if (folder / _SUPERPLM).is_file():
            sizes: Mapping[str, Any] = read_json_object(folder / _SUPERPLM, "SuperPLM's card")
            family, told = "superplm", ("vocabulary_size", "positions", "token_types")
        else:
            config = EncoderConfig.read(folder)
            family, sizes = config.family, config.sizes
            told = ("vocab_size", "max_position_embeddings", "type_vocab_size")
        try:
            rows, positions, token_types = (_whole(name, sizes.get(name)) for name in told)
        except ValueError as error:
            raise BadFile(
                f"{folder / _SUPERPLM} is damaged ({error}): take the folder from its source again."
            ) from error
        vocabulary = vocabulary_of(folder)
        if len(vocabulary) > rows:
            raise BadFile(
                f"{folder} has {rows:,} rows in its word table and a vocabulary of "
                f"{len(vocabulary):,} tokens: put the tokenizer there that it was trained with."
            )
        return cls(folder, family, vocabulary, rows, positions, token_types)

    def check_text(self, text: TokenShards, source: Path) -> None:
        """Refuse text that was prepared for another model.

        Args:
            text: Token shards to be read.
            source: Folder of the shards, for the message.

        Raises:
            InputError: They were made with other words, or their sequences are too long.
        """
        if text.vocabulary_sha256 != self.vocabulary.sha256:
            raise InputError(
                f"{source} was prepared with another vocabulary than that of {self.folder}: "
                f"prepare it with --vocabulary {self.folder}."
            )
        if text.sequence_length > self.positions:
            raise InputError(
                f"{source} has sequences of {text.sequence_length} tokens and {self.folder} reads "
                f"{self.positions}: prepare it with --sequence-length {self.positions}."
            )

    def sample(self, limit: int | None = None) -> TokenShards:
        """The shipped English sample in this model's words, no longer than it reads.

        Args:
            limit: Take only this many sequences, spread evenly over the books.

        Raises:
            InputError: It has too few positions for any text.
        """
        return held_out(min(128, self.positions), limit, vocabulary=self.vocabulary)

    def save_tokenizer(self, folder: Path) -> None:
        """Write its tokenizer, to any reader of WordPiece.

        Raises:
            InputError: The folder cannot be written.
        """
        self.vocabulary.save(folder, positions=self.positions)
