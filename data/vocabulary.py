"""The tokenizer: BERT's uncased WordPiece over the shipped vocabulary or a user's own."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import WordPiece

from atb.errors import BadFile
from atb.files import atomic_path, prepare_output

__all__ = [
    "CLS_TOKEN",
    "MASK_TOKEN",
    "PAD_TOKEN",
    "SEP_TOKEN",
    "SHIPPED_VOCABULARY",
    "SPECIAL_TOKENS",
    "load_tokenizer",
    "save_tokenizer",
    "vocabulary_sha256",
]

#: BERT's English uncased vocabulary, 30,522 tokens.
SHIPPED_VOCABULARY = Path(__file__).parent / "vocabulary" / "bert-base-uncased-vocab.txt"

#: Identifiers in the shipped vocabulary; a user's own must have the same tokens at these places.
PAD_TOKEN, UNKNOWN_TOKEN, CLS_TOKEN, SEP_TOKEN, MASK_TOKEN = 0, 100, 101, 102, 103
SPECIAL_TOKENS = {
    "[PAD]": PAD_TOKEN,
    "[UNK]": UNKNOWN_TOKEN,
    "[CLS]": CLS_TOKEN,
    "[SEP]": SEP_TOKEN,
    "[MASK]": MASK_TOKEN,
}
# The longest input that the exported tokenizer admits; BERT has 512 positions.
_POSITIONS = 512


def vocabulary_sha256(vocabulary_file: Path | None = None) -> str:
    """Hash of a vocabulary, independent of line ends; it travels with token shards."""
    tokens = _read_tokens(vocabulary_file or SHIPPED_VOCABULARY)
    return hashlib.sha256("\n".join(tokens).encode()).hexdigest()


def load_tokenizer(vocabulary_file: Path | None = None) -> Tokenizer:
    """Make the tokenizer: lower case, accents stripped, WordPiece, `[CLS] ... [SEP]`.

    Args:
        vocabulary_file: One token a line; the shipped vocabulary when None.

    Raises:
        BadFile: It is missing, not text, or lacks a special token at its place.
    """
    tokens = _read_tokens(vocabulary_file or SHIPPED_VOCABULARY)
    numbers = {token: number for number, token in enumerate(tokens)}
    tokenizer = Tokenizer(WordPiece(numbers, unk_token="[UNK]"))  # noqa: S106, no password
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", CLS_TOKEN), ("[SEP]", SEP_TOKEN)],
    )
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    return tokenizer


def save_tokenizer(folder: Path, vocabulary_file: Path | None = None) -> None:
    """Write what `transformers.AutoTokenizer` and any WordPiece reader load from a folder.

    Raises:
        InputError: The folder cannot be written.
    """
    prepare_output(folder, directory=True)
    tokens = _read_tokens(vocabulary_file or SHIPPED_VOCABULARY)
    configuration = {
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": True,
        "model_max_length": _POSITIONS,
        "cls_token": "[CLS]",
        "mask_token": "[MASK]",
        "pad_token": "[PAD]",
        "sep_token": "[SEP]",
        "unk_token": "[UNK]",
    }
    contents = {
        "tokenizer.json": load_tokenizer(vocabulary_file).to_str(pretty=False),
        "tokenizer_config.json": json.dumps(configuration, indent=2) + "\n",
        "vocab.txt": "\n".join(tokens) + "\n",
    }
    for name, text in contents.items():
        with atomic_path(folder / name) as temporary:
            temporary.write_text(text, "utf-8")


def _read_tokens(path: Path) -> list[str]:
    """The tokens of a vocabulary in order, with the special ones where BERT has them."""
    try:
        # split on line feeds only: some tokens are other Unicode line separators
        tokens = path.read_text("utf-8").rstrip("\n").split("\n")
    except FileNotFoundError as error:
        raise BadFile(f"There is no vocabulary {path}: check the path.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise BadFile(f"{path} is not readable ({error}): pass a vocab.txt.") from error
    for token, place in SPECIAL_TOKENS.items():
        if place >= len(tokens) or tokens[place] != token:
            raise BadFile(
                f"{path} is not a BERT vocabulary: {token} is not on line {place + 1}; pass the "
                "vocab.txt of an English uncased BERT."
            )
    if len(set(tokens)) != len(tokens):
        raise BadFile(f"{path} is not a vocabulary: a token stands there twice; repair the file.")
    return tokens
