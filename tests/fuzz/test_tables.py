"""Tables that arrive damaged are read, or refused in a sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mutation import Reader, check_reader

from atb.predictor.table import read_table

ROWS = "".join(f"{n % 7 + 1},{64 * (n % 5 + 1)},{0.5 + 0.11 * n:.2f}\n" for n in range(30))
CSV = f"layers,width,latency_ms\n{ROWS}".encode()
SAMPLES = {
    "plain.csv": CSV,
    "european.csv": CSV.replace(b",", b";").replace(b".", b","),
    "tabs.tsv": CSV.replace(b",", b"\t"),
    "units.csv": CSV.replace(b"latency_ms", b"time (ms)").replace(b"\n", b" ms\n"),
}


def read(path: Path) -> None:
    target = "latency_ms" if path.stem != "units" else "time (ms)"
    table = read_table(path, target=target)
    assert table.observed.rows.shape == (len(table), len(table.features))
    assert np.isfinite(table.observed.rows).all()
    assert np.isfinite(table.observed.values).all()
    assert (table.observed.values > 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("reader", [Reader("table", SAMPLES, read, mutations=800)], ids=str)
def test_a_damaged_table_is_read_or_refused(reader: Reader, tmp_path: Path) -> None:
    check_reader(reader, tmp_path / "files")
