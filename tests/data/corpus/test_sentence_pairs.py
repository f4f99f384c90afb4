"""Tables of sentence pairs: the shipped one, and those of users."""

from __future__ import annotations

from pathlib import Path

import pytest

from atb.data.corpus.sentence_pairs import SentencePairs
from atb.data.tokenizer.tokenizer_files import read_vocabulary
from atb.errors import BadFile

ROWS = [(f"A dog runs, number {n}.", f'The "dog" runs {n} times.', n / 2) for n in range(12)]


def table(
    path: Path, rows: list[tuple[object, ...]], *, header: str = "first,second,score"
) -> Path:
    mark = "\t" if path.suffix == ".tsv" else ","
    lines = [header.replace(",", mark)]
    lines += [mark.join('"' + str(cell).replace('"', '""') + '"' for cell in row) for row in rows]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


@pytest.mark.parametrize("ending", ["csv", "tsv"])
def test_a_table_of_pairs_is_read_with_its_scores(tmp_path: Path, ending: str) -> None:
    pairs = SentencePairs.read(table(tmp_path / f"pairs.{ending}", ROWS))
    assert len(pairs) == 12
    assert list(zip(pairs.first, pairs.second, pairs.scores or (), strict=True)) == ROWS


def test_pairs_without_scores_are_pairs_all_the_same(tmp_path: Path) -> None:
    rows = [row[:2] for row in ROWS]
    assert SentencePairs.read(table(tmp_path / "p.csv", rows, header="first,second")).scores is None


def test_the_tokens_are_all_first_sentences_and_then_all_second_ones(tmp_path: Path) -> None:
    pairs, words = SentencePairs.read(table(tmp_path / "pairs.csv", ROWS)), read_vocabulary()
    text = pairs.tokens(words, 8)
    assert len(text) == 24
    assert text.lengths_of(list(range(24))).max() == 8
    ids, _ = pairs.tokens(words, 64).batch([1, 13])
    decoded = [words.tokenizer().decode(row.tolist()) for row in ids]
    assert decoded == ["a dog runs, number 1.", 'the " dog " runs 1 times.']


@pytest.mark.parametrize(
    ("header", "rows", "said"),
    [
        ("one,two,score", ROWS, "columns one, two, score"),
        ("first,second,score", ROWS[:3], "3 pairs"),
        ("first,second,score", [*ROWS, ("A dog.", " ", 1)], "line 14"),
        (
            "first,second,score",
            [*ROWS, ("A dog.", "A cat.", "high")],
            "line 14: the score is 'high'",
        ),
        ("first,second,score", [*ROWS, ("A dog.", "A cat.", "nan")], "the score is 'nan'"),
        ("first,second,score", [*ROWS, ("A dog.",)], "line 14"),
        ("first,second,score", [*ROWS, ("A dog.", "A cat", 2, 1)], "line 14 has other cells"),
    ],
)
def test_what_is_no_table_of_pairs_is_refused(
    tmp_path: Path, header: str, rows: list[tuple[object, ...]], said: str
) -> None:
    with pytest.raises(BadFile, match=said):
        SentencePairs.read(table(tmp_path / "pairs.csv", rows, header=header))


def test_a_quotation_mark_that_is_not_closed_swallows_no_rows(tmp_path: Path) -> None:
    path = table(tmp_path / "pairs.tsv", ROWS)
    torn = 'He said.\t"No, said he.\t1\n'
    path.write_text(path.read_text("utf-8") + torn + 'A dog.\tA "cat".\t3\n', "utf-8")
    with pytest.raises(BadFile, match="quotation marks"):
        SentencePairs.read(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=r"pairs\.csv"):
        SentencePairs.read(tmp_path / "pairs.csv")
