"""Corpora that arrive damaged are packed, or refused in a sentence."""

from __future__ import annotations

import gzip
import io
import json
import string
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from mutation import Reader, check_reader

from atb.data.corpus.corpus import Corpus
from atb.data.corpus.packing import Packer
from atb.data.tokenizer.tokenizer_files import read_vocabulary

TEXTS = [f"Boat number {n} leaves.\nIt carries {n * 3} people, rain or not." for n in range(12)]
ROWS = [{"id": n, "text": text} for n, text in enumerate(TEXTS)]
SAMPLES = {
    "prose.txt": "\n\n".join(TEXTS).encode(),
    "packed.txt.gz": gzip.compress("\n\n".join(TEXTS).encode(), mtime=0),
    "lines.jsonl": "".join(json.dumps(row) + "\n" for row in ROWS).encode(),
    "array.json": json.dumps(ROWS, indent=1).encode(),
    "object.json": json.dumps({"version": 1, "data": ROWS}).encode(),
    "rows.csv": b"id,text\n" + "".join(f'{n},"{t}"\n' for n, t in enumerate(TEXTS)).encode(),
    "wiki_00": "".join(f'<doc id="1">\nTitle\n\n{text}\n</doc>\n' for text in TEXTS).encode(),
}


def parquet() -> bytes:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet as writer

    file = io.BytesIO()
    writer.write_table(pyarrow.table({"text": TEXTS}), file)
    return file.getvalue()


@lru_cache
def packer() -> Packer:
    """With a small vocabulary, since a tokenizer is made of it for each file."""
    letters = string.ascii_lowercase + string.digits + string.punctuation
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{c}" for c in letters)]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "vocab.txt"
        path.write_text("\n".join(words) + "\n", "utf-8")
        return Packer(read_vocabulary(path), 32)


def read(path: Path) -> None:
    for document in packer().pack(Corpus(path).paragraphs()):
        assert sum(document.lengths) == len(document.tokens)
        assert all(3 <= length <= 32 for length in document.lengths)


@pytest.mark.slow
@pytest.mark.parametrize("reader", [Reader("corpus", SAMPLES, read, mutations=500)], ids=str)
def test_a_damaged_corpus_is_packed_or_refused(reader: Reader, tmp_path: Path) -> None:
    check_reader(reader, tmp_path / "files")


@pytest.mark.slow
def test_damaged_parquet_is_packed_or_refused(tmp_path: Path) -> None:
    reader = Reader("parquet", {"rows.parquet": parquet()}, read, mutations=150)
    check_reader(reader, tmp_path / "files")
