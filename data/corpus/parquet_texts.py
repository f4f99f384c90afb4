"""Texts in Parquet: a document a row, a string or a list of strings."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from atb.data.corpus.paragraphs import paragraphs_in
from atb.errors import BadFile, MissingExtra
from atb.text_files import one_line

__all__ = ["is_parquet", "parquet_documents"]

_MAGIC = b"PAR1"
_ENDING = ".parquet"
# Rows of a file in memory at a time.
_ROWS_AT_ONCE = 1000


def is_parquet(path: Path, raw: io.BufferedReader) -> bool:
    """Whether an opened file is Parquet, by its first bytes, or is called so."""
    return raw.peek(4).startswith(_MAGIC) or path.suffix.lower() == _ENDING


def parquet_documents(path: Path, raw: io.BufferedReader, column: str) -> Iterator[Iterable[str]]:
    """The rows of a Parquet file, read in pieces.

    Raises:
        BadFile: It is no Parquet file, or has no such column of texts.
        MissingExtra: pyarrow is not installed.
    """
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise MissingExtra("pyarrow", "parquet", wanted_for="A Parquet file") from error
    try:
        file = parquet.ParquetFile(raw)
        _check_column(path, file.schema_arrow, column)
        number = 0
        for batch in file.iter_batches(_ROWS_AT_ONCE, columns=[column]):
            for text in batch.column(0).to_pylist():
                number += 1
                yield paragraphs_in(text, f"{path}, row {number}", column)
    except UnicodeDecodeError as error:
        raise BadFile(
            f"{path} has a text in {column!r} that is not UTF-8: write the file again."
        ) from error
    except (pa.ArrowException, OSError) as error:
        raise BadFile(
            f"{path} is not a readable Parquet file ({one_line(error)}): get it anew."
        ) from error


def _check_column(path: Path, schema: Any, column: str) -> None:
    """Make sure that there is one such column, and that it holds text.

    Raises:
        BadFile: It is not so.
    """
    from pyarrow import types as is_type

    if schema.names.count(column) != 1:
        how_many = "several columns" if column in schema.names else "no column"
        raise BadFile(
            f"{path} has {how_many} {column!r}: name one of {', '.join(schema.names)[:200]} with "
            "--column."
        )
    kind = schema.field(column).type
    if is_type.is_list(kind) or is_type.is_large_list(kind) or is_type.is_fixed_size_list(kind):
        kind = kind.value_type
    if is_type.is_dictionary(kind):
        kind = kind.value_type
    texts = (is_type.is_string, is_type.is_large_string, is_type.is_string_view, is_type.is_null)
    if not any(is_text(kind) for is_text in texts):
        raise BadFile(
            f"The column {column!r} of {path} holds {schema.field(column).type} and no text: name "
            "another one with --column."
        )
