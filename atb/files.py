"""Files that `atb` writes and reads back: whole or not at all, and each with a format number."""

from __future__ import annotations

import contextlib
import json
import math
import os
import secrets
import stat
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from atb.errors import BadFile, InputError

__all__ = [
    "atomic_path",
    "check_document",
    "prepare_output",
    "read_document",
    "write_document",
]


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that takes its name when the block ends well.

    A crash or a full disk leaves the old file as it was. A file that is there keeps its mode; a new
    one has that of the user's umask, whoever wrote the temporary one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}{path.suffix}")
    descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
    os.close(descriptor)
    try:
        yield temporary
        with contextlib.suppress(FileNotFoundError):
            mode = stat.S_IMODE(path.stat().st_mode)
        temporary.chmod(mode)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def prepare_output(path: Path, *, directory: bool = False) -> Path:
    """Make sure that `path` can be written, before hours of work depend on it.

    Args:
        path: The file (or folder, with `directory`) that will be written.
        directory: Whether `path` itself is to be a folder.

    Raises:
        InputError: It cannot be written.
    """
    folder = path if directory else path.parent
    try:
        if not directory and path.is_dir():
            raise IsADirectoryError(f"{path} is a folder")
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(
            f"Cannot write to {path} ({reason}): choose another place with --out or --db."
        ) from error
    return path


def write_document(path: Path, content: Mapping[str, Any], *, kind: str, format: int) -> None:  # noqa: A002
    """Write a JSON document with its kind and format number, atomically.

    Args:
        path: Where to.
        content: JSON-able fields.
        kind: What the document is, such as "latency-predictor".
        format: The number of the format, raised when its meaning changes.
    """
    with atomic_path(path) as temporary:
        document = {"format": format, "kind": kind, **content}
        temporary.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n", "utf-8")


def read_document(path: Path, *, kind: str, format: int) -> dict[str, Any]:  # noqa: A002
    """Read a document that `write_document` wrote.

    Raises:
        BadFile: It is missing, truncated, of another kind or of a newer format, or holds a number
            that is none.
    """
    try:
        text = path.read_text("utf-8")
        document = json.loads(text, parse_float=_finite, parse_constant=_finite)
    except FileNotFoundError as error:
        raise BadFile(
            f"There is no file {path}: check the path, or make the file first."
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise BadFile(
            f"{path} is not a readable {kind} file ({error}): it may be truncated; make it again."
        ) from error
    return check_document(document, str(path), kind=kind, format=format)


def check_document(document: object, where: str, *, kind: str, format: int) -> dict[str, Any]:  # noqa: A002
    """Make sure that what was read is a document of this kind and format.

    Args:
        document: As JSON has it.
        where: Where it was found, for the message.
        kind: As for `write_document`.
        format: Likewise.

    Raises:
        BadFile: It is something else.
    """
    if not isinstance(document, dict) or document.get("kind") != kind:
        raise BadFile(f"{where} is not a {kind} file: pass one that atb wrote.")
    if document.get("format") != format:
        raise BadFile(
            f"{where} has format {document.get('format')!r} and this version reads {format}: "
            "make it again, or use the version of atb that wrote it."
        )
    return document


def _finite(text: str) -> float:
    """A number of a document; `write_document` writes neither NaN nor an infinite one."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is not a number that can be used")
    return number
