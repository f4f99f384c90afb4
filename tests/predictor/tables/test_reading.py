"""Tables as people write them: read where they can mean one thing, else refused at the cell."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest

from atb.errors import BadFile, InputError
from atb.predictor.tables.reading import read_judged_table, read_rows, read_table

ROWS = [(i % 7 + 1, 64 + 352 * (i % 5), round(0.61 + 0.1379 * i, 4)) for i in range(12)]
HEADER = ("depth", "width", "time")


def text(
    separator: str = ",",
    *,
    whole: Callable[[int], str] = str,
    decimal: Callable[[float], str] = str,
    end: str = "\n",
    header: tuple[str, ...] = HEADER,
) -> str:
    lines = [separator.join((whole(a), whole(b), decimal(c))) + end for a, b, c in ROWS]
    return separator.join(header) + end + "".join(lines)


def comma(number: float) -> str:
    return f"{number}".replace(".", ",")


def thousands(mark: str) -> Callable[[int], str]:
    return lambda number: f"{number:,}".replace(",", mark)


SAME = {
    "commas": text(),
    "semicolons": text(";"),
    "tabs": text("\t"),
    "pipes": text("|"),
    "white space": text("   "),
    "spaces behind commas": text(",  "),
    "decimal commas": text(";", decimal=comma),
    "decimal commas and tabs": text("\t", decimal=comma),
    "decimal commas and white space": text("  ", decimal=comma),
    "quoted decimal commas": text(decimal=lambda number: f'"{comma(number)}"'),
    "quoted thousands": text(whole=lambda number: f'"{number:,}"'),
    "thousands beside decimal commas": text(";", whole=thousands("."), decimal=comma),
    "apostrophes between thousands": text(whole=thousands("'")),
    "narrow spaces between thousands": text(";", whole=thousands("\u202f"), decimal=comma),
    "units in cells": text(decimal=lambda number: f"{number} ms"),
    "units at numbers": text(";", decimal=lambda number: f"{comma(number)}µs"),
    "per cent": text(whole=lambda number: f"{number} %"),
    "exponents": text(decimal=lambda number: f"{number * 1000}e-3"),
    "plus signs": text(decimal=lambda number: f"+{number}"),
    "quotation marks": text(whole=lambda number: f'"{number}"'),
    "a comma behind each row": text(end=",\n").replace("time,", "time"),
    "a comma behind each line": text(end=",\n"),
    "three commas behind each row": text(end=",,,\n").replace("time,,,", "time"),
    "blank lines": "\n \n" + text(end="\n\n"),
    "lines of commas": text() + ",,\n,,\n",
    "comments": '# 30 "warm runs\n' + text() + "# the end\n",
    "a comment for a header": "# measured today\n# " + text(),
    "a comment of as many words above a header with a digit": "# a board, warm, at night, idle\n"
    + text().replace("\n", ",4\n").replace("time,4", "time,4bit"),
    "a header again": text() + "depth,width,time\n",
    "Windows line ends": text(end="\r\n"),
    "old Macintosh line ends": text(end="\r"),
    "a named separator": "sep=;\n" + text(";"),
    "Markdown": "| depth | width | time |\n| --- | :-: | ---: |\n"
    + "".join(f"| {a} | {b} | {c} |\n" for a, b, c in ROWS),
    "a header of two lines": text(header=("depth", "width", '"time"')).replace(
        '"time"', '"\ntime"'
    ),
    "a column without name": text()
    .replace("\n", "\n9,")
    .removesuffix("9,")
    .replace("depth", ",depth", 1),
}


@pytest.mark.parametrize("name", list(SAME))
def test_however_it_is_written_it_is_the_same_table(name: str, tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text(SAME[name], encoding="utf-8", newline="")
    table = read_table(path, target="time")
    assert table.features == ("depth", "width")
    assert table.observed.rows.tolist() == [[a, b] for a, b, _ in ROWS]
    assert table.observed.values == pytest.approx([c for *_, c in ROWS], rel=1e-12)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252"])
@pytest.mark.parametrize("packed", [bytes, gzip.compress])
def test_encodings_and_packing_are_told_from_the_bytes(encoding, packed, tmp_path: Path) -> None:
    path = tmp_path / "table.txt"
    path.write_bytes(packed(text(header=("größe", "width", "time")).encode(encoding)))
    table = read_table(path, target="time")
    assert table.features == ("größe", "width")
    assert any("Windows-1252" in note for note in table.notes) == (encoding == "cp1252")


def refused(tmp_path: Path, content: str | bytes, target: str = "time", **words) -> str:
    path = tmp_path / "table.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError) as error:
        read_table(path, target=target, **words)
    return str(error.value).replace(str(path), "FILE")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("3,-,1.5", "Row 13 of FILE (line 14) has no usable width ('-' is no number)"),
        ("3,N/A,1.5", "('N/A' is no number)"),
        ("3,inf,1.5", "('inf' is no number)"),
        ("3,,1.5", "(the cell is empty)"),
        ("3,1e999,1.5", "('1e999' is no finite number)"),
        ("3,12px,1.5", "('12px' has another unit)"),
        ("3,fast,1.5", "('fast' is no number)"),
        ("3,64,#DIV/0!", "no usable time ('#DIV/0!' is no number)"),
        ('3,64,"1,5"', "('1,5' has another decimal mark than others)"),
        ("3,64,-2", "Row 13 of FILE (line 14) has time -2"),
        ("3,64", "has 3 cells and line 14 has 2"),
        ("3,64,1.5,7", "has 3 cells and line 14 has 4"),
        ('"3,64,1.5\n4,64",64,1.5', "Line 14 of FILE cannot be cut into cells (a cell goes over"),
        ('3,64,"1.5', "Line 14 of FILE cannot be cut into cells"),
    ],
)
def test_the_first_bad_cell_is_shown(line: str, told: str, tmp_path: Path) -> None:
    assert told in refused(tmp_path, text() + line + "\n")


def test_every_row_that_a_column_fails_in_is_named(tmp_path: Path) -> None:
    message = refused(tmp_path, text() + "3,64,-\n4,65,1.5\n3,64,nan\n")
    assert "Row 13" in message
    assert "nor has row 15" in message
    many = refused(tmp_path, text() + "3,64,-\n" * 9)
    assert "nor have rows 14, 15, 16, 17, 18 and 3 more" in many


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('width,time\n1,"1,250"\n2,"12,500"\n', "('1,250' may have a decimal comma"),
        ("width\ttime\n1,024\t9\n2,048\t12\n", "('1,024' may have a decimal comma"),
        ("width;time\n1.024;9\n2.048;12\n", "('1.024' may have a decimal point"),
        ("width\ttime\n512\t9\n1.024\t12\n", "('1.024' may have a decimal point"),
        ("width;time\n1;8.25\n2;1,250\n", "('1,250' may have a decimal comma"),
        ("width;time\n1,024;8.25\n2,048;9.5\n", "('1,024' may have a decimal comma"),
        (text(decimal=lambda n: f"{n} ± 0.1"), "holds text such as '0.61 ± 0.1'"),
        (text(decimal=lambda n: f"{n} s").replace("time", "time_ms"), "not in ms"),
        (text(header=("width", "width", "time")), "has 2 columns 'width'"),
        (text(header=("depth", "a\x1b[2J", "time")), "a name that can be printed"),
        (text(header=("depth", "a" * 201, "time")), "at most 200 characters"),
        ("\n".join(text().splitlines()[1:]), "where the names of the columns are wanted"),
        ("Pi 4, warm\n" + text(), "The header of FILE has 2 cells and line 2 has 3"),
        ("width,time\n1,2,3\n4,5,6\n", "has 2 cells and line 2 has 3: name each column"),
        ("depth,width,time\n", "holds no rows"),
        ("# only a comment\n", "holds no rows"),
        ('[{"depth": 1}]', "is JSON"),
        ("<!DOCTYPE html>", "is a web page"),
        (b"PK\x03\x04 book", "is a spreadsheet"),
        (text().encode("utf-16-le"), "NUL"),
        (b"depth,time\n1,\x81\n", "Line 2 of FILE is no UTF-8 text (byte 0x81 at offset 13)"),
    ],
)
def test_what_may_mean_two_things_or_none_is_refused(content, told: str, tmp_path: Path) -> None:
    target = "time_ms" if isinstance(content, str) and "time_ms" in content else "time"
    assert told in refused(tmp_path, content, target)


@pytest.mark.parametrize(
    ("content", "values"),
    [
        ("width;time\n1;1,250\n2;2,250\n", [1.25, 2.25]),
        ("width,time\n1,1.250\n2,2\n", [1.25, 2]),
        ("width\ttime\n1\t1.250\n2\t2.250\n", [1.25, 2.25]),
        ("width\ttime\n8,5\t1.250\n9,5\t2\n", [1250, 2]),
    ],
)
def test_separators_and_other_numbers_tell_the_decimal_mark(content, values, tmp_path) -> None:
    path = tmp_path / "table.csv"
    path.write_text(content)
    assert read_table(path, target="time").observed.values.tolist() == values


def test_what_is_left_out_is_named_with_its_reason(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    lines = [
        f"{i},{i},{'pi4' if i % 3 else 'nano'},{a},{i % 2 == 0},,8,{b},{c},x{i}\n"
        for i, (a, b, c) in enumerate(ROWS)
    ]
    path.write_text(",id,device,depth,fused,notes,threads,width,time,host\n" + "".join(lines))
    table = read_table(path, target="time")
    assert {one.name: one.reason for one in table.left_out} == {
        "column 1": "has no name",
        "id": "numbers the rows",
        "device": "holds text such as 'nano'",
        "notes": "is empty",
        "host": "holds text such as 'x0'",
        "threads": "never varies",
    }
    assert table.features == ("depth", "fused", "width")
    assert table.observed.rows[:3, 1].tolist() == [1, 0, 1]


def test_times_measured_beside_the_target_are_no_features(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    lines = [f"{a},{b},{c},{c * 1.1},{c * 1.2} ms,{c}\n" for a, b, c in ROWS]
    header = "depth,width,latency_ms,p90 (ms),worst,wall_seconds\n"
    path.write_text(header + "".join(lines))
    table = read_table(path, target="latency_ms")
    assert table.features == ("depth", "width")
    assert {one.reason for one in table.left_out} == {"is a time, as latency_ms is"}
    # a column that is named is taken
    assert read_table(path, target="latency_ms", features=["worst"]).features == ("worst",)


def test_numbers_in_parquet_are_numbers_whatever_their_type(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame(ROWS, columns=list(HEADER))
    frame["power"] = [Decimal(f"{i}.25") for i in range(len(ROWS))]
    frame["fused"] = frame["depth"] > 3
    frame["batch"] = pd.array([1, 2] * 6, dtype="Int64")
    frame["heads"] = pd.Categorical([str(i % 3) for i in range(len(ROWS))])
    frame["shape"] = [[a, b] for a, b, _ in ROWS]
    frame["when"] = pd.Timestamp("2026-01-01")
    path = tmp_path / "TABLE.PARQUET"
    frame.set_index("depth").to_parquet(path)  # what was the index is a column too
    table = read_table(path, target="time")
    assert set(table.features) == {"depth", "width", "power", "fused", "batch", "heads"}
    assert table.observed.rows[1, table.features.index("power")] == 1.25
    assert {one.name for one in table.left_out} == {"shape", "when"}
    frame.loc[3, "width"] = None
    frame.to_parquet(path)
    with pytest.raises(InputError, match=r"Row 4 .* no usable width"):
        read_table(path, target="time")


def test_all_columns_that_a_predictor_needs_and_a_table_lacks_are_named(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("depth\n3\n")
    with pytest.raises(InputError, match="no column 'width' and no column 'heads'"):
        read_rows(path, {"depth": None, "width": None, "heads": None})


@pytest.mark.parametrize(
    ("cells", "unit", "told"),
    [
        ("{} MB", "MB", None),
        ("{}", None, None),
        ("{}", "MB", "is read in MB"),
        ("{} GB", "MB", "is in GB, and the predictor was fitted on it in MB"),
        ("{} MB", None, "is in MB, and the predictor was fitted on it without a unit"),
    ],
)
def test_a_column_keeps_the_unit_that_it_was_learnt_in(cells, unit, told, tmp_path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("size,time\n" + "".join(f"{cells.format(i)},{i}.5\n" for i in range(1, 5)))

    def notes() -> tuple[str, ...]:
        judged = read_judged_table(path, {"size": unit}, "time", None)
        assert judged.notes == read_rows(path, {"size": unit}).notes
        return judged.notes

    if told is not None and "fitted on" in told:
        with pytest.raises(InputError, match=told):
            notes()
    else:
        assert [told in note for note in notes()] == ([True] if told else [])


@pytest.mark.parametrize("cell", ["9" * 120_000 + "x", "-" * 120_000 + "x", "(" * 120_000])
@pytest.mark.parametrize("content", ["width,{}\n1,2\n", "width|time\n1|2\n{}|3\n"])
def test_very_long_cells_take_no_long_time(content: str, cell: str, tmp_path: Path) -> None:
    """They did where a pattern tried every way of cutting a cell in two."""
    assert refused(tmp_path, content.format(cell))


def test_damaged_packing_is_told(tmp_path: Path) -> None:
    path = tmp_path / "table.csv.gz"
    path.write_bytes(gzip.compress(text().encode())[:-9])
    with pytest.raises(BadFile, match="cannot be read"):
        read_table(path, target="time")
