import pytest

from atb.devices.fake.device import FakeDevice
from atb.devices.settings import RunSettings
from atb.models.published import PUBLISHED
from atb.models.space import find_space
from atb.profiler.campaign.campaign import run_campaign
from atb.profiler.campaign.plan import SENTINEL, Plan
from atb.profiler.campaign.scheduler import WorkerCapacity
from atb.profiler.database.writer import ProfileDatabase
from atb.profiler.statistics.sentinel import CACHE_SENTINEL

SETTINGS = RunSettings(sequence_length=8)
PLAN = Plan.sample(find_space("mini"), 20, launches=3, repeats=0)
NEEDS = {a: FakeDevice().costs.memory_bytes(a, SETTINGS) for a in PLAN.subjects}
SENTINELS = sum(FakeDevice().costs.memory_bytes(a, SETTINGS) for a in (SENTINEL, CACHE_SENTINEL))
TIGHT = SENTINELS + max(NEEDS.values())  # the largest fits alone, and no more


class Board(FakeDevice):
    """Counts its launches; may tell its memory."""

    def __init__(self, room, *, tells=False, **how):
        super().__init__(room_bytes=room, **how)
        self.launched, self.tells = 0, tells

    def launch(self, runtime, settings):
        self.launched += 1
        return super().launch(runtime, settings)

    def state(self):
        return {
            **super().state(),
            "memory_available_bytes": self.room_bytes if self.tells else None,
        }


@pytest.fixture
def run(location):
    def run(device, plan=PLAN):
        with ProfileDatabase(location, create=True) as database:
            return run_campaign(device, device.runtimes["fake"], SETTINGS, plan, database)

    return run


@pytest.mark.parametrize(
    ("share", "cause"),
    [
        (0.2, "out-of-memory"),
        (0.5, "crash"),
        *(
            pytest.param(share, cause, marks=pytest.mark.slow)
            for share, cause in (
                (0.0, "out-of-memory"),
                (0.0, "crash"),
                (0.2, "crash"),
                (0.5, "out-of-memory"),
                (0.8, "out-of-memory"),
                (0.8, "crash"),
            )
        ),
    ],
)
def test_nothing_healthy_is_given_up_where_the_largest_fits_alone(run, share, cause):
    room = TIGHT + share * sum(NEEDS.values())
    device = Board(room, room_cause=cause)
    result = run(device)
    assert len(result.measurements) == len(PLAN.subjects)
    assert not any(m.flagged for m in result.measurements)
    assert {f.subject for f in result.failures} <= {None}
    assert len(result.failures) <= 8
    # of models that differ fourfold in size, packed as they come, and some to find the room
    fewest = sum(NEEDS.values()) / (room - SENTINELS)
    assert device.launched <= 3 * (2 * fewest + 1) + 12


def test_who_is_to_blame_is_found_on_a_board_of_little_memory(run):
    bad = PLAN.subjects[7]
    result = run(Board(TIGHT + 0.3 * sum(NEEDS.values()), failures={str(bad): "crash"}))
    assert {m.subject for m in result.measurements} == {*PLAN.subjects} - {bad}
    assert [f.cause for f in result.failures if f.subject == bad] == ["crash", "crash"]
    assert {f.subject for f in result.failures} == {None, bad}


def test_a_model_too_large_for_the_board_is_given_up_alone(run):
    large = PUBLISHED["bert-base"]
    plan = Plan((*PLAN.subjects[:8], large), launches=3, repeats=0)
    device = Board(2 * TIGHT)
    result = run(device, plan)
    assert {m.subject for m in result.measurements} == set(plan.subjects) - {large}
    assert {f.subject for f in result.failures if f.subject is not None} == {large}


def test_a_device_that_tells_its_memory_is_not_given_too_much(run):
    device = Board(4 * TIGHT, tells=True)
    assert run(device).failures == ()
    assert device.launched > 3  # they do not fit together


@pytest.mark.slow
def test_a_resumed_campaign_does_not_hold_failures_in_company_against_anybody(location):
    for launches in (1, 2, 3):
        plan = Plan(PLAN.subjects, launches=launches, repeats=0)
        with ProfileDatabase(location, create=True) as database:
            device = Board(TIGHT + 0.4 * sum(NEEDS.values()))
            result = run_campaign(device, device.runtimes["fake"], SETTINGS, plan, database)
    assert [m.launches for m in result.measurements] == [3] * 20


def test_what_a_model_took_counts_more_than_what_its_shape_lets_expect():
    known = {PUBLISHED["s1"]: 5_000_000}
    room = WorkerCapacity(SETTINGS, known.get)
    assert room.needed_bytes(PUBLISHED["s1"]) == 5_000_000
    base = PUBLISHED["bert-base"]
    assert 2 * 340e6 < room.needed_bytes(base) < 2 * 400e6
    many = WorkerCapacity(RunSettings(batch=64, sequence_length=512), known.get)
    assert many.needed_bytes(base) > room.needed_bytes(base) + 1e9


def test_parts_hold_everyone_in_order_and_the_largest_alone():
    sizes = dict(zip(PLAN.subjects, range(1, 21), strict=True))
    room = WorkerCapacity(SETTINGS, sizes.get)
    assert room.parts(PLAN.subjects, 20) == [list(PLAN.subjects)]
    room.tell_available(2 * 19)
    parts = room.parts(PLAN.subjects, 4)
    assert [subject for part in parts for subject in part] == list(PLAN.subjects)
    assert [len(part) for part in parts][:3] == [4, 3, 2]
    assert parts[-1] == [PLAN.subjects[-1]]
    room.tell_short(PLAN.subjects[:4], PLAN.subjects[:3])  # three that took six fitted
    assert room.limit_bytes == pytest.approx(0.9 * 6)
    room.tell_available(None)
    assert room.limit_bytes == pytest.approx(0.9 * 6)
