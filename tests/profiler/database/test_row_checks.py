"""What cannot be read is not written, and what was written all the same is named and taken out."""

import csv
import json
import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from atb.devices.contract import Loaded
from atb.errors import BadFile, RunError
from atb.files import read_document
from atb.models.space import SPACES
from atb.profiler.database.writer import ProfileDatabase
from atb.profiler.maintenance.export import measurement_rows, raw_rows, read_raw, write_table
from atb.profiler.maintenance.merging import add_campaigns, merge, read_campaigns
from atb.profiler.maintenance.repairing import repair
from atb.profiler.measurements import read_measurements
from atb.profiler.record import Failure, LoadRecord

BLOCK = {
    "started_at": 1.0,
    "wall_seconds": [0.1, 0.2],
    "cpu_seconds": [0.1, 0.2],
    "voluntary_switches": [0, 0],
    "involuntary_switches": [0, 0],
}
#: Values that no column of such a kind has, each with the table and the column that it is put into.
BAD = [
    ("blocks", "readings", "{}"),
    ("blocks", "readings", "[" * 100_000),
    ("blocks", "readings", json.dumps({**BLOCK, "wall_seconds": []})),
    ("blocks", "readings", json.dumps({**BLOCK, "wall_seconds": [0.1]})),
    ("blocks", "readings", json.dumps({**BLOCK, "wall_seconds": [0.1, -0.2]})),
    ("blocks", "readings", json.dumps({**BLOCK, "wall_seconds": [0.1, "0.2"]})),
    ("blocks", "readings", json.dumps({**BLOCK, "wall_seconds": [0.1, 1e300]})),
    ("blocks", "readings", json.dumps({**BLOCK, "cpu_seconds": [0.1, float("nan")]})),
    ("blocks", "readings", json.dumps(BLOCK).replace("0.2]", "1e999]")),
    ("blocks", "readings", json.dumps({**BLOCK, "surprise": 1})),
    ("blocks", "readings", b"\x00\xff"),
    ("blocks", "sentinel_before", "null"),
    ("blocks", "cache_sentinel", "7"),
    ("blocks", "started_at", 2.0),
    ("blocks", "started_at", "yesterday"),
    ("blocks", "architecture", "../../etc/passwd"),
    ("blocks", "architecture", "L2-H128"),
    ("blocks", "launch", -1),
    ("blocks", "launch", "first"),
    ("blocks", "block", 2**40),
    ("blocks", "artefact_sha256", "../../somewhere"),
    ("blocks", "artefact_sha256", "ab"),
    ("blocks", "state", "[]"),
    ("blocks", "state", '{"load": {"deep": 1}}'),
    ("blocks", "state_after", '{"load": 1e999}'),
    ("loads", "load_seconds", -0.5),
    ("loads", "first_seconds", float("inf")),
    ("loads", "memory_bytes", -1),
    ("loads", "artefact_bytes", "many"),
    ("loads", "artefact_sha256", "G" * 64),
    ("loads", "providers", '"CPU"'),
    ("loads", "at", -1.0),
    ("failures", "cause", "magic"),
    ("failures", "architecture", "nothing"),
    ("failures", "at", "now"),
    ("sessions", "within", "tight"),
    ("sessions", "started_at", float("inf")),
    ("campaigns", "uuid", "../../../tmp/x"),
    ("campaigns", "uuid", "A" * 32),
    ("campaigns", "sentinel", "small"),
    ("campaigns", "launches", -3),
    ("campaigns", "label", b"night"),
    ("conditions", "key", "f" * 16),
    ("conditions", "document", "{}"),
    ("conditions", "document", "not JSON"),
    *(
        (table, column, sqlite3.Binary(b"caf\xe9"))
        for table, column in (("campaigns", "label"), ("failures", "detail"), ("blocks", "state"))
    ),
]


@pytest.fixture
def fill(conditions, make_record):
    """Make a database with one campaign of everything that there is."""

    def made(path: Path, name: str = "night") -> Path:
        with ProfileDatabase(path, create=True) as database:
            campaign = database.open_campaign(
                name=name, space="", seed=1, conditions=conditions, launches=3,
                sentinel=SPACES["mini"].smallest,
            )  # fmt: skip
            database.append_session(campaign, started_at=1.0, within=0.01)
            for launch in range(3):
                database.append_block(campaign, make_record(launch, 0, 0.01, sentinel=0.001))
            subject = make_record(0, 0, 0.01).subject
            loaded = Loaded(0.1, 0.2, ("CPU",), 1.0, 100)
            database.append_load(campaign, LoadRecord(subject, 0, loaded, "ab" * 32, 9, 2.0))
            failure = Failure(subject, conditions, campaign.label, "crash", "why", 3.0)
            database.append_failure(campaign, failure)
        return path

    return made


def change(path: Path, table: str, column: str, value: object) -> None:
    connection = sqlite3.connect(path)
    # bytes as text, as a program of another encoding writes it
    new = "CAST(? AS TEXT)" if isinstance(value, memoryview) else "?"
    statement = (
        f"UPDATE atb_{table} SET {column} = {new} WHERE id = (SELECT min(id) FROM atb_{table})"
    )
    connection.execute(statement, (value,))
    connection.commit()
    connection.close()


def contents(path: Path) -> list[object]:
    with ProfileDatabase(path) as database:
        return [
            (replace(c, id=0), database.blocks(c), database.loads(c), database.failures())
            for c in database.campaigns()
        ]


def rows_of(path: Path) -> dict[str, int]:
    connection = sqlite3.connect(path)
    names = ("conditions", "campaigns", "sessions", "blocks", "loads", "failures")
    counts = {n: connection.execute(f"SELECT count(*) FROM atb_{n}").fetchone()[0] for n in names}
    connection.close()
    return counts


def read_all(path: Path) -> None:
    with ProfileDatabase(path) as database:
        database.conditions()
        read_measurements(database, models=True)
        database.failures()


@pytest.mark.parametrize(("table", "column", "value"), BAD)
def test_a_bad_row_is_named_not_merged_and_taken_out(fill, tmp_path, table, column, value):
    target, source = fill(tmp_path / "target.db"), fill(tmp_path / "source.db", "day")
    before = contents(target)
    change(source, table, column, value)
    good = fill(tmp_path / "good.db", "noon")
    with (
        ProfileDatabase(target, create=True) as database,
        pytest.raises(BadFile, match=r"source\.db has a row .*database repair") as refused,
    ):
        merge([str(good), str(source)], database)
    assert str(refused.value).isprintable()
    assert contents(target) == before
    with pytest.raises(BadFile, match=rf"row 1 of its \w+: .*repair --db {source}"):
        read_all(source)
    kept = tmp_path / "kept.json"
    with ProfileDatabase(source, create=True) as database:
        taken = repair(database, kept)
    assert table in {row.table for row in taken}
    assert len(read_document(kept, kind="rows-taken-out", format=1)["rows"]) == len(taken)
    read_all(source)
    with ProfileDatabase(target, create=True) as database:
        merge([str(source)], database)
    read_all(target)


def test_what_can_be_read_is_left_by_a_repair(fill, tmp_path):
    path = fill(tmp_path / "night.db")
    before = rows_of(path)
    with ProfileDatabase(path, create=True) as database:
        assert repair(database, tmp_path / "kept.json") == []
    assert not (tmp_path / "kept.json").exists()
    change(path, "blocks", "readings", "{}")
    with ProfileDatabase(path, create=True) as database:
        (taken,) = repair(database, tmp_path / "kept.json")
    assert (taken.table, taken.id, taken.values["readings"]) == ("blocks", 1, "{}")
    assert rows_of(path) == {**before, "blocks": 2}


def test_what_belongs_to_a_bad_campaign_goes_with_it(fill, tmp_path):
    path = fill(tmp_path / "night.db")
    fill(path, "day")
    change(path, "campaigns", "uuid", "x")
    with ProfileDatabase(path, create=True) as database:
        taken = repair(database, tmp_path / "kept.json")
        assert [campaign.label for campaign in database.campaigns()] == ["day"]
    assert sorted(row.table for row in taken) == (
        ["blocks"] * 3 + ["campaigns", "failures", "loads", "sessions"]
    )


def test_a_file_of_the_first_format_with_a_bad_row_is_named_and_repaired(tmp_path):
    sample = Path(__file__).parents[1] / "samples" / "format1.db"
    path = Path(shutil.copy(sample, tmp_path / "old.db"))
    change(path, "blocks", "readings", "{}")
    with pytest.raises(BadFile, match="row 1 of its blocks"):
        read_all(path)
    with ProfileDatabase(path, create=True) as database:
        assert len(repair(database, tmp_path / "kept.json")) == 1
    read_all(path)


def exported(path: Path, out: Path) -> pd.DataFrame:
    with ProfileDatabase(path) as database:
        write_table(out, raw_rows(read_campaigns(database)), raw=True)
    return pd.read_csv(out, dtype=str, keep_default_na=False)


def test_conditions_under_another_key_are_not_imported(fill, tmp_path, conditions):
    target, out = fill(tmp_path / "target.db"), tmp_path / "rows.csv"
    frame = exported(fill(tmp_path / "source.db", "day"), out)
    head = frame.record == "campaign"
    others = replace(conditions, device="another-machine").to_json()
    for column, value in (("conditions_key", "f" * 16), ("conditions", json.dumps(others))):
        forged = frame.copy()
        forged.loc[head, column] = value
        forged.to_csv(out, index=False)
        with pytest.raises(BadFile, match=f"campaign day: .*{conditions.key}"):
            read_raw(out)
    assert len(contents(target)) == 1


def test_rows_of_other_conditions_do_not_join_a_campaign_by_its_uuid(fill, tmp_path, conditions):
    target = fill(tmp_path / "target.db")
    source = Path(shutil.copy(target, tmp_path / "source.db"))
    others = replace(conditions, device="another-machine")
    change(source, "conditions", "key", others.key)
    change(source, "conditions", "document", json.dumps(others.to_json()))
    change(source, "blocks", "launch", 77)
    before = contents(target)
    with (
        ProfileDatabase(target, create=True) as database,
        pytest.raises(BadFile, match=r"night has the uuid of night and another conditions_key"),
    ):
        merge([str(source)], database)
    assert contents(target) == before


@pytest.mark.parametrize("record", ["campaign", "blocks"])
def test_what_is_twice_in_a_file_is_refused(fill, tmp_path, record):
    out = tmp_path / "rows.csv"
    frame = exported(fill(tmp_path / "source.db"), out)
    frame = pd.concat([frame, frame[frame.record == record].head(1)])
    frame["rows"] = str(len(frame))
    frame.to_csv(out, index=False)
    with pytest.raises(BadFile, match=r"twice|place of another one"):
        read_raw(out)


def test_rows_without_their_campaign_are_refused(fill, tmp_path):
    out = tmp_path / "rows.csv"
    frame = exported(fill(tmp_path / "source.db"), out)
    frame = frame[frame.record != "campaign"]
    frame["rows"] = str(len(frame))
    frame.to_csv(out, index=False)
    with pytest.raises(BadFile, match="row 1: the campaign"):
        read_raw(out)


def test_a_campaign_that_came_with_a_stolen_key_is_not_gone_on_with(fill, tmp_path, conditions):
    """The key of a command says under which conditions; what came may say anything."""
    mine = fill(tmp_path / "mine.db")
    with ProfileDatabase(mine) as database:
        key = next(read_campaigns(database)).campaign["key"]
    source = tmp_path / "source.db"
    others = replace(conditions, device="another-machine")
    with ProfileDatabase(source, create=True) as database:
        database.open_campaign(
            name="night", space="", seed=1, conditions=others, launches=3,
            sentinel=SPACES["mini"].smallest,
        )  # fmt: skip
    change(source, "campaigns", "key", key)
    target = tmp_path / "target.db"
    with ProfileDatabase(target, create=True) as database:
        merge([str(source)], database)
    fill(target)
    with ProfileDatabase(target) as database:
        assert [c.conditions.device for c in database.campaigns()] == ["another-machine", "fake"]


def test_what_a_device_may_not_answer_is_not_written(fill, tmp_path, make_record):
    path = fill(tmp_path / "night.db")
    good = make_record(9, 0, 0.01)
    before = rows_of(path)
    with ProfileDatabase(path, create=True) as database:
        (campaign,) = database.campaigns()
        for bad in (
            replace(good, readings=replace(good.readings, cpu_seconds=(float("nan"),) * 5)),
            replace(good, readings=replace(good.readings, cpu_seconds=(0.1,))),
            replace(good, state={"load": float("inf")}),
            replace(good, artefact_sha256="/etc/passwd"),
        ):
            with pytest.raises(RunError, match="cannot be kept"):
                database.append_block(campaign, bad)
    assert rows_of(path) == before


def test_campaigns_that_are_handed_over_are_written_together(fill, tmp_path):
    first, second = fill(tmp_path / "first.db"), fill(tmp_path / "second.db", "day")
    target = tmp_path / "target.db"
    with ProfileDatabase(first) as one, ProfileDatabase(second) as two:
        campaigns = [*read_campaigns(one), *read_campaigns(two)]
    with ProfileDatabase(target, create=True) as database:
        added = add_campaigns(database, campaigns)
    assert [one.campaign for one in added] == ["night", "day"]
    assert len(contents(target)) == 2


FORMULAS = [
    '=HYPERLINK("http://x","y")', "+1+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "'=1", "''-1",
    "\uff1d1+1", "'quoted'", "plain", "a=b",
]  # fmt: skip


def test_no_cell_of_a_csv_file_begins_a_formula_and_all_come_back(fill, tmp_path, conditions):
    path, out = tmp_path / "night.db", tmp_path / "rows.csv"
    for name in FORMULAS:
        fill(path, name)
    with ProfileDatabase(path, create=True) as database:
        campaign = database.campaigns()[0]
        for detail in FORMULAS:
            failure = Failure(None, conditions, campaign.label, "crash", detail, 3.0)
            database.append_failure(campaign, failure)
        write_table(out, raw_rows(read_campaigns(database)), raw=True)
        flat = tmp_path / "measurements.csv"
        write_table(flat, measurement_rows(read_measurements(database)), raw=False)
    for file in (out, flat):
        with file.open(encoding="utf-8", newline="") as lines:
            cells = [cell for row in csv.reader(lines) for cell in row]
        assert not [c for c in cells if c[:1] in "=+-@\t\r\n\uff1d" and c and not is_number(c)]
    with ProfileDatabase(tmp_path / "target.db", create=True) as database:
        add_campaigns(database, read_raw(out))
    assert contents(tmp_path / "target.db") == contents(path)


def is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def test_a_file_of_the_first_format_is_read_as_it_was_written(fill, tmp_path):
    path, out = fill(tmp_path / "night.db", "'=1"), tmp_path / "rows.csv"
    frame = exported(path, out)
    assert "''=1" in set(frame.name)
    frame["format"] = "1"
    frame.to_csv(out, index=False)
    (campaign,) = read_raw(out)
    assert campaign.campaign["name"] == "''=1"
