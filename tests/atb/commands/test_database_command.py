"""`atb database` as a person uses it."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
from pathlib import Path

import pytest

from atb.profiler.database.writer import ProfileDatabase
from atb.profiler.measurements import read_measurements

#: Campaigns and processes of several seconds each.
pytestmark = pytest.mark.slow

SAMPLE = Path(__file__).parents[2] / "profiler" / "samples" / "format1.db"
SHORT = ("--samples", "2")


@pytest.fixture
def measured(atb, tmp_path) -> Path:
    for name, seed in (("one", "0"), ("two", "1")):
        words = ("--db", f"{name}.db", "--campaign", name, "--seed", seed)
        done = atb("profile", "fake", *SHORT, *words)
        assert done.returncode == 0, done.stderr
    return tmp_path


def told(done) -> dict:
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["format"] == 1
    return document


def measurements(path) -> list:
    with ProfileDatabase(path) as database:
        return [m.to_json() for m in read_measurements(database)]


def test_export_and_import_restore_the_same_measurements(atb, measured) -> None:
    for suffix in (".parquet", ".csv"):
        out = f"raw{suffix}"
        document = told(
            atb("database", "export", "--db", "one.db", "--blocks", "--out", out, "--json")
        )
        assert document["campaigns"] == ["one"]
        assert document["raw"] is True
        target = f"{suffix[1:]}.db"
        document = told(atb("database", "import", out, "--db", target, "--json"))
        (campaign,) = document["campaigns"]
        assert campaign["new"] is True
        assert campaign["blocks"] == 2 * 5 * 3
        assert measurements(measured / target) == measurements(measured / "one.db")
    document = told(atb("database", "import", "raw.csv", "--db", "csv.db", "--json"))
    assert document["campaigns"][0]["blocks"] == 0


def test_measurements_are_exported_as_a_table(atb, measured) -> None:
    done = atb("database", "export", "--db", "one.db", "--out", "out/measurements.csv")
    assert done.returncode == 0, done.stderr
    assert "2 measurements of 1 campaigns" in done.stdout
    header, *lines = (measured / "out" / "measurements.csv").read_text().splitlines()
    assert len(lines) == 2
    assert {"architecture", "layers", "latency_seconds", "threads", "campaign", "format"} <= set(
        header.split(",")
    )


def test_merge_adds_nothing_the_second_time(atb, measured) -> None:
    words = ("database", "merge", "one.db", "two.db", "--db", "all.db", "--json")
    first, second = told(atb(*words)), told(atb(*words))
    assert [c["campaign"] for c in first["campaigns"]] == ["one", "two"]
    assert [c["blocks"] for c in first["campaigns"]] == [30, 30]
    for campaign in second["campaigns"]:
        assert (campaign["new"], campaign["differing_blocks"]) == (False, 0)
        assert {campaign[n] for n in ("sessions", "blocks", "loads", "failures")} == {0}
    shown = atb("database", "merge", "one.db", "--db", "all.db")
    assert shown.returncode == 0
    assert shown.stdout.splitlines()[1].split() == ["one", "known", "0", "0", "0", "one.db"]


def test_merge_goes_to_a_server(atb, measured, postgresql) -> None:
    told(atb("database", "merge", "one.db", "two.db", "--db", postgresql, "--json"))
    document = told(atb("database", "info", "--db", postgresql, "--json"))
    assert [c["blocks"] for c in document["campaigns"]] == [30, 30]
    assert document["size_bytes"] > 0
    more = atb("profile", "fake", *SHORT, "--db", postgresql, "--campaign", "three")
    assert more.returncode == 0, more.stderr
    told(atb("database", "merge", postgresql, "--db", "back.db", "--json"))
    assert len(measurements(measured / "back.db")) == 6


def test_info_counts(atb, measured) -> None:
    document = told(atb("database", "info", "--db", "one.db", "--json"))
    assert document["database"] == "one.db"
    assert document["database_format"] == 2
    assert document["conditions"] == 1
    assert document["size_bytes"] == (measured / "one.db").stat().st_size
    (campaign,) = document["campaigns"]
    counted = {n: campaign[n] for n in ("architectures", "launches", "blocks", "failures")}
    assert counted == {"architectures": 2, "launches": 10, "blocks": 30, "failures": 0}
    assert 0 < campaign["text_bytes"] < document["size_bytes"]
    shown = atb("database", "info", "--db", "one.db").stdout
    assert shown.splitlines()[2].split()[:4] == ["one", "mini", "2", "30"]


def test_info_tells_the_format_of_an_older_file_and_leaves_it_alone(atb, tmp_path) -> None:
    before = SAMPLE.read_bytes()
    document = told(atb("database", "info", "--db", str(SAMPLE), "--json"))
    assert document["database_format"] == 1
    assert len(document["campaigns"]) == 3
    assert SAMPLE.read_bytes() == before


CASES = {
    "another ending": (("export", "--db", "one.db", "--out", "x.xlsx"), ".parquet"),
    "no such campaign": (
        ("export", "--db", "one.db", "--campaign", "nine", "--out", "x.csv"),
        "nine",
    ),
    "no database": (("export", "--db", "none.db", "--out", "x.csv"), "none.db"),
    "no export": (("import", "none.csv", "--db", "new.db"), "none.csv"),
    "a database as an export": (("import", "one.db", "--db", "new.db"), ".parquet"),
    "no source": (("merge", "one.db", "none.db", "--db", "new.db"), "none.db"),
    "no server": (("merge", "one.db", "--db", "postgresql://localhost:1/none"), "Cannot reach"),
    "another server": (("info", "--db", "mysql://localhost/none"), "postgresql://"),
}


@pytest.mark.parametrize("name", list(CASES))
def test_bad_input_is_one_sentence_and_writes_nothing(name, atb, measured) -> None:
    words, expected = CASES[name]
    before = set(measured.rglob("*"))
    done = atb("database", *words)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("atb: ")
    assert done.stderr.count("\n") == 1, done.stderr
    assert expected in done.stderr
    assert set(measured.rglob("*")) == before


def test_a_password_is_never_shown(atb) -> None:
    url = "postgresql://somebody:sesame@localhost:1/none"
    for words in (("info",), ("export", "--out", "x.csv")):
        done = atb("database", *words, "--db", url)
        assert done.returncode == 2
        assert "sesame" not in done.stdout + done.stderr
        assert "somebody:***@localhost" in done.stderr


def test_a_database_with_a_bad_row_is_repaired_by_the_command_that_the_refusal_names(
    atb_here, tmp_path
) -> None:
    path = Path(shutil.copy(SAMPLE, tmp_path / "night.db"))
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE atb_blocks SET readings = '{}' WHERE id = 2")
        connection.commit()
    refused = atb_here("database", "export", "--db", "night.db", "--out", "out.csv")
    assert refused.returncode == 2
    assert "`atb database repair --db night.db`" in refused.stderr
    document = told(atb_here("database", "repair", "--db", "night.db", "--json"))
    assert [(row["table"], row["id"]) for row in document["rows"]] == [("blocks", 2)]
    assert (tmp_path / document["out"]).is_file()
    told(atb_here("database", "export", "--db", "night.db", "--out", "out.csv", "--json"))
    assert told(atb_here("database", "repair", "--db", "night.db", "--json"))["rows"] == []
