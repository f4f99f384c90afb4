"""Reading the files of a tokenizer: `tokenizer.json`, `vocab.txt` and what stands beside them.

Where a folder holds both, `tokenizer.json` counts, as in transformers. What a
`tokenizer_config.json` says of case, accents and Chinese characters counts before the normalizer
of a BERT tokenizer's `tokenizer.json`, again as in transformers, but only where it says it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import astuple
from functools import lru_cache
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer

from atb.data.tokenizer.vocabulary import (
    ARGUMENTS,
    SHIPPED_VOCABULARY,
    SpecialNames,
    Vocabulary,
)
from atb.errors import BadFile

_WORDS, _TOKENIZER, _CONFIGURATION = "vocab.txt", "tokenizer.json", "tokenizer_config.json"
_MODEL = "config.json"
#: Tokenizers of transformers that are BERT's WordPiece.
_BERTS = ("Bert", "DistilBert", "Electra", "MobileBert", "Retribert", "SqueezeBert", "ConvBert")
#: Arguments of a BERT tokenizer, and the same in its normalizer.
_FORM = {
    "do_lower_case": "lowercase",
    "strip_accents": "strip_accents",
    "tokenize_chinese_chars": "handle_chinese_chars",
}
# Characters of a foreign value in a message.
_LONGEST_SHOWN = 120


def find_tokenizer(folder: Path) -> Path | None:
    """The file of a folder that tells its tokenizer: `tokenizer.json` first, then `vocab.txt`."""
    found = (folder / name for name in (_TOKENIZER, _WORDS))
    return next((path for path in found if path.is_file()), None)


def read_vocabulary(path: Path | None = None, *, lowercase: bool | None = None) -> Vocabulary:
    """Read a vocabulary.

    Args:
        path: A `vocab.txt` (one token a line), a `tokenizer.json`, or the folder of a
            transformers tokenizer; the shipped vocabulary by default.
        lowercase: As the files tell when None.

    Raises:
        BadFile: It is missing, damaged, not WordPiece, or lacks a special token.
        InputError: `lowercase` contradicts a `tokenizer.json` of its own kind.
    """
    path = path or SHIPPED_VOCABULARY
    folder = path if path.is_dir() else path.parent
    if path.is_dir() or path.name == _WORDS:
        path = find_tokenizer(folder) or folder / _WORDS
    configuration = _configuration(folder)
    try:
        if path.suffix == ".json":
            content = path.read_bytes() if path.is_file() else b""
            vocabulary = _from_definition(path, content, json.dumps(configuration))
        else:
            vocabulary = _from_words(path, configuration)
    except BadFile:
        raise
    # the tokenizers library raises bare Exceptions
    except Exception as error:
        raise BadFile(
            f"{path} is not a readable tokenizer ({shown(str(error))}): take it from its source "
            "again."
        ) from error
    return vocabulary if lowercase is None else vocabulary.with_case(lowercase)


def find_vocabulary(folder: Path) -> Vocabulary | None:
    """The vocabulary in a model's folder; None where it tells none.

    The card of a SuperPLM may name the shipped one by its hash in place of a tokenizer.

    Raises:
        BadFile: It is damaged.
    """
    if find_tokenizer(folder) is not None:
        return read_vocabulary(folder)
    shipped, card = read_vocabulary(), folder / "superplm.json"
    named = read_json_object(card, "SuperPLM's card") if card.is_file() else {}
    return shipped if named.get("vocabulary_sha256") == shipped.sha256 else None


def vocabulary_of(folder: Path | None) -> Vocabulary:
    """The vocabulary in a model's folder; the shipped one where there is no folder.

    Raises:
        BadFile: There is none, or a damaged one.
    """
    found = read_vocabulary() if folder is None else find_vocabulary(folder)
    if found is None:
        raise BadFile(
            f"{folder} holds no tokenizer: put the tokenizer.json or the vocab.txt there that its "
            "model was trained with."
        )
    return found


def shown(value: object) -> str:
    """A value of a foreign file as a message shows it: on one line and not too long."""
    text = value if isinstance(value, str) and value.isprintable() else repr(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


def read_json_object(path: Path, what: str) -> dict[str, Any]:
    """A JSON object, with or without a byte-order mark.

    Args:
        path: A text file in UTF-8.
        what: What it is to be, for the message, such as "model's configuration".

    Raises:
        BadFile: It is missing, damaged, or no object.
    """
    try:
        found = json.loads(path.read_text("utf-8-sig"))
    except FileNotFoundError as error:
        raise BadFile(f"There is no {path}, the {what}: check the folder.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise BadFile(
            f"{path} is not a readable {what} ({error}): take it from its source again."
        ) from error
    if not isinstance(found, dict):
        raise BadFile(f"{path} is not a {what}, but another JSON value: take the right file.")
    return found


def _configuration(folder: Path) -> dict[str, Any]:
    """What stands in `tokenizer_config.json`, over what older versions wrote in other files."""
    found: dict[str, Any] = {}
    if (folder / _MODEL).is_file():
        kind = read_json_object(folder / _MODEL, "model's configuration").get("tokenizer_class")
        found |= {} if kind is None else {"tokenizer_class": kind}
    for name in ("special_tokens_map.json", _CONFIGURATION):
        if (folder / name).is_file():
            found |= read_json_object(folder / name, "tokenizer configuration")
    return found


def _is_bert(configuration: Mapping[str, Any]) -> bool:
    """Whether a configuration names BERT's tokenizer, or none."""
    kind = str(configuration.get("tokenizer_class") or "Bert")
    # a Japanese BERT looks for words by a dictionary before it cuts them into pieces
    by_dictionary = configuration.get("word_tokenizer_type") not in (None, "basic")
    return kind.removesuffix("Fast").removesuffix("Tokenizer") in _BERTS and not by_dictionary


def _names(configuration: Mapping[str, Any], usual: Mapping[str, str]) -> SpecialNames:
    """How the special tokens are written; `usual` where the configuration does not say."""
    found = {}
    for name, argument in ARGUMENTS.items():
        given = configuration.get(argument)
        content = given.get("content") if isinstance(given, dict) else given
        if isinstance(content, str):
            found[name] = content
        elif name in usual:
            found[name] = usual[name]
    return SpecialNames(**found)


def _from_words(path: Path, configuration: Mapping[str, Any]) -> Vocabulary:
    """A `vocab.txt` with what its configuration says."""
    if not _is_bert(configuration):
        kind = shown(configuration.get("tokenizer_class", "tokenizer"))
        raise BadFile(
            f"{path.parent} has a {kind} that does more than BERT's WordPiece with its {_WORDS}, "
            f"and only WordPiece is supported: put its {_TOKENIZER} there, or give another model."
        )
    tokens = _read_words(path)
    names = _names(configuration, {})
    _check_special(names, tokens, path)
    form = {name: configuration[name] for name in _FORM if name in configuration}
    lowercase = bool(form.get("do_lower_case", True))
    plain = Vocabulary(
        tokens,
        lowercase,
        _accents(form.get("strip_accents"), lowercase=lowercase),
        bool(form.get("tokenize_chinese_chars", True)),
        names,
    )
    added = _added(configuration, path)
    if all(token.content in astuple(names) for token in added.values()):
        return plain
    tokenizer = plain.tokenizer()
    for number, token in sorted(added.items()):
        tokenizer.add_tokens([token])
        if tokenizer.token_to_id(token.content) != number:
            raise BadFile(
                f"{path.parent}: the added token {shown(token.content)} is to be number {number}, "
                f"and {path.name} has {len(tokens)} tokens: take both from one source."
            )
    return _of_document(json.loads(tokenizer.to_str()), names, path)


def _added(configuration: Mapping[str, Any], path: Path) -> dict[int, AddedToken]:
    """Tokens that are added to a `vocab.txt`, by number."""
    given: Any = dict(configuration.get("added_tokens_decoder") or {})
    older = path.with_name("added_tokens.json")
    if older.is_file():
        found = read_json_object(older, "list of added tokens")
        given = {number: {"content": token} for token, number in found.items()} | given
    return {int(number): AddedToken(**fields) for number, fields in given.items()}


@lru_cache(maxsize=4)  # a command reads the same one for the model, its teacher and its data
def _from_definition(path: Path, content: bytes, configuration_text: str) -> Vocabulary:
    """A `tokenizer.json` of this content with what its configuration, as JSON, says."""
    document = read_json_object(path, "tokenizer")
    configuration = json.loads(configuration_text)
    kind = _kind_of(document.get("model"))
    if kind != "WordPiece":
        raise BadFile(
            f"{path} is a {shown(kind)} tokenizer, and only WordPiece is supported: give a BERT "
            "whose tokenizer is WordPiece."
        )
    names = _names(configuration, _named_by(document, path))
    if _is_bert(configuration):
        document["post_processor"] = None
        normalizer = document.get("normalizer")
        if isinstance(normalizer, dict) and normalizer.get("type") == "BertNormalizer":
            said = {_FORM[name]: configuration[name] for name in _FORM if name in configuration}
            document["normalizer"] = {**normalizer, **said}
    return _of_document(document, names, path)


def _kind_of(model: Any) -> str:
    """How a `tokenizer.json` cuts words; old files do not name it."""
    if not isinstance(model, dict):
        return "damaged"
    if isinstance(model.get("type"), str):
        return str(model["type"])
    if "merges" in model:
        return "BPE"
    return "WordPiece" if "max_input_chars_per_word" in model else "Unigram"


def _named_by(document: Mapping[str, Any], path: Path) -> dict[str, str]:
    """Names of special tokens that a `tokenizer.json` tells itself.

    Raises:
        BadFile: It does not put a text between two tokens, as BERT reads it.
    """
    usual = {"unknown": document["model"].get("unk_token", SpecialNames().unknown)}
    if document.get("post_processor") is None:
        return usual
    frame = _tokenizer(document).encode("").tokens
    if len(frame) != 2:
        raise BadFile(
            f"{path} puts {shown(' '.join(frame) or 'nothing')} around a text, and BERT reads it "
            "between one token and another: give a BERT's tokenizer."
        )
    return {**usual, "cls": frame[0], "sep": frame[1]}


def _tokenizer(document: Mapping[str, Any]) -> Tokenizer:
    """A tokenizer that neither pads nor truncates by itself."""
    return Tokenizer.from_str(json.dumps({**document, "truncation": None, "padding": None}))


def _of_document(document: Mapping[str, Any], names: SpecialNames, path: Path) -> Vocabulary:
    """A vocabulary that cuts text as a `tokenizer.json` says."""
    tokenizer = _tokenizer(document)
    numbers = tokenizer.get_vocab(with_added_tokens=True)
    tokens = tuple(sorted(numbers, key=numbers.__getitem__))
    if sorted(numbers.values()) != list(range(len(tokens))):
        raise BadFile(
            f"{path} does not number its {len(tokens):,} tokens from 0 on without gaps: it cannot "
            "be kept as a vocabulary; number them so."
        )
    if any("\n" in token for token in tokens):
        raise BadFile(f"{path} has a token with a line break in it: leave that out.")
    _check_special(names, tokens, path)
    tokenizer.add_special_tokens(list(astuple(names)))
    form = document.get("normalizer") or {}
    lowercase = tokenizer.normalizer is not None and tokenizer.normalizer.normalize_str("A") == "a"
    accents = _accents(form.get("strip_accents"), lowercase=lowercase)
    chinese = bool(form.get("handle_chinese_chars", True))
    plain = Vocabulary(tokens, lowercase, accents, chinese, names)
    if tokenizer.post_processor is None:  # transformers adds BERT's
        tokenizer.post_processor = plain.tokenizer().post_processor
    if tokenizer.encode("").tokens != [names.cls, names.sep]:
        raise BadFile(
            f"{path} and the {_CONFIGURATION} beside it name other tokens for the ends of a text: "
            "take both from one source."
        )
    if _meaning(tokenizer) == _meaning(plain.tokenizer()):
        return plain
    definition = json.dumps(json.loads(tokenizer.to_str()), sort_keys=True)
    return Vocabulary(tokens, lowercase, names=names, definition=definition)


def _meaning(tokenizer: Tokenizer) -> dict[str, Any]:
    """What of a tokenizer decides which numbers a text becomes."""
    document = json.loads(tokenizer.to_str())
    normalizer = document["normalizer"]
    if normalizer is not None and normalizer["type"] == "BertNormalizer":
        normalizer["strip_accents"] = _accents(
            normalizer["strip_accents"], lowercase=normalizer["lowercase"]
        )
    return {
        "pre_tokenizer": document["pre_tokenizer"],
        "normalizer": normalizer,
        "model": document["model"],
        "added_tokens": sorted(document["added_tokens"], key=lambda token: int(token["id"])),
        "frame": [
            (found.ids, found.type_ids)
            for found in (tokenizer.encode(""), tokenizer.encode("", ""))
        ],
    }


def _accents(strip_accents: Any, *, lowercase: bool) -> bool | None:
    """Whether accents are stripped, None where that is as usual: where text is lower-cased."""
    return None if strip_accents in (None, lowercase) else bool(strip_accents)


def _check_special(names: SpecialNames, tokens: tuple[str, ...], path: Path) -> None:
    for name in astuple(names):
        if name not in tokens:
            raise BadFile(
                f"{path} is not a BERT vocabulary: it has no {shown(name)}; pass the tokenizer "
                "of a BERT."
            )


def _read_words(path: Path) -> tuple[str, ...]:
    """The tokens of a `vocab.txt` in order."""
    try:
        # split on line feeds only: some tokens are other Unicode line separators
        text = path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n").rstrip("\n")
    except FileNotFoundError as error:
        raise BadFile(f"There is no vocabulary {path}: check the path.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise BadFile(f"{path} is not readable ({error}): pass a vocab.txt.") from error
    tokens = tuple(text.split("\n"))
    if len(set(tokens)) != len(tokens):
        raise BadFile(f"{path} is not a vocabulary: a token stands there twice; repair the file.")
    return tokens
