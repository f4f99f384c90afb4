"""Tables that arrive damaged are read, or refused in a sentence; what is read is read right."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mutation import Reader, check_reader

from atb.errors import InputError
from atb.predictor.file import load_table_predictor, save
from atb.predictor.tables.reading import read_table
from atb.predictor.tables.table import fit_table

ROWS = "".join(f"{n % 7 + 1},{64 * (n % 5 + 1)},{0.5 + 0.11 * n:.2f}\n" for n in range(30))
CSV = f"layers,width,latency_ms\n{ROWS}".encode()
SAMPLES = {
    "plain.csv": CSV,
    "european.csv": CSV.replace(b",", b";").replace(b".", b","),
    "tabs.tsv": CSV.replace(b",", b"\t"),
    "units.csv": CSV.replace(b"latency_ms", b"time")
    .replace(b"\n", b" ms\n")
    .replace(b" ms", b"", 1),
}


def read(path: Path) -> None:
    target = "latency_ms" if path.stem != "units" else "time"
    table = read_table(path, target=target)
    assert table.observed.rows.shape == (len(table), len(table.features))
    assert np.isfinite(table.observed.rows).all()
    assert np.isfinite(table.observed.values).all()
    assert (table.observed.values > 0).all()


def parquet() -> bytes:
    pytest.importorskip("pyarrow")
    file = io.BytesIO()
    pd.read_csv(io.BytesIO(CSV)).to_parquet(file)
    return file.getvalue()


@pytest.mark.slow
def test_a_damaged_table_is_read_or_refused(tmp_path: Path) -> None:
    check_reader(Reader("table", SAMPLES, read, mutations=800), tmp_path / "files")


@pytest.mark.slow
def test_a_damaged_parquet_table_is_read_or_refused(tmp_path: Path) -> None:
    reader = Reader("parquet table", {"table.parquet": parquet()}, read, mutations=200)
    check_reader(reader, tmp_path / "files")


@pytest.mark.slow
def test_a_damaged_predictor_is_refused(tmp_path: Path) -> None:
    (tmp_path / "units.csv").write_bytes(SAMPLES["units.csv"])
    table = read_table(tmp_path / "units.csv", target="time")
    save(fit_table(table, np.random.default_rng(0)), tmp_path / "p.json")
    samples = {"p.json": (tmp_path / "p.json").read_bytes()}

    def load(path: Path) -> None:
        predictor = load_table_predictor(path)
        assert np.isfinite(predictor.predict(table.observed.rows).values).all()

    check_reader(Reader("predictor", samples, load, mutations=200), tmp_path / "files")


def comma(number: float) -> str:
    return f"{number}".replace(".", ",")


def gaps(mark: str) -> Callable[[float], str]:
    return lambda number: f"{number:,}".replace(",", mark) if number == int(number) else str(number)


@pytest.mark.slow
def test_whatever_the_style_numbers_are_read_right_or_refused(tmp_path: Path) -> None:
    """Each number is one of few digits, so that thousands and decimals look alike now and then."""
    path = tmp_path / "table.csv"
    outcomes = {"read": 0, "refused": 0}
    for seed in range(1500):
        generator = np.random.default_rng(seed)
        text, wanted = styled(generator)
        path.write_text(text, encoding=str(generator.choice(["utf-8", "utf-8-sig", "utf-16"])))
        try:
            table = read_table(path, target="time", features=["width"])
        except InputError:
            outcomes["refused"] += 1
            continue
        outcomes["read"] += 1
        found = np.column_stack([table.observed.rows, table.observed.values])
        assert found == pytest.approx(wanted, rel=1e-12), (seed, text)
    assert outcomes["read"] > 1000


def styled(generator: np.random.Generator) -> tuple[str, np.ndarray]:
    """A table in a random style of writing, and its numbers float64[rows, 2]."""
    digits = int(generator.integers(4))
    numbers = [
        [float(n) for n in generator.choice([1, 2, 12, 250, 1024, 3500], 2) / 10.0**digits]
        for _ in range(int(generator.integers(2, 5)))
    ]
    separator = str(generator.choice([",", ";", "\t", "|", "  "]))
    decimal, mark = [(str, ","), (comma, "."), (gaps("'"), "'"), (gaps("\u202f"), "\u202f")][
        int(generator.integers(4))
    ]
    numbers[0] = [number % 1000 for number in numbers[0]]  # not all are of thousands
    if (separator, mark) in ((",", "."), (";", ",")):  # which nobody writes
        mark = ""

    def cell(number: float) -> str:
        whole = f"{int(number):,}".replace(",", mark) if number == int(number) else decimal(number)
        if number != int(number) and number >= 1000:
            before, after = f"{number:,}".split(".")
            point = "," if decimal is comma else "."
            whole = before.replace(",", mark) + point + after
        return f'"{whole}"' if "," in whole and separator == "," else whole

    unit = str(generator.choice(["", "", " ms", "%", "µs"])) if separator != "  " else ""
    end = str(generator.choice(["\n", "\r\n", f"{separator}\n", "\n\n", "\n# comment\n"]))
    if separator == "  ":
        end = "\n"
    lines = [separator.join(("no", "width", "time"))]
    for i, (first, second) in enumerate(numbers):
        last = cell(second)
        last = f'{last[:-1]}{unit}"' if last.endswith('"') else last + unit
        lines.append(separator.join((str(i), cell(first), last)))
    return end.join(lines) + "\n", np.array(numbers)
