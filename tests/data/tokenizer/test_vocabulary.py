"""The tokenizer, and the shipped held-out sample."""

from __future__ import annotations

import json
import lzma
from pathlib import Path

import pytest

from atb.data.corpus.samples import HELD_OUT_DOCUMENTS, HELD_OUT_TEXT, TRAINING_DOCUMENTS, held_out
from atb.data.tokenizer.tokenizer_files import read_vocabulary, vocabulary_of
from atb.data.tokenizer.vocabulary import SHIPPED_VOCABULARY, SpecialTokens
from atb.errors import BadFile


def test_words_become_the_pieces_that_bert_makes() -> None:
    tokenizer = read_vocabulary().tokenizer()
    encoding = tokenizer.encode("Héllo, unaffable WORLD!")
    assert encoding.tokens == [
        "[CLS]",
        "hello",
        ",",
        "una",
        "##ffa",
        "##ble",
        "world",
        "!",
        "[SEP]",
    ]
    assert encoding.ids[0] == 101
    assert encoding.ids[-1] == 102
    assert tokenizer.get_vocab_size() == 30_522
    assert tokenizer.encode("one", "two").type_ids == [0, 0, 0, 1, 1]


def test_transformers_reads_the_saved_tokenizer(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    read_vocabulary().save(tmp_path)
    text = "Some words, strangely spelt: Übermäßig [MASK]."
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    assert theirs(text)["input_ids"] == read_vocabulary().tokenizer().encode(text).ids
    assert theirs.mask_token_id == 103
    assert theirs.model_max_length == 512


@pytest.mark.parametrize(
    "content", [b"", b"one\ntwo\n", b"\xff\xfe", SHIPPED_VOCABULARY.read_bytes() + b"the\n"]
)
def test_what_is_no_vocabulary_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "vocab.txt"
    path.write_bytes(content)
    with pytest.raises(BadFile):
        read_vocabulary(path)


def test_a_missing_vocabulary_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="no vocabulary"):
        read_vocabulary(tmp_path / "vocab.txt")


#: A vocabulary of other order than BERT's, with characters of several writings.
OTHER = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "Der", "der", "Bär", "bar", "\u718a", "."]


def other_vocabulary(folder: Path, **configuration: object) -> Path:
    (folder / "vocab.txt").write_text("\n".join(OTHER) + "\n", "utf-8")
    if configuration:
        (folder / "tokenizer_config.json").write_text(json.dumps(configuration))
    return folder


def test_special_tokens_may_stand_anywhere(tmp_path: Path) -> None:
    vocabulary = read_vocabulary(other_vocabulary(tmp_path) / "vocab.txt")
    assert vocabulary.special == SpecialTokens(0, 1, 2, 3, 4)
    assert vocabulary.tokenizer().encode("Bär.").tokens == ["[CLS]", "bar", ".", "[SEP]"]
    assert vocabulary.tokenizer().encode("\u718a.").ids == [2, 9, 10, 3]


def test_case_is_kept_where_the_folder_says_so(tmp_path: Path) -> None:
    folder = other_vocabulary(tmp_path, do_lower_case=False)
    vocabulary = read_vocabulary(folder)
    assert vocabulary.tokenizer().encode("Der Bär").tokens == ["[CLS]", "Der", "Bär", "[SEP]"]
    assert read_vocabulary(folder, lowercase=True).sha256 != vocabulary.sha256
    vocabulary.save(tmp_path / "saved")
    assert vocabulary_of(tmp_path / "saved") == vocabulary
    assert vocabulary_of(None) == read_vocabulary()


def test_a_damaged_configuration_beside_a_vocabulary_is_refused(tmp_path: Path) -> None:
    folder = other_vocabulary(tmp_path)
    (folder / "tokenizer_config.json").write_text("{")
    with pytest.raises(BadFile, match="configuration"):
        read_vocabulary(folder)


def test_the_held_out_sample_has_eight_books_and_100_000_tokens() -> None:
    sample = held_out()
    assert 95_000 < sample.token_count < 110_000
    text = lzma.decompress(HELD_OUT_TEXT.read_bytes()).decode()
    assert len(text.split("\n\n")) == len(HELD_OUT_DOCUMENTS) == 8
    assert HELD_OUT_TEXT.stat().st_size < 1_000_000
    assert not set(HELD_OUT_DOCUMENTS) & set(TRAINING_DOCUMENTS)


def test_a_limited_sample_is_spread_over_the_books() -> None:
    small, whole = held_out(limit=8), held_out()
    assert len(small) == 8
    assert small.sequence_length == 128
    assert small.batch([7])[0].tolist() == whole.batch([len(whole) - 1])[0].tolist()
    assert small.sha256 != whole.sha256
