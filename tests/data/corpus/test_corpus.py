"""A corpus is read as what it is, whatever its name, packing or encoding; the rest is named."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest

from atb.data.corpus import layouts
from atb.data.corpus.corpus import Corpus
from atb.errors import BadFile, InputError

TEXTS = ("The ferry leaves.\nIt is late.", 'A "quiet", long day; rain.')
PARAGRAPHS = ["The ferry leaves.", "It is late.", "", 'A "quiet", long day; rain.', ""]
ROWS = [{"id": number, "text": text} for number, text in enumerate(TEXTS)]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS)


def delimited(delimiter: str, **words) -> str:
    file = io.StringIO()
    writer = csv.writer(file, delimiter=delimiter, **words)
    writer.writerows([("id", "text"), *(row.values() for row in ROWS)])
    return file.getvalue()


def zstandard(data: bytes) -> bytes:
    pyarrow = pytest.importorskip("pyarrow")
    return bytes(pyarrow.Codec("zstd").compress(data, asbytes=True))


SAME = {
    "lines.json": LINES,
    "lines.NDJSON": LINES,
    "lines-of-a-notebook.txt": LINES,
    "array.json": json.dumps(ROWS),
    "array.jsonl": json.dumps(ROWS),
    "pretty-array.json": "\n\n" + json.dumps(ROWS, indent=2) + "\n",
    "list-in-an-object.json": json.dumps({"version": "1", "data": ROWS}),
    "pretty-object.json": json.dumps({"version": "1", "data": ROWS}, indent=1),
    "one-after-another.json": "".join(json.dumps(row, indent=1) + "\n" for row in ROWS),
    "strings.json": json.dumps(TEXTS),
    "pandas.json": json.dumps({"text": {"0": TEXTS[0], "1": TEXTS[1]}, "id": {"0": 0, "1": 1}}),
    "lists.jsonl": "".join(json.dumps({"text": t.split("\n")}) + "\n" for t in TEXTS),
    "commas.csv": delimited(","),
    "semicolons.csv": delimited(";", quoting=csv.QUOTE_ALL),
    "tabs.TSV": delimited("\t"),
    "wiki_07": "".join(f'<doc id="1" title="x">\nTitle\n\n{t}\n</doc>\n' for t in TEXTS),
    "prose.TXT": "\n\n".join(TEXTS),
}


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("name", list(SAME))
def test_the_same_documents_are_read_from_every_layout(name: str, mark: str, tmp_path) -> None:
    path = tmp_path / name
    path.write_text(mark + SAME[name], encoding="utf-8", newline="")
    assert list(Corpus(path).paragraphs()) == PARAGRAPHS
    assert list(Corpus(tmp_path).paragraphs()) == PARAGRAPHS


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32"])
@pytest.mark.parametrize(
    ("ending", "packed"),
    [
        ("", bytes),
        (".GZ", gzip.compress),
        (".xz", lzma.compress),
        (".Bz2", bz2.compress),
        (".zst", zstandard),
        (".backup", gzip.compress),
    ],
)
def test_packing_and_encoding_are_told_from_the_bytes(
    ending: str, packed: Callable[[bytes], bytes], encoding: str, tmp_path: Path
) -> None:
    mark = "\ufeff" if encoding == "utf-16-be" else ""
    path = tmp_path / f"part.json{ending}"
    path.write_bytes(packed((mark + json.dumps(ROWS)).encode(encoding)))
    assert list(Corpus(path).paragraphs()) == PARAGRAPHS


def test_byte_order_marks_within_a_file_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "joined.txt"
    path.write_bytes(b"".join(text.encode("utf-8-sig") + b"\n\n" for text in TEXTS))
    assert list(Corpus(path).paragraphs()) == PARAGRAPHS


@pytest.mark.parametrize("piece", [3, 7, 40, 1 << 20])
@pytest.mark.parametrize("name", ["array.json", "pretty-array.json", "lines.json", "commas.csv"])
def test_long_lines_that_come_in_pieces_are_read_alike(
    name: str, piece: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layouts, "_LONGEST_LINE", piece)
    path = tmp_path / name
    path.write_text(SAME[name], "utf-8")
    assert list(Corpus(path).paragraphs()) == PARAGRAPHS


def test_an_array_is_not_read_into_memory_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "long.json"
    path.write_text("[" + ",\n".join(json.dumps(row) for row in ROWS * 20_000) + "]")
    corpus = Corpus(path)
    documents = corpus.paragraphs()
    assert [next(documents) for _ in PARAGRAPHS] == PARAGRAPHS
    assert corpus.share_read < 0.1


def test_a_folder_says_what_was_read_as_what_and_what_was_not(tmp_path: Path) -> None:
    files = {
        "._a.txt": b"\0\5\26\7",
        ".ipynb_checkpoints/a.txt": b"hidden",
        "a/.DS_Store": b"\0\0",
        "a/one.txt": b"The ferry leaves.",
        "b.json": json.dumps([{"text": None}, {"text": "It is late."}]).encode(),
        "c.csv": b"id,text\n1,\n2,A day.\n",
        "d/empty.txt": b"",
        "index.json": b'[{"id": 1}, {"id": 2}]',
        "info.json": b'{"license": "none"}',
        "labels.csv": b"id,label\n1,x\n",
        "notes.md": b"# Notes",
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    corpus = Corpus(tmp_path)
    read = [text for text in corpus.paragraphs() if text]
    assert read == ["The ferry leaves.", "It is late.", "A day."]
    assert corpus.notes == [
        "Read as plain text: one.txt.",
        "Read as JSON array: b.json.",
        "Read as CSV: c.csv.",
        "Read as an empty file: empty.txt.",
        "Left out, hidden: ._a.txt, a.txt, .DS_Store.",
        "Left out, no text by its ending: notes.md.",
        "Left out, without 'text': index.json, info.json, labels.csv.",
        "Left out, as their text is null: 2 documents.",
    ]


def test_a_folder_of_nothing_to_read_is_refused_with_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "._a.txt").write_bytes(b"\0")
    (tmp_path / "notes.md").write_text("# Notes")
    with pytest.raises(InputError, match=r"only \._a\.txt, notes\.md: put files there"):
        Corpus(tmp_path)


def test_a_folder_without_the_field_is_refused_and_not_left_out(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("id,body\n1,x\n")
    with pytest.raises(BadFile, match="has no column 'text': name one of id, body with --column"):
        list(Corpus(tmp_path).paragraphs())
    assert list(Corpus(tmp_path, column="body").paragraphs()) == ["x", "", "x", ""]


def test_files_of_one_name_in_several_folders_are_told_apart(tmp_path: Path) -> None:
    for name in ("AA/wiki_00", "AB/wiki_00", "AB/wiki_01"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("The ferry leaves.")
    before = Corpus(tmp_path).identity
    assert list(before["files"]) == ["AA/wiki_00", "AB/wiki_00", "wiki_01"]
    (tmp_path / "AA/wiki_00").write_text("It is late.")
    assert Corpus(tmp_path).identity != before


def test_halves_of_characters_are_replaced(tmp_path: Path) -> None:
    path = tmp_path / "cut.jsonl"
    path.write_text('{"text": "rain \\ud83d\\nsun \\ud83d\\ude00"}\n')
    assert list(Corpus(path).paragraphs()) == ["rain \ufffd", "sun \U0001f600", ""]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.txt", b"fine\nnot f\xfcr us\n", r"line 2 is not UTF-8 text \(byte 0xfc at offset 10\)"),
        ("a.txt", b"cut \xe2\x82", r"line 1 is not UTF-8 .*0xe2 at offset 4"),
        (
            "a.txt",
            b"\xff\xfea\0\n\0\0\xd8b\0",
            r"line 2 is not UTF-16 text \(byte 0x00 at offset 6",
        ),
        ("a.txt.gz", gzip.compress(b"x\n" * 9 + b"\xff", mtime=0), "line 10 is not UTF-8"),
        ("a.txt", "text".encode("utf-16-le"), "UTF-16 without a byte-order mark"),
        ("a.txt.gz", b"text", "is not packed, although its name says so"),
        ("a.txt.bz2", bz2.compress(b"text" * 99)[:-9], "is damaged"),
        ("a.json", b'[{"text": "a"},\n {"text": 3}]', "element 2 has no text in 'text' but 3"),
        ("a.json", b'[{"text": "a"},\n {"text": "b"]', "line 2 is not JSON"),
        ("a.json", b'[{"text": "a"}\n', "line 2 is not JSON .*it ends where , is wanted"),
        ("a.jsonl", b'{"text": null}\n' * 3, "null in each of 3 documents: name the field"),
        ("a.json", b'[{"body": "a"}]', "element 1 has no 'text': name the field"),
        ("a.json", b'{"text": "a"}\n{"body": "b"}\n', "line 2 has no 'text': name the field"),
        ("a.json", b'[{"text": "a"}] {}', "goes on after its end"),
        ("a.json", b'{"text": \n\n tru}', "line 3 is not JSON"),
        ("a.json", b'{"text":\n"a"}\n\n{"text":\n\n nul}', "line 6 is not JSON"),
        ("a.json", b'{"a": [{"text": ""}], "b": [{"text": ""}]}', "several lists"),
        ("a.json", b'{"title": "a"}', "without 'text'"),
        ("a.json", b"[" * 99_999, "is not JSON"),
        ("a.jsonl", b'{"text": ' + b"9" * 9_999 + b"}\n", "line 1 is not JSON"),
        ("a.jsonl", b'{"text": ["a", 1]}\n', "line 1 has no text in 'text' but"),
        ("a.tsv", b'id\ttext\n1\t"A\n2\tB"\n', "line 3 cannot be cut into cells .* holds tabs"),
        ("a.txt", b"a\nb\0\n", "line 2 holds a NUL character"),
        ("a.csv", b"id,text\n1,a,b\n", "line 2 has 3 cells and the header has 2"),
        ("a.csv", b'id,text\n1,a\n2,"b\n', "line 3 cannot be cut into cells"),
        ("a.xml", b"<?xml version='1.0'?><mediawiki>", "is XML or a web page"),
        ("a.parquet", b"text", "not a readable Parquet file"),
    ],
)
def test_what_cannot_be_read_is_refused_at_its_place(name, content, told, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=told) as error:
        list(Corpus(path).paragraphs())
    assert "\n" not in str(error.value)


class TestParquet:
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")

    def written(self, path: Path, column: object) -> Path:
        self.parquet.write_table(self.pa.table({"text": column}), path)
        return path

    @pytest.mark.parametrize("name", ["A.PARQUET", "part-0"])
    def test_it_is_told_by_its_bytes_and_lists_are_paragraphs(self, name, tmp_path: Path) -> None:
        lists = [text.split("\n") for text in TEXTS]
        path = self.written(tmp_path / name, [lists[0], None, lists[1]])
        corpus = Corpus(path)
        assert list(corpus.paragraphs()) == PARAGRAPHS
        assert corpus.null_texts == 1

    @pytest.mark.parametrize("kind", ["large_string", "string_view", "dictionary"])
    def test_strings_of_every_kind_are_texts(self, kind: str, tmp_path: Path) -> None:
        column = self.pa.array(list(TEXTS))
        if kind == "dictionary":
            column = column.dictionary_encode()
        else:
            column = column.cast(getattr(self.pa, kind)())
        assert list(Corpus(self.written(tmp_path / "a.parquet", column)).paragraphs()) == PARAGRAPHS

    @pytest.mark.parametrize("column", [[1, 2], [[1], [2]], [True], [{"a": "b"}], [b"raw"]])
    def test_a_column_of_something_else_is_refused(self, column, tmp_path: Path) -> None:
        path = self.written(tmp_path / "a.parquet", column)
        with pytest.raises(BadFile, match=r"holds .* and no text: name another one"):
            list(Corpus(path).paragraphs())


def test_null_rows_of_a_dataset_are_left_out_and_counted(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    from atb.data.corpus.hugging_face import HuggingFaceText

    rows = datasets.Dataset.from_dict({"text": [TEXTS[0], None, TEXTS[1]]})
    rows.save_to_disk(tmp_path / "saved")
    text = HuggingFaceText(str(tmp_path / "saved"))
    assert list(text.paragraphs()) == PARAGRAPHS
    assert text.notes == ["Left out, as their text is null: 1 rows."]
