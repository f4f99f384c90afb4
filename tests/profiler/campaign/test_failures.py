import tempfile

import pytest

from atb.devices.fake.device import FakeDevice
from atb.devices.settings import RunSettings
from atb.errors import RunError
from atb.models.space import find_space
from atb.profiler.campaign.campaign import run_campaign
from atb.profiler.campaign.plan import SENTINEL, Plan
from atb.profiler.database.writer import ProfileDatabase
from atb.profiler.measurements import read_measurements

#: Campaigns and processes of several seconds each.
pytestmark = pytest.mark.slow

PLAN = Plan.sample(find_space("mini"), 10)


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))


@pytest.fixture
def database(location):
    with ProfileDatabase(location, create=True) as database:
        yield database


def run(device, database, plan=PLAN, **fields):
    return run_campaign(device, device.runtimes["fake"], RunSettings(), plan, database, **fields)


@pytest.mark.parametrize(
    "cause", ["crash", "timeout", "out-of-memory", "load-error", "build-error", "device-gone"]
)
def test_a_failing_architecture_is_recorded_and_the_others_are_measured(database, cause):
    bad = PLAN.subjects[3]
    result = run(FakeDevice(failures={str(bad): cause}), database)
    assert [m.architecture for m in result.measurements] == [a for a in PLAN.subjects if a != bad]
    assert all(len(m.blocks) == 15 and not m.flagged for m in result.measurements)
    # once in company, where it is nobody's fault, twice alone, then never again; a device that goes
    # may go by chance before, and what is built is built alone
    by_none = {"device-gone": 3, "build-error": 0}.get(cause, 1)
    expected = [*[(None, cause)] * by_none, *[(bad, cause)] * 2]
    assert [(f.subject, f.cause) for f in result.failures] == expected
    assert result.ended_by == "complete"


def test_several_failing_architectures_do_not_hide_each_other(database):
    causes = dict(
        zip(
            map(str, PLAN.subjects[::3]),
            ("crash", "timeout", "out-of-memory", "crash"),
            strict=True,
        )
    )
    result = run(FakeDevice(failures=causes), database)
    assert {m.architecture for m in result.measurements} == {
        a for a in PLAN.subjects if str(a) not in causes
    }
    assert {str(f.subject): f.cause for f in result.failures if f.subject is not None} == causes


def test_one_that_fails_once_is_measured_all_the_same(database):
    bad = str(PLAN.subjects[2])
    device = FakeDevice(failures={bad: "crash"})
    append = database.append_failure

    def recover(*arguments):
        append(*arguments)
        device.failures.clear()

    database.append_failure = recover
    result = run(device, database)
    assert len(result.failures) == 1
    assert [len(m.blocks) for m in result.measurements] == [15] * 10


def test_quarantine_outlives_the_process(database):
    bad = str(PLAN.subjects[0])
    run(FakeDevice(failures={bad: "crash"}), database)
    device = FakeDevice()  # would measure it now
    result = run(device, database)
    assert len(result.measurements) == 9
    # and a new campaign gives it another chance
    assert len(run(device, database, new=True).measurements) == 10


def test_a_precision_asked_for_leaves_out_who_failed(database):
    plan = Plan.sample(find_space("mini"), 4, within=0.01)
    bad = str(plan.subjects[1])
    result = run(FakeDevice(failures={bad: "crash"}), database, plan)
    assert result.ended_by == "within"
    assert len(result.measurements) == 3


def test_a_device_that_stays_away_ends_the_run(database):
    device = FakeDevice(failures={str(SENTINEL): "device-gone"})  # the sentinel
    start = device.now()
    with pytest.raises(RunError, match="3 times in a row"):
        run(device, database)
    assert [(f.subject, f.cause) for f in database.failures()] == [(None, "device-gone")] * 3
    assert device.now() - start >= 3.0  # it was given time to come back


def test_a_device_that_vanishes_in_the_middle_keeps_what_was_measured(database):
    device = FakeDevice()

    def vanish(done, wanted, text):
        if done == 40:
            device.failures[str(SENTINEL)] = "timeout"

    with pytest.raises(RunError, match="timeout"):
        run(device, database, progress=vanish)
    measured = sum(len(m.blocks) for m in read_measurements(database))
    assert 40 <= measured <= 42
    device.failures.clear()
    result = run(device, database)
    assert [len(m.blocks) for m in result.measurements] == [15] * 10


def test_a_device_that_comes_back_goes_on(database):
    device = FakeDevice(failures={str(SENTINEL): "device-gone"})
    wait = device.wait

    def come_back(seconds):
        if len(database.failures()) == 2:
            device.failures.clear()
        wait(seconds)

    device.wait = come_back
    result = run(device, database)
    assert len(result.measurements) == 10
    assert [f.subject for f in result.failures] == [None, None]


def test_an_output_that_is_no_number_is_wrong(database, monkeypatch):
    from dataclasses import replace

    from atb.devices.fake import device as fake

    load = fake._FakeSession.load
    bad = str(PLAN.subjects[5])

    def broken(self, key, artefact, **how):
        loaded = load(self, key, artefact, **how)
        return replace(loaded, output_checksum=float("nan")) if key == bad else loaded

    monkeypatch.setattr(fake._FakeSession, "load", broken)
    result = run(FakeDevice(), database)
    assert {f.cause for f in result.failures} == {"wrong-output"}
    assert len(result.measurements) == 9
