"""Text to token shards: packing, damage, limits, repeatability."""

from __future__ import annotations

import contextlib
import errno
import gzip
import json
import lzma
from array import array
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from atb.data.corpus.corpus import EVERYTHING, Corpus
from atb.data.corpus.packing import PackedDocument, Packer, sentences
from atb.data.corpus.preparation import prepare
from atb.data.corpus.shards import TokenShards
from atb.data.tokenizer.tokenizer_files import read_vocabulary
from atb.data.tokenizer.vocabulary import SpecialTokens
from atb.errors import BadFile, InputError, RunError

TEXT = (
    "The first book begins here. It has two sentences!\n"
    'A second paragraph: "Is it short?" Yes.\n'
    "\n"
    "The second book is another document.\n"
)


SPECIAL = SpecialTokens()


def packed_into(length: int, *paragraphs: str) -> list[list[int]]:
    documents = Packer(read_vocabulary(), length).pack(paragraphs)
    return [sequence for document in documents for sequence in document.sequences]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "corpus.txt"
    path.write_text(TEXT, "utf-8")
    return path


def sequences(folder: Path) -> list[list[int]]:
    shards = TokenShards.open(folder)
    ids, mask = shards.batch(range(len(shards)))
    return [row[: int(ones.sum())].tolist() for row, ones in zip(ids, mask, strict=True)]


def test_a_paragraph_is_cut_after_its_sentences() -> None:
    text = 'He said "No." Then he left. It cost 3.50 dollars! (Really?) Yes'
    assert sentences(text) == [
        'He said "No."',
        "Then he left.",
        "It cost 3.50 dollars!",
        "(Really?)",
        "Yes",
    ]


def test_a_document_is_packed_whole_and_documents_stay_apart(tmp_path: Path, corpus: Path) -> None:
    summary = prepare(Corpus(corpus), tmp_path / "out")
    tokenizer = read_vocabulary().tokenizer()
    texts = [tokenizer.decode(sequence) for sequence in sequences(tmp_path / "out")]
    assert len(texts) == summary.sequences == summary.counts.documents == 2
    assert texts[0].startswith("the first book")
    assert texts[0].endswith("yes.")
    assert texts[1] == "the second book is another document."


def test_sentences_by_themselves_are_sequences_but_for_headings(tmp_path: Path) -> None:
    path = tmp_path / "corpus.txt"
    path.write_text("See also\n" + TEXT, "utf-8")
    prepare(Corpus(path), tmp_path / "out", single_sentences=True)
    tokenizer = read_vocabulary().tokenizer()
    texts = [tokenizer.decode(sequence) for sequence in sequences(tmp_path / "out")]
    assert texts == [
        "the first book begins here.",
        "it has two sentences!",
        'a second paragraph : " is it short? "',
        "the second book is another document.",
    ]
    with pytest.raises(InputError, match="out"):
        prepare(Corpus(path), tmp_path / "out")  # those are other shards


def test_a_sentence_longer_than_a_sequence_is_cut_and_nothing_is_lost() -> None:
    tokenizer = read_vocabulary().tokenizer()
    long = "word " * 100 + "end."
    packed = packed_into(16, "A start.", long, "After it.")
    assert all(3 <= len(sequence) <= 16 for sequence in packed)
    inner = [token for sequence in packed for token in sequence[1:-1]]
    wanted = tokenizer.encode(f"A start. {long} After it.", add_special_tokens=False).ids
    assert inner == wanted
    assert all(sequence[0] == SPECIAL.cls and sequence[-1] == SPECIAL.sep for sequence in packed)


def test_a_sentence_that_fills_a_sequence_exactly_leaves_no_empty_one() -> None:
    packed = packed_into(16, "word " * 28, "word " * 14)
    assert [len(sequence) for sequence in packed] == [16, 16, 16]


def test_special_tokens_in_a_text_are_plain_characters() -> None:
    (sequence,) = packed_into(64, "Before [SEP] after [MASK].")
    assert sequence.count(SPECIAL.sep) == 1
    assert 103 not in sequence


def test_files_of_a_folder_are_read_in_order_and_unpacked(tmp_path: Path) -> None:
    folder = tmp_path / "texts"
    (folder / "below").mkdir(parents=True)
    (folder / "a.txt").write_text("alpha\n")
    (folder / "b.txt.gz").write_bytes(gzip.compress(b"beta\n"))
    (folder / "below" / "c.txt.xz").write_bytes(lzma.compress(b"gamma\n"))
    (folder / "notes.md").write_text("not a text\n")
    assert list(Corpus(folder).paragraphs()) == ["alpha", "", "beta", "", "gamma", ""]


def test_only_the_documents_asked_for_are_read(tmp_path: Path) -> None:
    path = tmp_path / "corpus.txt"
    path.write_text("one\n\n\ntwo\nmore\n\nthree\n")
    kept = [text for text in Corpus(path).paragraphs(range(1, 2)) if text]
    assert kept == ["two", "more"]


def test_the_same_text_gives_the_same_bytes_and_is_not_prepared_twice(
    tmp_path: Path, corpus: Path
) -> None:
    first = prepare(Corpus(corpus), tmp_path / "a")
    second = prepare(Corpus(corpus), tmp_path / "b")
    again = prepare(Corpus(corpus), tmp_path / "a")
    assert first.sha256 == second.sha256 == again.sha256
    assert again.reused
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
    with pytest.raises(InputError, match="something else"):
        prepare(Corpus(corpus), tmp_path / "a", sequence_length=64)


def test_several_shards_read_like_one(
    tmp_path: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus.write_text("\n\n".join(f"Document number {n} is here." for n in range(50)))
    prepare(Corpus(corpus), tmp_path / "one")
    monkeypatch.setattr("atb.data.corpus.preparation.SHARD_TOKENS", 60)
    prepare(Corpus(corpus), tmp_path / "many")
    assert len(TokenShards.open(tmp_path / "many").shards) > 3
    assert sequences(tmp_path / "one") == sequences(tmp_path / "many")


def test_the_limit_ends_the_preparation(tmp_path: Path, corpus: Path) -> None:
    corpus.write_text("\n\n".join("A document of some words." for _ in range(100)))
    seen: list[float] = []
    summary = prepare(
        Corpus(corpus),
        tmp_path / "out",
        limit_tokens=50,
        progress=lambda share, _: seen.append(share or 0.0),
    )
    assert 50 <= summary.counts.tokens < 60
    assert seen[-1] == 1.0


def test_a_document_is_cut_at_the_sequence_that_reaches_the_limit() -> None:
    document = PackedDocument(tokens=array("I", range(9)), lengths=array("H", [3, 3, 3]))
    assert [document.first(n).lengths.tolist() for n in (1, 3, 4, 9, 100)] == [
        [3],
        [3],
        [3, 3],
        [3, 3, 3],
        [3, 3, 3],
    ]
    assert document.first(4).tokens.tolist() == list(range(6))


class Breaking(Corpus):
    """A corpus whose reader is killed at its fifth document."""

    def paragraphs(self, documents: range = EVERYTHING) -> Iterator[str]:
        for paragraph in super().paragraphs(documents):
            if self.documents_read == 5:
                raise KeyboardInterrupt
            yield paragraph


def test_what_was_interrupted_goes_on_to_the_same_bytes(
    tmp_path: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "\n\n".join(f"Document number {n}. " + f"Some more of {n}. " * n for n in range(16))
    corpus.write_text(text)
    monkeypatch.setattr("atb.data.corpus.preparation.SHARD_TOKENS", 30)
    monkeypatch.setattr("atb.data.corpus.packing._PARAGRAPHS_AT_ONCE", 1)
    whole = prepare(Corpus(corpus), tmp_path / "whole")
    for _ in range(8):
        with contextlib.suppress(KeyboardInterrupt):
            pieces = prepare(Breaking(corpus), tmp_path / "pieces")
            break
    assert (pieces.counts, pieces.sha256) == (whole.counts, whole.sha256)
    assert whole.counts.documents == 16
    for path in (tmp_path / "whole").iterdir():
        assert path.read_bytes() == (tmp_path / "pieces" / path.name).read_bytes()
    assert not list(tmp_path.glob(".*"))


def test_another_call_does_not_take_up_what_was_interrupted(
    tmp_path: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus.write_text("\n\n".join(f"Document number {n} is here." for n in range(50)))
    monkeypatch.setattr("atb.data.corpus.preparation.SHARD_TOKENS", 10)
    monkeypatch.setattr("atb.data.corpus.packing._PARAGRAPHS_AT_ONCE", 1)
    with pytest.raises(KeyboardInterrupt):
        prepare(Breaking(corpus), tmp_path / "out")
    with pytest.raises(InputError, match="beginning of other shards"):
        prepare(Corpus(corpus), tmp_path / "out", sequence_length=64)


def test_a_full_disk_is_told_in_a_sentence(
    tmp_path: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("atb.data.corpus.preparation.save_shard", full)
    with pytest.raises(RunError, match="make room"):
        prepare(Corpus(corpus), tmp_path / "out")


def test_the_summary_counts_sentences_cuts_and_unknown_words(tmp_path: Path, corpus: Path) -> None:
    corpus.write_text("A sentence. W" + "ord " * 300 + "ends.\n\n\u1234\u1234 is unknown.\n")
    summary = prepare(Corpus(corpus), tmp_path / "out", sequence_length=32)
    assert summary.counts.documents == 2
    assert summary.counts.sentences == 3
    assert summary.counts.cut_sentences == 1
    assert summary.counts.unknown_tokens == 1
    assert summary.unknown_share == 1 / summary.counts.tokens
    assert 0 < summary.filled_share <= 1


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.txt", b""),
        ("blank.txt", b"\n \n\t\n"),
        ("noise.txt", bytes(range(256)) * 20),
        ("zeros.txt", bytes(1000)),
        ("latin.txt", "Fu\xdf".encode("latin-1")),
        ("cut.txt.xz", lzma.compress(b"text\n" * 1000)[:-20]),
        ("plain.txt.gz", b"not compressed\n"),
    ],
)
def test_what_is_no_text_is_refused_and_nothing_is_written(
    tmp_path: Path, name: str, content: bytes
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError):
        prepare(Corpus(path), tmp_path / "out")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "options", [{"sequence_length": 2}, {"sequence_length": -1}, {"limit_tokens": 0}]
)
def test_impossible_amounts_are_refused(
    tmp_path: Path, corpus: Path, options: dict[str, int]
) -> None:
    with pytest.raises(InputError):
        prepare(Corpus(corpus), tmp_path / "out", **options)  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()


def test_a_missing_source_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no file or folder"):
        prepare(Corpus(tmp_path / "nothing.txt"), tmp_path / "out")


def test_the_order_is_a_permutation_that_seed_and_epoch_determine(
    tmp_path: Path, corpus: Path
) -> None:
    corpus.write_text("\n\n".join(f"Document {n}." for n in range(40)))
    prepare(Corpus(corpus), tmp_path / "out")
    shards = TokenShards.open(tmp_path / "out")
    assert sorted(shards.order(0, 0)) == list(range(40))
    assert np.array_equal(shards.order(1, 5), shards.order(1, 5))
    assert not np.array_equal(shards.order(1, 5), shards.order(2, 5))
    assert not np.array_equal(shards.order(1, 5), shards.order(1, 6))


def test_a_batch_is_padded_to_its_longest_sequence(tmp_path: Path, corpus: Path) -> None:
    prepare(Corpus(corpus), tmp_path / "out")
    shards = TokenShards.open(tmp_path / "out")
    ids, mask = shards.batch([1, 0])
    assert ids.dtype == mask.dtype == np.int64
    assert ids.shape == mask.shape == (2, int(mask.sum(axis=1).max()))
    assert (ids[mask == 0] == 0).all()
    assert shards.batch([0])[0].tolist() == ids[1:, : mask[1].sum()].tolist()
    with pytest.raises(IndexError):
        shards.batch([2])


def damaged_meta(folder: Path, **fields: object) -> None:
    meta = json.loads((folder / "meta.json").read_text())
    (folder / "meta.json").write_text(json.dumps(meta | fields))


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "meta.json").unlink(),
        lambda folder: (folder / "meta.json").write_text("{"),
        lambda folder: damaged_meta(folder, format=99),
        lambda folder: damaged_meta(folder, kind="latency-predictor"),
        lambda folder: damaged_meta(folder, shards=[]),
        lambda folder: damaged_meta(folder, shards=7),
        lambda folder: damaged_meta(folder, sequence_length=4),
        lambda folder: damaged_meta(folder, vocabulary={}),
        lambda folder: (folder / "tokens-00000.npy").unlink(),
        lambda folder: (folder / "lengths-00000.npy").write_bytes(b"\x93NUMPY"),
        lambda folder: (folder / "tokens-00000.npy").write_bytes(
            (folder / "tokens-00000.npy").read_bytes()[:-8]
        ),
        lambda folder: np.save(folder / "tokens-00000.npy", np.zeros(3)),
    ],
)
def test_damaged_shards_are_refused(tmp_path: Path, corpus: Path, damage: object) -> None:
    prepare(Corpus(corpus), tmp_path / "out")
    damage(tmp_path / "out")  # type: ignore[operator]
    with pytest.raises(BadFile):
        TokenShards.open(tmp_path / "out")


def test_a_token_outside_the_vocabulary_is_refused(tmp_path: Path, corpus: Path) -> None:
    prepare(Corpus(corpus), tmp_path / "out")
    path = tmp_path / "out" / "tokens-00000.npy"
    tokens = np.load(path)
    tokens[3] = 40_000
    np.save(path, tokens)
    with pytest.raises(BadFile, match="outside the vocabulary"):
        TokenShards.open(tmp_path / "out").batch([0])
