"""Files that `atb` writes and reads back: whole or not at all, with a format number, under a lock.

A lock is one of the system: it vanishes with its holder, however it ends. It says who lives where
numbers of processes do not: those of another container are not ours, and a number may be somebody
else's by now.
"""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import re
import secrets
import stat
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from atb.errors import AtbError, BadFile, InputError, RunError


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that takes its name when the block ends well.

    A crash or a full disk leaves the old file as it was. A file that is there keeps its mode; a new
    one has that of the user's umask, however the temporary one was written.
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


@contextlib.contextmanager
def atomic_folder(out: Path, *, last: str | None = None) -> Iterator[Path]:
    """Yield an empty folder whose files take their places in `out` when the block ends well.

    Until then nothing in `out` is touched, and a folder that was not there is not left behind.

    Args:
        out: Where the files are to be; other files there stay.
        last: The file by which a reader knows that all are there: removed first, put back last.

    Raises:
        InputError: The folder cannot be written.
        RunError: The disk is full.
    """
    with (
        prepared_folder(out),
        translate_write_errors(out),
        tempfile.TemporaryDirectory(dir=out, prefix=".partial-") as temporary,
    ):
        folder = Path(temporary)
        yield folder
        if last is not None:
            (out / last).unlink(missing_ok=True)
        for path in sorted(folder.iterdir(), key=lambda path: (path.name == last, path.name)):
            with atomic_path(out / path.name) as file:
                path.replace(file)


@contextlib.contextmanager
def prepared_folder(out: Path) -> Iterator[None]:
    """Make sure that a folder can be written; one that was not there is not left behind empty.

    Raises:
        InputError: It cannot be written.
    """
    is_new = not out.exists()
    prepare_output(out, directory=True)
    try:
        yield
    except BaseException:
        if is_new:
            with contextlib.suppress(OSError):  # what was put there meanwhile stays
                out.rmdir()
        raise


@contextlib.contextmanager
def translate_write_errors(out: Path) -> Iterator[None]:
    """Turn what any library raises where a disk is full into one sentence.

    Raises:
        RunError: In place of that.
    """
    try:
        yield
    except (AtbError, BrokenPipeError):
        raise
    except Exception as error:
        refused = refusal_of_system(error, out)
        if refused is None:
            raise
        raise RunError(
            f"Cannot write to {out} ({refused.strerror or refused}): what was there is kept; make "
            "room and give the same command again."
        ) from error


def refusal_of_system(error: Exception, path: Path) -> OSError | None:
    """What the operating system refused, told by an error of any library; None where it did not.

    Libraries in Rust raise errors of their own with its number in their text, torch says only that
    it could not write, and onnx finds what it has just written cut off.
    """
    if isinstance(error, OSError):
        return error
    number = re.search(r"\(os error (\d+)\)", str(error))
    if number is not None:
        return OSError(int(number[1]), os.strerror(int(number[1])), str(path))
    is_torch = isinstance(error, RuntimeError) and "inline_container" in str(error)
    if is_torch or type(error).__name__ == "DecodeError":
        return OSError(errno.EIO, "what was written there is cut off", str(path))
    return None


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


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """The tables of a TOML file that the user wrote.

    Args:
        path: The file.
        what: What it is to be, for messages.

    Raises:
        BadFile: It is missing or not TOML.
    """
    try:
        return tomllib.loads(path.read_text("utf-8-sig"))
    except FileNotFoundError as error:
        raise BadFile(f"There is no {what} {path}: check the path.") from error
    except OSError as error:
        reason = error.strerror
    except (ValueError, RecursionError) as error:
        reason = str(error)
    raise BadFile(f"{path} is not a readable {what} ({reason}): write it as TOML.")


fcntl: ModuleType | None
msvcrt: ModuleType | None
try:
    import fcntl
except ImportError:
    fcntl = None
try:
    import msvcrt
except ImportError:
    msvcrt = None

#: What systems answer where another one has the lock.
_TAKEN = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)


def take(path: Path) -> int | None:
    """Lock a file, which is made if it is missing.

    Returns:
        A descriptor for `release`; None where another one has the lock.

    Raises:
        OSError: The file cannot be made, or its file system knows no locks.
        InputError: The system knows none.
    """
    # no link: folders for temporary files belong to everybody
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    descriptor = os.open(path, flags, 0o666)
    try:
        # its last holder may have deleted it since it was opened
        if _lock(descriptor) and os.path.samestat(os.fstat(descriptor), path.stat()):
            return descriptor
    except FileNotFoundError:
        pass  # the answer is no
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


def release(path: Path, descriptor: int) -> None:
    """Delete a file and give up its lock."""
    if fcntl is None:  # such systems delete nothing that is open
        os.close(descriptor)
        path.unlink(missing_ok=True)
        return
    path.unlink(missing_ok=True)  # before the lock is gone, so that it is nobody else's
    os.close(descriptor)


def _lock(descriptor: int) -> bool:
    try:
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        elif msvcrt is not None:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            raise InputError(
                "This system cannot lock files, so that two commands could measure one campaign: "
                "run atb on Linux, macOS or Windows."
            )
    except OSError as error:
        if error.errno in _TAKEN:
            return False
        raise
    return True
