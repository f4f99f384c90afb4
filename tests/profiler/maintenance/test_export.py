"""Export, import and merge: nothing is lost, nothing doubles, what is there stays."""

import csv
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from atb.devices import Loaded, RunSettings
from atb.devices.fake.device import FakeDevice
from atb.errors import BadFile, InputError, MissingExtra, RunError
from atb.models.space import SPACES
from atb.profiler.campaign.campaign import run_campaign
from atb.profiler.campaign.plan import Plan
from atb.profiler.database.writer import ProfileDatabase
from atb.profiler.maintenance.export import (
    check_output,
    measurement_rows,
    raw_rows,
    read_raw,
    write_table,
)
from atb.profiler.maintenance.merging import add_campaigns, merge, read_campaigns
from atb.profiler.measurements import read_measurements
from atb.profiler.record import Failure, LoadRecord, ModelFile

#: Campaigns and processes of several seconds each.
pytestmark = pytest.mark.slow

NASTY = "a \"quoted\", word;\r\nanother line\ttab 'x' é 中 NA null nan \\N"


def fill(location, *, name="night", seed=0, samples=3, threads=1, launches=3):
    """A campaign of a noisy simulated device, with a failure, loads and a user's own model."""
    device = FakeDevice(noise=0.02, preemption=0.05, seed=seed)
    plan = Plan.sample(
        SPACES["mini"], samples, seed=seed, name=name, launches=launches, within=0.01
    )
    plan = replace(plan, block_seconds=0.005, sentinel_block_seconds=0.002)
    device.failures[str(plan.subjects[-1])] = "crash"
    settings = RunSettings(threads=threads, affinity=(0, 2))
    with ProfileDatabase(location, create=True) as database:
        run_campaign(device, device.runtimes["fake"], settings, plan, database)
        campaign = database.campaigns()[-1]
        loaded = Loaded(0.1 + 0.2, 1e-300, ("a", "b"), -0.0, memory_bytes=None)
        mine = ModelFile('my, "own" model.onnx', "0123456789ab")
        for subject in (plan.subjects[0], mine, plan.subjects[0]):
            database.append_load(campaign, LoadRecord(subject, 0, loaded, "ab" * 32, 2**40, 1.5))
        failure = Failure(None, campaign.conditions, campaign.label, "device-gone", NASTY, 1 / 3)
        database.append_failure(campaign, failure)
        block = database.blocks(campaign)[0]
        own = replace(block, subject=mine, launch=7, state_after={"energy_joules": 1 / 3})
        database.append_block(campaign, own)
    return location


@pytest.fixture
def filled(location):
    fill(location)
    fill(location, name="day", seed=1)
    fill(location, name="day", seed=2, threads=2)
    return location


def contents(location):
    """Everything that a database tells, without its own numbers."""
    with ProfileDatabase(location) as database:
        return [
            (
                replace(campaign, id=0),
                database.blocks(campaign),
                database.loads(campaign),
                database.failures(campaign=campaign.label),
                [
                    (m.to_json(), m.sentinel_reference, m.sequential, m.within)
                    for m in read_measurements(database, campaign=campaign.label, models=True)
                ],
            )
            for campaign in database.campaigns()
        ]


def export_raw(location, path, labels=None):
    with ProfileDatabase(location) as database:
        write_table(path, raw_rows(read_campaigns(database, labels)), raw=True)
    return path


def take_in(path, location):
    campaigns = read_raw(path)
    with ProfileDatabase(location, create=True) as database:
        return add_campaigns(database, campaigns)


def brought(added):
    return [sum(one.rows.values()) for one in added]


# -------------------------------------------------------------------- raw rows


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_what_is_exported_with_its_blocks_is_imported_the_same(filled, tmp_path, suffix):
    path = export_raw(filled, tmp_path / f"all{suffix}")
    added = take_in(path, tmp_path / "other.db")
    assert [one.campaign for one in added] == ["night", "day", "day-2"]
    assert all(one.new for one in added)
    assert contents(tmp_path / "other.db") == contents(filled)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_importing_twice_adds_nothing(filled, tmp_path, suffix):
    path = export_raw(filled, tmp_path / f"all{suffix}")
    take_in(path, tmp_path / "other.db")
    again = take_in(path, tmp_path / "other.db")
    assert brought(again) == [0, 0, 0]
    assert not any(one.new or one.differing for one in again)
    assert brought(take_in(path, filled)) == [0, 0, 0]


def test_import_goes_to_a_server_and_back(filled, tmp_path, postgresql):
    take_in(export_raw(filled, tmp_path / "there.csv"), postgresql)
    assert contents(postgresql) == contents(filled)
    take_in(export_raw(postgresql, tmp_path / "back.parquet"), tmp_path / "back.db")
    assert contents(tmp_path / "back.db") == contents(filled)


def test_one_campaign_can_be_exported(filled, tmp_path):
    path = export_raw(filled, tmp_path / "day.csv", ["day"])
    take_in(path, tmp_path / "day.db")
    (found,) = contents(tmp_path / "day.db")
    assert found[:4] == contents(filled)[1][:4]


def test_numbers_at_the_edges_survive(location, tmp_path, conditions, make_record):
    edges = (5e-324, 999999999999.9999, 0.1, 1 / 3, 123456789.123456789)
    with ProfileDatabase(location, create=True) as database:
        campaign = database.open_campaign(
            name="edge", space="", seed=2**63 - 1, conditions=conditions, launches=3,
            sentinel=SPACES["mini"].smallest,
        )  # fmt: skip
        for launch, number in enumerate(edges):
            record = make_record(launch, 0, 0.010)
            readings = replace(record.readings, started_at=number)
            database.append_block(campaign, replace(record, readings=readings))
            loaded = Loaded(number, 2 * number, (), math.inf, memory_bytes=2**62)
            database.append_load(
                campaign, LoadRecord(record.subject, launch, loaded, "", 2**63 - 1, number)
            )
    for suffix in (".csv", ".parquet"):
        take_in(export_raw(location, tmp_path / f"edge{suffix}"), tmp_path / f"{suffix}.db")
        assert contents(tmp_path / f"{suffix}.db") == contents(location)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_file_cut_anywhere_is_refused_and_nothing_is_written(filled, tmp_path, suffix):
    content = export_raw(filled, tmp_path / f"all{suffix}", ["day"]).read_bytes()
    cut = tmp_path / f"cut{suffix}"
    rng = np.random.default_rng(0)
    ends = {0, 1, len(content) - 2, *rng.integers(0, len(content) - 2, 20).tolist()}
    # at the end of a line the rest looks whole
    ends.add(content.index(b"\n", len(content) // 2) + 1)
    for end in sorted(ends):
        cut.write_bytes(content[:end])
        with pytest.raises(BadFile, match=r"cut\.") as caught:
            take_in(cut, tmp_path / "none.db")
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "none.db").exists()


@pytest.mark.parametrize("content", [b"", b"\x00\x01\x02" * 99, b"a,b\n1,2\n", b"PAR1", b"{}"])
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_foreign_file_is_refused(tmp_path, content, suffix):
    path = tmp_path / f"foreign{suffix}"
    path.write_bytes(content)
    with pytest.raises(BadFile, match="foreign"):
        read_raw(path)


def test_a_missing_file_and_one_of_another_kind_are_refused(tmp_path):
    with pytest.raises(BadFile, match="no file"):
        read_raw(tmp_path / "none.csv")
    with pytest.raises(InputError, match=r"\.parquet"):
        read_raw(tmp_path / "none.xlsx")


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("architecture", "L0"),
        ("readings", "{"),
        ("readings", '{"nonsense": 1}'),
        ("record", "songs"),
        ("launch", "x"),
        ("block", ""),
        ("campaign_uuid", "other"),
        ("rows", "7"),
    ],
)
def test_a_damaged_cell_is_refused(filled, tmp_path, column, value):
    path = export_raw(filled, tmp_path / "all.csv")
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    frame.loc[frame.index[frame.record == "blocks"][3], column] = value
    frame.to_csv(path, index=False)
    with pytest.raises(BadFile, match="truncated or damaged"):
        read_raw(path)


def test_a_newer_export_is_refused_by_its_number(filled, tmp_path):
    path = export_raw(filled, tmp_path / "all.csv")
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    frame["format"] = "3"
    frame.to_csv(path, index=False)
    with pytest.raises(BadFile, match="format 3"):
        read_raw(path)


def test_without_pyarrow_only_parquet_is_refused(monkeypatch):
    known = __import__("importlib.util").util.find_spec
    monkeypatch.setattr(
        "atb.profiler.maintenance.export.importlib.util.find_spec",
        lambda name: None if name == "pyarrow" else known(name),
    )
    check_output(Path("x.csv"))
    with pytest.raises(MissingExtra, match=r"pip install -e '\.\[parquet\]'"):
        check_output(Path("x.parquet"))


# -------------------------------------------------------------------- measurements


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_measurements_are_a_row_each_with_their_conditions(filled, tmp_path, suffix):
    path = tmp_path / f"measurements{suffix}"
    with ProfileDatabase(filled) as database:
        measurements = read_measurements(database, models=True)
    write_table(path, measurement_rows(measurements), raw=False)
    if suffix == ".csv":
        frame = pd.read_csv(path)
        with path.open(newline="", encoding="utf-8") as file:
            plain = [float(row["latency_seconds"]) for row in csv.DictReader(file)]
        assert plain == [m.latency_seconds for m in measurements]
    else:
        frame = pd.read_parquet(path)
    assert len(frame) == len(measurements) == 3 * (2 + 1)
    for (_, row), m in zip(frame.iterrows(), measurements, strict=True):
        assert row.architecture == str(m.subject)
        found = row.latency_seconds, row.latency_low_seconds, row.latency_high_seconds
        assert found == (m.latency_seconds, *m.interval_seconds)
        assert row.wall_seconds == m.wall_seconds
        assert row.flagged == m.flagged
        assert (row.reasons if m.reasons else "") == "; ".join(m.reasons)
        assert (row.launches, row.blocks, row.campaign) == (m.launches, len(m.blocks), m.campaign)
        assert row.estimator == m.estimator
        assert (row.device, row.threads) == ("fake", m.conditions.settings.threads)
        assert row.platform_processor == "simulated"
        assert row.affinity == "0,2"
        if isinstance(m.subject, ModelFile):
            assert pd.isna(row.layers)
        else:
            shape = (row.layers, row.hidden, row.heads, row.qkv, row.feed_forward)
            a = m.subject
            assert shape == (a.layers, a.hidden, a.heads, a.qkv, a.feed_forward)
    assert set(frame.format) == {2}


def test_measurements_cannot_be_imported_and_the_error_says_how(filled, tmp_path):
    path = tmp_path / "measurements.csv"
    with ProfileDatabase(filled) as database:
        write_table(path, measurement_rows(read_measurements(database)), raw=False)
    with pytest.raises(BadFile, match="--blocks"):
        read_raw(path)


# -------------------------------------------------------------------- merging


def put_together(sources, target):
    with ProfileDatabase(target, create=True) as database:
        return [added for _, added in merge([str(source) for source in sources], database)]


def test_databases_are_merged_and_labels_that_collide_are_numbered(tmp_path, anywhere):
    first = fill(tmp_path / "first.db")
    second = fill(tmp_path / "second.db", seed=1)
    third = fill(tmp_path / "third.db", name="day", seed=2)
    added = put_together([first, second, third], anywhere)
    assert [one.campaign for one in added] == ["night", "night-2", "day"]
    assert all(one.new for one in added)
    before = [c for path in (first, second, third) for c in contents(path)]
    for (campaign, blocks, loads, _, _), known in zip(contents(anywhere), before, strict=True):
        assert campaign.uuid == known[0].uuid
        assert (blocks, loads) == (known[1], known[2])
    assert brought(put_together([first, second, third], anywhere)) == [0, 0, 0]


def test_the_order_of_merging_changes_no_number(tmp_path):
    paths = [fill(tmp_path / f"{seed}.db", name=f"n{seed}", seed=seed) for seed in range(3)]
    put_together(paths, tmp_path / "forth.db")
    put_together(paths[::-1], tmp_path / "back.db")

    def measured(path):
        return {campaign.uuid: rest for campaign, *_, rest in contents(path)}

    assert measured(tmp_path / "forth.db") == measured(tmp_path / "back.db")


def test_a_campaign_that_went_on_brings_only_what_is_new(tmp_path):
    source, target = fill(tmp_path / "source.db"), tmp_path / "target.db"
    put_together([source], target)
    with ProfileDatabase(source, create=True) as database:
        (campaign,) = database.campaigns()
        block = database.blocks(campaign)[0]
        database.append_block(campaign, replace(block, launch=50))
        database.append_session(campaign, started_at=9.0, within=None)
        load = database.loads(campaign)[0]  # one more of what is there twice
        database.append_load(campaign, load)
    (added,) = put_together([source], target)
    assert not added.new
    assert added.rows == {"sessions": 1, "blocks": 1, "loads": 1, "failures": 0}
    assert contents(target) == contents(source)


def test_two_copies_that_went_on_apart_meet_again(tmp_path):
    one = fill(tmp_path / "one.db")
    two = shutil.copy(one, tmp_path / "two.db")
    for path, launch, seconds in ((one, 50, 1.0), (two, 50, 2.0), (two, 51, 3.0)):
        with ProfileDatabase(path, create=True) as database:
            (campaign,) = database.campaigns()
            block = database.blocks(campaign)[0]
            readings = replace(block.readings, started_at=seconds)
            database.append_block(campaign, replace(block, launch=launch, readings=readings))
    first, second = put_together([one, two], tmp_path / "target.db")
    assert (first.new, second.new) == (True, False)
    assert second.rows["blocks"] == 1
    assert second.differing == 1
    ((_, blocks, *_),) = contents(tmp_path / "target.db")
    started = {b.readings.started_at for b in blocks if b.launch >= 50}
    assert started == {1.0, 3.0}  # what was there first stays


def test_a_file_of_an_older_format_is_merged_and_left_as_it_is(tmp_path):
    sample = Path(__file__).parents[1] / "samples" / "format1.db"
    before = sample.read_bytes()
    added = put_together([sample], tmp_path / "target.db")
    assert [one.campaign for one in added] == ["night", "day", "night-2"]
    assert sample.read_bytes() == before
    assert brought(put_together([sample], tmp_path / "target.db")) == [0, 0, 0]
    assert contents(tmp_path / "target.db") == contents(sample)


def test_a_campaign_that_is_being_measured_is_not_added_to(tmp_path, monkeypatch):
    monkeypatch.setattr("atb.profiler.database.writer._LOCK_WAIT_SECONDS", 0.1)
    source, target = fill(tmp_path / "source.db"), tmp_path / "target.db"
    put_together([source], target)
    with ProfileDatabase(target, create=True) as database:
        (campaign,) = database.campaigns()
        with database.campaign_lock(campaign), pytest.raises(RunError, match="being measured"):
            put_together([source], target)


def test_a_merged_campaign_is_resumed_by_its_command(tmp_path):
    source, target = fill(tmp_path / "source.db"), tmp_path / "target.db"
    put_together([source], target)
    fill(target, name="new", seed=5)
    with ProfileDatabase(target, create=True) as database:
        known = len(database.campaigns())
    device = FakeDevice(noise=0.02, preemption=0.05, seed=0)
    plan = Plan.sample(SPACES["mini"], 3, name="night", launches=3, within=0.01)
    with ProfileDatabase(target, create=True) as database:
        settings = RunSettings(affinity=(0, 2))
        result = run_campaign(device, device.runtimes["fake"], settings, plan, database)
        assert result.campaign == "night"
        assert len(database.campaigns()) == known


def test_a_merge_that_fails_in_a_campaign_leaves_nothing(filled, tmp_path, monkeypatch):
    from atb.profiler.maintenance import merging

    known = merging._missing
    calls = []

    def fail(*arguments):
        calls.append(arguments)
        if len(calls) == 5:  # in the second campaign, after its blocks
            raise KeyboardInterrupt
        return known(*arguments)

    monkeypatch.setattr(merging, "_missing", fail)
    with pytest.raises(KeyboardInterrupt):
        put_together([filled], tmp_path / "target.db")
    assert contents(tmp_path / "target.db") == []
    monkeypatch.setattr(merging, "_missing", known)
    put_together([filled], tmp_path / "target.db")
    assert contents(tmp_path / "target.db") == contents(filled)
