"""The tokenizer: BERT's WordPiece over the shipped vocabulary or a user's own."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import WordPiece

from atb.errors import BadFile
from atb.files import atomic_path, prepare_output

__all__ = ["SHIPPED_VOCABULARY", "SpecialTokens", "Vocabulary", "vocabulary_of"]

#: BERT's English uncased vocabulary, 30,522 tokens.
SHIPPED_VOCABULARY = Path(__file__).parent / "vocabulary" / "bert-base-uncased-vocab.txt"
# The longest input that the exported tokenizer admits; BERT has 512 positions.
_POSITIONS = 512
_FILE, _CONFIGURATION = "vocab.txt", "tokenizer_config.json"


@dataclass(frozen=True, slots=True)
class SpecialTokens:
    """Numbers of the tokens that are no text; by default where BERT has them."""

    pad: int = 0
    unknown: int = 100
    cls: int = 101
    sep: int = 102
    mask: int = 103

    def to_json(self) -> dict[str, int]:
        """By name."""
        return asdict(self)


_NAMES = {"pad": "[PAD]", "unknown": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}


@dataclass(frozen=True)
class Vocabulary:
    """A WordPiece vocabulary, and how text is brought to its form.

    Attributes:
        tokens: In the order of their numbers.
        lowercase: Whether text is lower-cased and its accents are stripped.
    """

    tokens: tuple[str, ...]
    lowercase: bool = True

    @classmethod
    def read(cls, path: Path | None = None, *, lowercase: bool | None = None) -> Vocabulary:
        """Read a vocabulary.

        Args:
            path: A `vocab.txt`, one token a line, or the folder of a transformers tokenizer that
                holds one; the shipped one by default.
            lowercase: As a `tokenizer_config.json` beside it tells, or true, when None.

        Raises:
            BadFile: It is missing, not text, or lacks a special token.
        """
        if path is not None and path.is_dir():
            path = path / _FILE
        if lowercase is None:
            lowercase = path is None or _lowercase_beside(path)
        return cls(_read_tokens(path or SHIPPED_VOCABULARY), lowercase)

    def __len__(self) -> int:
        """Number of tokens."""
        return len(self.tokens)

    @cached_property
    def special(self) -> SpecialTokens:
        """Where the special tokens stand."""
        return SpecialTokens(**{name: self.tokens.index(token) for name, token in _NAMES.items()})

    @cached_property
    def sha256(self) -> str:
        """Hash of tokens and form, independent of line ends; it travels with token shards."""
        cased = "" if self.lowercase else "\ncased"
        return hashlib.sha256(("\n".join(self.tokens) + cased).encode()).hexdigest()

    def tokenizer(self) -> Tokenizer:
        """A new tokenizer: normalises, cuts into WordPieces, adds `[CLS] ... [SEP]`."""
        numbers = {token: number for number, token in enumerate(self.tokens)}
        tokenizer = Tokenizer(WordPiece(numbers, unk_token=_NAMES["unknown"]))
        tokenizer.normalizer = normalizers.BertNormalizer(lowercase=self.lowercase)
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]",
            pair="[CLS] $A [SEP] $B:1 [SEP]:1",
            special_tokens=[("[CLS]", self.special.cls), ("[SEP]", self.special.sep)],
        )
        tokenizer.decoder = decoders.WordPiece(prefix="##")
        tokenizer.add_special_tokens(list(_NAMES.values()))
        return tokenizer

    def save(self, folder: Path) -> None:
        """Write what `transformers.AutoTokenizer` and any WordPiece reader load from a folder.

        Raises:
            InputError: The folder cannot be written.
        """
        prepare_output(folder, directory=True)
        configuration = {
            "tokenizer_class": "BertTokenizer",
            "do_lower_case": self.lowercase,
            "model_max_length": _POSITIONS,
            "cls_token": "[CLS]",
            "mask_token": "[MASK]",
            "pad_token": "[PAD]",
            "sep_token": "[SEP]",
            "unk_token": "[UNK]",
        }
        contents = {
            "tokenizer.json": self.tokenizer().to_str(pretty=False),
            _CONFIGURATION: json.dumps(configuration, indent=2) + "\n",
            _FILE: "\n".join(self.tokens) + "\n",
        }
        for name, text in contents.items():
            with atomic_path(folder / name) as temporary:
                temporary.write_text(text, "utf-8")


def vocabulary_of(folder: Path | None) -> Vocabulary:
    """The vocabulary in a model's folder; the shipped one where it has none."""
    if folder is None or not (folder / _FILE).is_file():
        return Vocabulary.read()
    return Vocabulary.read(folder)


def _lowercase_beside(vocabulary_file: Path) -> bool:
    """What a tokenizer's configuration beside a vocabulary says; true where there is none."""
    path = vocabulary_file.with_name(_CONFIGURATION)
    if not path.is_file():
        return True
    try:
        configuration: Any = json.loads(path.read_text("utf-8"))
        return bool(configuration.get("do_lower_case", True))
    except (OSError, ValueError, AttributeError) as error:
        raise BadFile(
            f"{path} is not a readable tokenizer configuration ({error}): repair it, or pass the "
            "vocabulary from a folder of its own."
        ) from error


def _read_tokens(path: Path) -> tuple[str, ...]:
    """The tokens of a vocabulary in order."""
    try:
        # split on line feeds only: some tokens are other Unicode line separators
        text = path.read_text("utf-8").rstrip("\n")
    except FileNotFoundError as error:
        raise BadFile(f"There is no vocabulary {path}: check the path.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise BadFile(f"{path} is not readable ({error}): pass a vocab.txt.") from error
    tokens = tuple(text.split("\n"))
    for token in _NAMES.values():
        if token not in tokens:
            raise BadFile(
                f"{path} is not a BERT vocabulary: it has no {token}; pass the vocab.txt of a BERT."
            )
    if len(set(tokens)) != len(tokens):
        raise BadFile(f"{path} is not a vocabulary: a token stands there twice; repair the file.")
    return tokens
