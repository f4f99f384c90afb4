"""Tokenizers as others save them: each text becomes the tokens that transformers makes of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models
from transformers import AddedToken, AutoTokenizer, BertTokenizer, PreTrainedTokenizerFast

from atb.data.tokenizer.tokenizer_files import read_vocabulary, vocabulary_of
from atb.data.tokenizer.vocabulary import SpecialTokens, Vocabulary
from atb.errors import BadFile, InputError

WORDS = [
    *("[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
    *("Grün", "grün", "grun", "##es", "Haus", "haus", "東", "京", "東京", "##京", "é", "e", "."),
]
TEXTS = ["Grünes Haus.", "grünes haus 東京", "É é e", "[MASK] Grün", "a Haus"]


def saved(folder: Path, words: list[str] = WORDS, **settings: Any) -> Path:
    """What current transformers saves of a BERT tokenizer: no vocab.txt."""
    numbers = {word: number for number, word in enumerate(words)}
    BertTokenizer(vocab=numbers, **settings).save_pretrained(folder)
    assert not (folder / "vocab.txt").exists()
    return folder


def older(folder: Path, words: list[str] = WORDS, **configuration: Any) -> Path:
    """What transformers saved before there was a tokenizer.json."""
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(words) + "\n", "utf-8")
    told = {"tokenizer_class": "BertTokenizer", **configuration}
    (folder / "tokenizer_config.json").write_text(json.dumps(told), "utf-8")
    return folder


def ids_of(vocabulary: Vocabulary) -> list[list[int]]:
    return [vocabulary.tokenizer().encode(text).ids for text in TEXTS]


def theirs(folder: Path) -> list[list[int]]:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    return [tokenizer(text)["input_ids"] for text in TEXTS]


@pytest.mark.parametrize("write", [saved, older])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"do_lower_case": False},
        {"strip_accents": False},
        {"do_lower_case": False, "strip_accents": True},
        {"tokenize_chinese_chars": False},
    ],
)
def test_case_accents_and_chinese_are_those_of_the_model(
    tmp_path: Path, write: Any, settings: dict[str, Any]
) -> None:
    folder = write(tmp_path / "theirs", **settings)
    vocabulary = read_vocabulary(folder)
    assert ids_of(vocabulary) == theirs(folder)
    assert vocabulary.definition is None
    vocabulary.save(tmp_path / "ours")
    assert vocabulary_of(tmp_path / "ours") == vocabulary
    assert theirs(tmp_path / "ours") == theirs(folder)


def test_special_tokens_have_the_names_and_numbers_of_the_model(tmp_path: Path) -> None:
    words = ["hello", "</s>", "<mask>", "<s>", "<pad>", "<unk>", "Haus"]
    names = {"cls": "<s>", "sep": "</s>", "mask": "<mask>", "pad": "<pad>", "unk": "<unk>"}
    given = {f"{name}_token": token for name, token in names.items()}
    folder = saved(tmp_path / "theirs", words, **given, do_lower_case=False)
    vocabulary = read_vocabulary(folder)
    assert vocabulary.special == SpecialTokens(4, 5, 3, 1, 2)
    assert ids_of(vocabulary) == theirs(folder)
    (folder / "tokenizer_config.json").unlink()  # tokenizer.json tells the ends of a text itself
    with pytest.raises(BadFile, match=r"no \[PAD\]"):
        read_vocabulary(folder)
    vocabulary.save(tmp_path / "ours", positions=64)
    assert read_vocabulary(tmp_path / "ours").sha256 == vocabulary.sha256
    loaded = AutoTokenizer.from_pretrained(tmp_path / "ours")
    assert (loaded.pad_token_id, loaded.model_max_length) == (4, 64)


@pytest.mark.parametrize("special", [True, False])
def test_added_tokens_are_kept(tmp_path: Path, special: bool) -> None:
    made = BertTokenizer(vocab={word: number for number, word in enumerate(WORDS)})
    made.add_tokens([AddedToken("<Haus>", special=special), AddedToken("Grünhaus")])
    made.save_pretrained(tmp_path / "theirs")
    vocabulary = read_vocabulary(tmp_path / "theirs")
    assert len(vocabulary) == len(WORDS) + 2
    for text in ("Grün <Haus> Grünhaus", "<Haus>"):
        found = vocabulary.tokenizer().encode(text).ids
        assert found == made(text)["input_ids"]
    vocabulary.save(tmp_path / "ours")
    assert vocabulary_of(tmp_path / "ours") == vocabulary
    loaded = AutoTokenizer.from_pretrained(tmp_path / "ours")
    assert loaded("Grün <Haus>")["input_ids"] == made("Grün <Haus>")["input_ids"]


def test_tokens_added_to_a_vocabulary_without_tokenizer_json_are_kept(tmp_path: Path) -> None:
    added = {str(len(WORDS)): {"content": "<Haus>", "special": True}}
    folder = older(tmp_path / "theirs", added_tokens_decoder=added)
    vocabulary = read_vocabulary(folder)
    assert vocabulary.tokenizer().encode("Haus <Haus>").ids[2] == len(WORDS)
    (folder / "tokenizer_config.json").unlink()
    (folder / "added_tokens.json").write_text(json.dumps({"<Haus>": len(WORDS)}))
    assert read_vocabulary(folder).tokens == vocabulary.tokens
    (folder / "added_tokens.json").write_text(json.dumps({"<Haus>": 99}))
    with pytest.raises(BadFile, match="is to be number 99"):
        read_vocabulary(folder)


def test_a_normalizer_of_its_own_kind_is_kept(tmp_path: Path) -> None:
    from tokenizers import normalizers

    tokenizer = Vocabulary(tuple(WORDS)).tokenizer()
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Replace("ß", "es"), normalizers.Lowercase()]
    )
    tokenizer.enable_truncation(3)
    tokenizer.enable_padding(length=9)
    names = Vocabulary(tuple(WORDS)).names.for_transformers()
    made = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)
    made.save_pretrained(tmp_path / "theirs")
    vocabulary = read_vocabulary(tmp_path / "theirs")
    assert vocabulary.tokenizer().encode("GRÜNß Haus").tokens[1:-1] == ["grün", "##es", "haus"]
    vocabulary.save(tmp_path / "ours")
    assert vocabulary_of(tmp_path / "ours") == vocabulary
    assert theirs(tmp_path / "ours") == ids_of(vocabulary)
    with pytest.raises(InputError, match="--cased"):
        read_vocabulary(tmp_path / "theirs", lowercase=False)


def test_what_transformers_would_read_counts_where_files_disagree(tmp_path: Path) -> None:
    folder = saved(tmp_path / "theirs", do_lower_case=False)
    cased = read_vocabulary(folder)
    (folder / "vocab.txt").write_text("\n".join(reversed(WORDS)) + "\n", "utf-8")
    assert read_vocabulary(folder) == read_vocabulary(folder / "vocab.txt") == cased
    configuration = folder / "tokenizer_config.json"
    told = json.loads(configuration.read_text("utf-8"))
    configuration.write_text(json.dumps({**told, "do_lower_case": True}))
    assert ids_of(read_vocabulary(folder)) == theirs(folder) != ids_of(cased)
    configuration.unlink()  # then the normalizer alone tells that case is kept
    assert read_vocabulary(folder) == cased


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        (models.BPE({"a": 0}, []), "BPE"),
        (models.Unigram([("a", 0.0)], 0), "Unigram"),
        (models.WordLevel({"a": 0}, "a"), "WordLevel"),
    ],
)
def test_a_tokenizer_that_is_not_wordpiece_is_refused_by_name(
    tmp_path: Path, model: Any, kind: str
) -> None:
    Tokenizer(model).save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "vocab.txt").write_text("\n".join(WORDS), "utf-8")
    with pytest.raises(BadFile, match=f"is a {kind} tokenizer, and only WordPiece"):
        read_vocabulary(tmp_path)


@pytest.mark.parametrize(
    "told", [{"tokenizer_class": "BertJapaneseTokenizer"}, {"word_tokenizer_type": "mecab"}]
)
def test_a_tokenizer_that_does_more_than_its_vocabulary_is_refused(
    tmp_path: Path, told: dict[str, str]
) -> None:
    folder = older(tmp_path / "theirs", **told)
    with pytest.raises(BadFile, match="does more than BERT's WordPiece"):
        read_vocabulary(folder)
    (folder / "tokenizer_config.json").unlink()
    (folder / "config.json").write_text(json.dumps({"tokenizer_class": "PhobertTokenizer"}))
    with pytest.raises(BadFile, match="PhobertTokenizer"):
        read_vocabulary(folder)


def test_line_ends_and_byte_order_marks_change_nothing(tmp_path: Path) -> None:
    plain = read_vocabulary(older(tmp_path / "plain"))
    other = older(tmp_path / "other")
    words = (other / "vocab.txt").read_bytes()
    (other / "vocab.txt").write_bytes(b"\xef\xbb\xbf" + words.replace(b"\n", b"\r\n"))
    told = (other / "tokenizer_config.json").read_bytes()
    (other / "tokenizer_config.json").write_bytes(b"\xef\xbb\xbf" + told)
    assert read_vocabulary(other) == plain


def test_the_hash_tells_forms_apart_and_stays_what_it_was(tmp_path: Path) -> None:
    settings: list[dict[str, Any]] = [
        {},
        {"do_lower_case": False},
        {"strip_accents": False},
        {"tokenize_chinese_chars": False},
    ]
    hashes = {
        read_vocabulary(older(tmp_path / str(number), **told)).sha256
        for number, told in enumerate(settings)
    }
    assert len(hashes) == len(settings)
    # shards that were prepared by earlier versions carry this
    shipped = "0f052197aac305fe42f378b5c61554b7bacb34b8be4af83fec2cfdcdffbc9973"
    assert read_vocabulary().sha256 == shipped


def change(folder: Path, **parts: Any) -> None:
    path = folder / "tokenizer.json"
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **parts}), "utf-8")


def test_a_damaged_tokenizer_is_refused_in_a_sentence(tmp_path: Path) -> None:
    folder = saved(tmp_path / "theirs")
    model = json.loads((folder / "tokenizer.json").read_text("utf-8"))["model"]
    numbers = {word: 2 * number for word, number in model["vocab"].items()}
    change(folder, model={**model, "vocab": numbers}, added_tokens=[])
    with pytest.raises(BadFile, match="without gaps"):
        read_vocabulary(folder)
    change(folder, model={**model, "vocab": [1, 2]})
    with pytest.raises(BadFile, match="not a readable tokenizer"):
        read_vocabulary(folder)
    change(folder, model=model, normalizer={"type": "Nothing"})
    with pytest.raises(BadFile, match="not a readable tokenizer"):
        read_vocabulary(folder)
    (folder / "tokenizer.json").write_text("[]")
    with pytest.raises(BadFile, match="another JSON value"):
        read_vocabulary(folder)
