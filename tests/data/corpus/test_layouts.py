"""Layouts of text: WikiExtractor's, JSON lines, Parquet, Hugging Face datasets, very long ones."""

from __future__ import annotations

import bz2
import json
from pathlib import Path

import pytest

from atb.data.corpus.corpus import Corpus
from atb.data.corpus.hugging_face import HuggingFaceText, is_saved_dataset
from atb.data.corpus.packing import sentences
from atb.errors import BadFile, InputError

ARTICLES = ("First one.\nIts second paragraph.", "Another article & more.")
PARAGRAPHS = ["First one.", "Its second paragraph.", "", "Another article & more.", ""]


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return path


def wiki_text() -> str:
    return "".join(
        f'<doc id="{n}" url="u" title="Title {n}">\nTitle {n}\n\n{article}\n\n</doc>\n'
        for n, article in enumerate(ARTICLES)
    ).replace("&", "&amp;")


def json_lines() -> str:
    return "".join(json.dumps({"id": n, "text": text}) + "\n" for n, text in enumerate(ARTICLES))


def test_wiki_extractors_text_is_read_by_article_without_titles(tmp_path: Path) -> None:
    write(tmp_path / "AA" / "wiki_00", wiki_text())
    (tmp_path / "AA" / "wiki_01.bz2").write_bytes(bz2.compress(wiki_text().encode()))
    assert list(Corpus(tmp_path).paragraphs()) == PARAGRAPHS * 2


def test_wiki_extractors_json_is_read(tmp_path: Path) -> None:
    write(tmp_path / "wiki_00", json_lines())
    assert list(Corpus(tmp_path).paragraphs()) == PARAGRAPHS


def test_json_lines_are_read_even_very_long_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("atb.data.corpus.layouts._LONGEST_LINE", 7)
    path = write(tmp_path / "text.jsonl", json_lines().rstrip() + "\n\n")
    assert list(Corpus(path).paragraphs()) == PARAGRAPHS


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{", "is not JSON"),
        ('{"body": "x"}', "--column"),
        ("[1]", "--column"),
        ('{"text": 3}', "3"),
    ],
)
def test_broken_json_lines_are_told_by_line(tmp_path: Path, line: str, told: str) -> None:
    path = write(tmp_path / "text.jsonl", json_lines() + line + "\n")
    with pytest.raises(BadFile, match="line 3") as error:
        list(Corpus(path).paragraphs())
    assert told in str(error.value)


def test_another_column_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "text.jsonl", '{"body": "One."}\n')
    assert list(Corpus(path, column="body").paragraphs()) == ["One.", ""]


def test_parquet_is_read(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    path = tmp_path / "text.parquet"
    pandas.DataFrame({"text": ARTICLES, "n": [1, 2]}).to_parquet(path)
    assert list(Corpus(tmp_path).paragraphs()) == PARAGRAPHS
    with pytest.raises(BadFile, match="text, n"):
        list(Corpus(path, column="body").paragraphs())
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(BadFile, match="Parquet"):
        list(Corpus(path).paragraphs())


def test_a_document_that_never_ends_counts_as_several(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("atb.data.corpus.corpus._LONGEST_DOCUMENT", 10)
    path = write(tmp_path / "text.txt", "alpha\nbeta__\ngamma\ndelta\nomega\n\nnext\n")
    corpus = Corpus(path)
    assert list(corpus.paragraphs()) == [
        *("alpha", "beta__", ""),
        *("gamma", "delta", ""),
        *("omega", "", "next", ""),
    ]
    assert corpus.documents_read == 4
    assert list(Corpus(path).paragraphs(range(1, 2))) == ["gamma", "delta", ""]


def test_sentences_of_other_languages_are_cut() -> None:
    assert sentences("\u6211\u662f\u3002\u4f60\u5462\uff1f\u597d") == [
        "\u6211\u662f\u3002",
        "\u4f60\u5462\uff1f",
        "\u597d",
    ]
    assert sentences("Ja. Ärger gibt es. und so") == ["Ja.", "Ärger gibt es. und so"]


class TestHuggingFace:
    datasets = pytest.importorskip("datasets")

    @pytest.fixture
    def saved(self, tmp_path: Path) -> Path:
        rows = {"text": [*ARTICLES, ""], "n": [0, 1, 2]}
        splits = self.datasets.DatasetDict({"train": self.datasets.Dataset.from_dict(rows)})
        splits.save_to_disk(tmp_path / "saved")
        return tmp_path / "saved"

    def test_a_saved_dataset_is_read(self, saved: Path) -> None:
        assert is_saved_dataset(saved)
        text = HuggingFaceText(str(saved))
        assert list(text.paragraphs()) == PARAGRAPHS
        assert text.documents_read == 2
        assert text.share_read == 1.0
        assert list(HuggingFaceText(str(saved)).paragraphs(range(1, 9))) == PARAGRAPHS[3:]
        assert text.identity == HuggingFaceText(str(saved)).identity

    def test_data_files_in_a_folder_are_streamed(self, tmp_path: Path) -> None:
        write(tmp_path / "files" / "train.jsonl", json_lines())
        assert list(HuggingFaceText(str(tmp_path / "files")).paragraphs()) == PARAGRAPHS

    @pytest.mark.parametrize(
        ("options", "told"), [({"split": "exam"}, "train"), ({"column": "body"}, "text, n")]
    )
    def test_what_it_has_not_is_refused(
        self, saved: Path, options: dict[str, str], told: str
    ) -> None:
        with pytest.raises(InputError, match=told):
            HuggingFaceText(str(saved), **options)

    def test_a_column_of_numbers_is_refused(self, saved: Path) -> None:
        with pytest.raises(BadFile, match="no text"):
            list(HuggingFaceText(str(saved), column="n").paragraphs())

    def test_a_dataset_that_is_not_there_is_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        with pytest.raises(InputError, match="Cannot open the dataset"):
            HuggingFaceText(str(tmp_path / "nothing"))
