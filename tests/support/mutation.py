"""Files as they arrive damaged, and what a reader may do with them.

A reader joins the fuzz tests by one entry in a list of `tests/fuzz/test_*.py`:

    Reader("table", {"plain.csv": b"a,b\\n1,2\\n"}, read=lambda path: check(read_table(path)))

`read` gets the path of the damaged file, whose undamaged companions lie beside it, so that a reader
of folders takes `path.parent` and one of bytes takes `path.read_bytes()`. What it gives back it
asserts to be sound. It may instead raise an `AtbError` of one sentence, and nothing else: no other
exception, no warning, no endless loop.
"""

from __future__ import annotations

import re
import shutil
import signal
import traceback
import unicodedata
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from atb.errors import AtbError

__all__ = ["Reader", "check_reader", "is_a_sentence", "mutated", "outcomes"]

#: A reader that is still busy then will not end.
_PATIENCE_SECONDS = 60
#: Characters of the longest message that a person reads as one sentence.
_LONGEST_SENTENCE = 1000
#: No mutation makes a file longer than this many bytes beyond what it was.
_MOST_ADDED = 1 << 16
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
_ODD_VALUES = (
    *(b"nan", b"inf", b"-Infinity", b"NaN", b"-1", b"0", b"-0.0", b"1e400", b"1e-320", b"", b" "),
    *(
        b"9" * 30,
        b"1,5",
        b"1.234,5",
        b"1_000",
        b"0x1F",
        b"8.1 ms",
        b"50%",
        b"null",
        b"true",
        b'"7"',
    ),
    *(b"[]", b"{}", b"=1+1", b"-", "\u0664\u0662".encode(), "1\u00a0234".encode(), b"2026-11-30"),
)
_ODD_BYTES = (
    *(
        b"\0",
        b"\x1b[31m",
        b"\r",
        b"\n\n",
        b"\t",
        b'"',
        b"'",
        b",",
        b";",
        b"#",
        b"\\",
        b"<doc ",
        b"\x1a",
    ),
    *(
        b"\xef\xbb\xbf",
        b"\xff\xfe",
        b"\xe9",
        b"\xed\xa0\x80",
        b"\\ud800",
        "\u2028".encode(),
        b"\x85",
    ),
)


@dataclass(frozen=True)
class Reader:
    """Something of ours that reads what others wrote.

    Attributes:
        name: For the test's identifier; it also seeds the mutations.
        samples: Sound files by their paths within a folder; each is damaged in turn.
        read: Reads the file at a path and asserts that what came out is sound.
        mutations: How many damaged files are tried.
    """

    name: str
    samples: Mapping[str, bytes]
    read: Callable[[Path], object]
    mutations: int = 200

    def __str__(self) -> str:
        return self.name


def mutated(data: bytes, generator: np.random.Generator) -> bytes:
    """The data with one to three kinds of damage."""
    for _ in range(int(generator.integers(1, 4))):
        change = _CHANGES[int(generator.integers(len(_CHANGES)))]
        data = change(data, generator)
    return data


def check_reader(reader: Reader, folder: Path) -> None:
    """Feed a reader its damaged files.

    Raises:
        AssertionError: One was answered neither by a sound value nor by a sentence.
    """
    wrong = [said for said in outcomes(reader, folder) if said is not None]
    assert not wrong, f"{len(wrong)} of {reader.mutations} went wrong:\n" + "\n".join(wrong[:5])


def outcomes(reader: Reader, folder: Path) -> Iterator[str | None]:
    """What went wrong with each damaged file; None where nothing did."""
    names = sorted(reader.samples)
    for number in range(reader.mutations):
        generator = np.random.default_rng([zlib.crc32(reader.name.encode()), number])
        name = names[number % len(names)]
        damaged = mutated(reader.samples[name], generator)
        shutil.rmtree(folder, ignore_errors=True)
        for other, content in {**reader.samples, name: damaged}.items():
            (folder / other).parent.mkdir(parents=True, exist_ok=True)
            (folder / other).write_bytes(content)
        said = _trouble(reader.read, folder / name)
        yield said and f"mutation {number} of {name}: {said}\n    of {damaged[:200]!r}"


def is_a_sentence(text: str) -> bool:
    """Whether a message is one line that ends, without characters that steer a terminal."""
    steering = any(unicodedata.category(character) in ("Cc", "Cs", "Zl") for character in text)
    return text.endswith(".") and len(text) <= _LONGEST_SENTENCE and not steering


def _trouble(read: Callable[[Path], object], path: Path) -> str | None:
    try:
        with _time_limit(), warnings.catch_warnings():
            warnings.simplefilter("error")
            for nobodys in (DeprecationWarning, PendingDeprecationWarning, ResourceWarning):
                warnings.simplefilter("ignore", nobodys)
            read(path)
    except AtbError as error:
        return None if is_a_sentence(str(error)) else f"no sentence: {str(error)[:300]!r}"
    except BaseException as error:  # a Rust panic is a BaseException
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        return "".join(traceback.format_exception(error)[-4:])
    return None


@contextmanager
def _time_limit() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise TimeoutError(f"the reader did not end within {_PATIENCE_SECONDS} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(_PATIENCE_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _span(data: bytes, generator: np.random.Generator, longest: int = 200) -> tuple[int, int]:
    """Start and end of a random piece."""
    start = int(generator.integers(len(data) + 1))
    return start, min(len(data), start + int(generator.integers(1, longest)))


def _flip_bits(data: bytes, generator: np.random.Generator) -> bytes:
    flipped = bytearray(data)
    for place in generator.integers(len(data), size=int(generator.integers(1, 9))) if data else ():
        flipped[place] ^= 1 << int(generator.integers(8))
    return bytes(flipped)


def _truncate(data: bytes, generator: np.random.Generator) -> bytes:
    return data[: int(generator.integers(len(data) + 1))]


def _remove(data: bytes, generator: np.random.Generator) -> bytes:
    start, end = _span(data, generator)
    return data[:start] + data[end:]


def _double(data: bytes, generator: np.random.Generator) -> bytes:
    start, end = _span(data, generator)
    return data[:end] + data[start:end] + data[end:]


def _repeat(data: bytes, generator: np.random.Generator) -> bytes:
    start, end = _span(data, generator, longest=20)
    times = int(generator.integers(2, _MOST_ADDED // 20))
    return data[:end] + data[start:end] * times + data[end:]


def _swap_lines(data: bytes, generator: np.random.Generator) -> bytes:
    lines = data.splitlines(keepends=True)
    if len(lines) > 1:
        one, other = generator.integers(len(lines), size=2)
        lines[one], lines[other] = lines[other], lines[one]
    return b"".join(lines)


def _odd_value(data: bytes, generator: np.random.Generator) -> bytes:
    """A number becomes something else."""
    numbers = list(_NUMBER.finditer(data))
    if not numbers:
        return data
    found = numbers[int(generator.integers(len(numbers)))]
    return data[: found.start()] + _choice(_ODD_VALUES, generator) + data[found.end() :]


def _odd_bytes(data: bytes, generator: np.random.Generator) -> bytes:
    place = int(generator.integers(len(data) + 1)) if generator.integers(3) else 0
    return data[:place] + _choice(_ODD_BYTES, generator) + data[place:]


def _other_separator(data: bytes, generator: np.random.Generator) -> bytes:
    old, new = (_choice((b",", b";", b"\t", b" ", b"|"), generator) for _ in range(2))
    return data.replace(old, new)


def _other_encoding(data: bytes, generator: np.random.Generator) -> bytes:
    text = data.decode("latin-1")
    return text.encode(("utf-16", "utf-16-le", "utf-8-sig", "utf-32")[int(generator.integers(4))])


def _other_line_ends(data: bytes, generator: np.random.Generator) -> bytes:
    return data.replace(b"\n", _choice((b"\r\n", b"\r", b"\n\n", b"", b",\n"), generator))


def _choice(among: tuple[bytes, ...], generator: np.random.Generator) -> bytes:
    return among[int(generator.integers(len(among)))]


_CHANGES: tuple[Callable[[bytes, np.random.Generator], bytes], ...] = (
    *(_flip_bits, _truncate, _remove, _double, _repeat, _swap_lines),
    *(_odd_value, _odd_value, _odd_bytes, _other_separator, _other_encoding, _other_line_ends),
)
