"""The tokenizer: WordPiece over the shipped vocabulary or a user's own."""

from __future__ import annotations

import hashlib
import json
from dataclasses import astuple, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import WordPiece

from atb.errors import InputError
from atb.files import atomic_path, prepare_output

#: BERT's English uncased vocabulary, 30,522 tokens.
SHIPPED_VOCABULARY = Path(__file__).parents[1] / "vocabulary" / "bert-base-uncased-vocab.txt"
# BERT's positions, the longest input that a saved tokenizer admits by default.
_POSITIONS = 512
#: Arguments of a transformers tokenizer that tell the `SpecialNames`.
ARGUMENTS = {
    "cls": "cls_token",
    "mask": "mask_token",
    "pad": "pad_token",
    "sep": "sep_token",
    "unknown": "unk_token",
}


@dataclass(frozen=True, slots=True)
class SpecialTokens:
    """Numbers of the tokens that are no text; by default where BERT has them."""

    pad: int = 0
    unknown: int = 100
    cls: int = 101
    sep: int = 102
    mask: int = 103


@dataclass(frozen=True, slots=True)
class SpecialNames:
    """How the tokens that are no text are written; by default as BERT writes them."""

    pad: str = "[PAD]"
    unknown: str = "[UNK]"
    cls: str = "[CLS]"
    sep: str = "[SEP]"
    mask: str = "[MASK]"

    def for_transformers(self) -> dict[str, str]:
        """Under the names of a transformers tokenizer's arguments, such as `pad_token`."""
        return {argument: getattr(self, name) for name, argument in ARGUMENTS.items()}


@dataclass(frozen=True)
class Vocabulary:
    """A WordPiece vocabulary, and how text is brought to its form.

    Attributes:
        tokens: Texts of the tokens, in the order of their numbers.
        lowercase: Whether text is lower-cased.
        strip_accents: Whether accents are stripped; as `lowercase` when None.
        split_chinese: Whether each Chinese character is a word of its own.
        names: Texts of the special tokens.
        definition: The text of a `tokenizer.json` that cuts text otherwise than BERT does, such as
            with added tokens or another normalizer; None where the fields above tell all.
    """

    tokens: tuple[str, ...]
    lowercase: bool = True
    strip_accents: bool | None = None
    split_chinese: bool = True
    names: SpecialNames = SpecialNames()
    definition: str | None = None

    def __len__(self) -> int:
        """Number of tokens."""
        return len(self.tokens)

    @cached_property
    def special(self) -> SpecialTokens:
        """Where the special tokens stand."""
        return SpecialTokens(*(self.tokens.index(name) for name in astuple(self.names)))

    @cached_property
    def sha256(self) -> str:
        """Hash of tokens and form, independent of line ends; it travels with token shards."""
        cased = "" if self.lowercase else "\ncased"
        other = (self.strip_accents, self.split_chinese, astuple(self.names), self.definition)
        further = "" if other == _USUAL else "\n" + json.dumps(other)
        return hashlib.sha256(("\n".join(self.tokens) + cased + further).encode()).hexdigest()

    def tokenizer(self) -> Tokenizer:
        """A new tokenizer: normalises, cuts into WordPieces, adds `[CLS] ... [SEP]`."""
        if self.definition is not None:
            return Tokenizer.from_str(self.definition)
        names, special = self.names, self.special
        numbers = {token: number for number, token in enumerate(self.tokens)}
        tokenizer = Tokenizer(WordPiece(numbers, unk_token=names.unknown))
        tokenizer.normalizer = normalizers.BertNormalizer(
            lowercase=self.lowercase,
            strip_accents=self.strip_accents,
            handle_chinese_chars=self.split_chinese,
        )
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        tokenizer.post_processor = processors.TemplateProcessing(
            single=[names.cls, "$A", names.sep],
            pair=[names.cls, "$A", names.sep, "$B:1", f"{names.sep}:1"],
            special_tokens=[(names.cls, special.cls), (names.sep, special.sep)],
        )
        tokenizer.decoder = decoders.WordPiece(prefix="##")
        tokenizer.add_special_tokens(list(astuple(names)))
        return tokenizer

    def save(self, folder: Path, *, positions: int = _POSITIONS) -> None:
        """Write what `transformers.AutoTokenizer` and any WordPiece reader load from a folder.

        Args:
            folder: Made if it is missing.
            positions: Tokens of the longest input that the model beside it reads.

        Raises:
            InputError: The folder cannot be written.
        """
        prepare_output(folder, directory=True)
        form = {
            "do_lower_case": self.lowercase,
            "strip_accents": self.strip_accents,
            "tokenize_chinese_chars": self.split_chinese,
        }
        usual = self.definition is None
        configuration = {
            # the second reads tokenizer.json as it is, where the first makes BERT's of it
            "tokenizer_class": "BertTokenizer" if usual else "PreTrainedTokenizerFast",
            "model_max_length": positions,
            "model_input_names": ["input_ids", "token_type_ids", "attention_mask"],
            **self.names.for_transformers(),
            **(form if usual else {}),
        }
        contents = {
            "tokenizer.json": self.tokenizer().to_str(pretty=False),
            "tokenizer_config.json": json.dumps(configuration, indent=2) + "\n",
            "vocab.txt": "\n".join(self.tokens) + "\n",
        }
        for name, text in contents.items():
            with atomic_path(folder / name) as temporary:
                temporary.write_text(text, "utf-8", newline="\n")

    def with_case(self, lowercase: bool) -> Vocabulary:
        """The same tokens for text that is lower-cased, or not.

        Raises:
            InputError: Its `tokenizer.json` is of its own kind and says otherwise.
        """
        if lowercase == self.lowercase:
            return self
        if self.definition is not None:
            raise InputError(
                "The tokenizer.json says itself whether case is kept, and --cased contradicts it: "
                "leave --cased out."
            )
        return Vocabulary(
            self.tokens, lowercase, self.strip_accents, self.split_chinese, self.names
        )


# What a vocabulary's hash leaves out, so that those of before keep theirs.
_USUAL = (None, True, astuple(SpecialNames()), None)


def tokenizer_of(vocabulary: Vocabulary) -> Any:
    """A vocabulary as a tokenizer of transformers."""
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call, unused-ignore]
        tokenizer_object=vocabulary.tokenizer(),
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        **vocabulary.names.for_transformers(),
    )
