"""Comparisons on a device whose truth is known."""

from __future__ import annotations

from dataclasses import replace

import pytest

from atb.devices.fake.device import FakeDevice
from atb.devices.settings import RunSettings
from atb.errors import InputError, RunError
from atb.models.architecture import Architecture
from atb.profiler.comparison.comparison import ComparisonPlan, PairedLaunch, Side
from atb.profiler.comparison.runner import ComparisonRunner, compare
from atb.profiler.comparison.sequential import FIRST_ANALYSIS
from atb.profiler.record import ModelFile
from atb.profiler.statistics.readings import BlockValue

SMALL = Architecture(2, 128, 2, 128, 512)
LARGER = Architecture(2, 128, 2, 128, 640)
SETTINGS = RunSettings()
#: Another condition of which the simulated latency is the same: workers of their own.
ELSEWHERE = RunSettings(affinity=(1,))


def side(device, subject=SMALL, settings=SETTINGS):
    return Side(subject, device.runtimes["fake"], settings)


def truth(device, one=SMALL, other=LARGER):
    return device.latency(other, SETTINGS) / device.latency(one, SETTINGS)


def test_the_same_twice_is_no_difference_at_the_first_look():
    device = FakeDevice(noise=0.01)
    found = compare(device, side(device), side(device))
    assert found.verdict == "no difference"
    assert found.ended_by == "verdict"
    assert len(found.launches) == FIRST_ANALYSIS
    low, high = found.ratio_interval
    assert 0.99 < low < found.ratio < high < 1.01
    assert not found.reasons


def test_an_emulated_processor_is_a_reason_to_distrust_it(monkeypatch):
    device = FakeDevice(noise=0.01)
    facts = {**device.platform, "emulated": "qemu-aarch64"}
    monkeypatch.setattr(FakeDevice, "platform", facts)
    found = compare(device, side(device), side(device, LARGER))
    assert found.verdict == "slower"
    assert found.reasons == ("emulated by qemu-aarch64",)


def test_a_larger_second_is_slower_and_a_smaller_one_faster():
    device = FakeDevice(noise=0.01)
    slower = compare(device, side(device), side(device, LARGER))
    faster = compare(device, side(device, LARGER), side(device))
    assert slower.verdict == "slower"
    assert faster.verdict == "faster"
    assert slower.ratio == pytest.approx(truth(device), rel=0.01)
    assert faster.ratio == pytest.approx(1 / truth(device), rel=0.01)
    low, high = slower.ratio_interval
    assert low < truth(device) < high
    first, second = slower.latency_seconds
    assert first == pytest.approx(device.latency(SMALL, SETTINGS), rel=0.01)
    assert second == pytest.approx(device.latency(LARGER, SETTINGS), rel=0.01)


def test_what_differs_by_less_than_the_margin_counts_as_equal():
    device = FakeDevice(noise=0.001)
    little = Architecture(2, 128, 2, 128, 520)
    margin = truth(device, SMALL, little) - 1
    for within, verdict in ((2 * margin, "no difference"), (margin / 2, "slower")):
        found = compare(device, side(device), side(device, little), ComparisonPlan(within))
        assert found.verdict == verdict


def test_a_drift_of_the_device_cancels():
    device = FakeDevice(slowdown=lambda elapsed: 1 + elapsed / 10)
    found = compare(device, side(device), side(device, LARGER), ComparisonPlan(until_verdict=False))
    assert found.launches[-1].seconds()[0] > 1.5 * found.launches[0].seconds()[0]
    assert found.ratio == pytest.approx(truth(device), rel=1e-3)


def test_preempted_pairs_are_left_out_and_counted():
    device = FakeDevice(noise=0.002, preemption=0.3)
    found = compare(device, side(device), side(device, LARGER))
    assert found.ratio == pytest.approx(truth(device), rel=0.005)
    counted = sum(launch.disturbed_pairs for launch in found.launches)
    assert found.disturbed_pairs == counted == found.to_json()["disturbed_pairs"]
    assert not found.reasons


def test_a_result_from_mostly_preempted_pairs_is_flagged():
    device = FakeDevice(preemption=0.99)
    found = compare(device, side(device), side(device, LARGER), ComparisonPlan(most_launches=8))
    assert found.disturbed_pairs > found.pairs / 3
    assert found.to_json()["flagged"]
    assert "preempted" in found.reasons[0]
    assert found.to_json()["launches_left_out"] == 8 - len(found.log_ratios) > 0


def test_sides_of_equal_conditions_share_a_worker_and_others_have_one_each():
    def workers(second):
        device = FakeDevice()
        started = []
        device.launch = lambda runtime, settings: (
            started.append(settings) or FakeDevice.launch(device, runtime, settings)
        )
        found = compare(
            device, side(device), side(device, settings=second), ComparisonPlan(most_launches=3)
        )
        assert len(started) == 3 * found.workers
        return set(started), found.workers

    assert workers(SETTINGS) == ({SETTINGS}, 1)
    assert workers(ELSEWHERE) == ({SETTINGS, ELSEWHERE}, 2)


def test_precisions_are_compared_too():
    device = FakeDevice()
    found = compare(device, side(device), side(device, settings=RunSettings(precision="int8")))
    assert found.verdict == "faster"
    assert [c.settings.precision for c in found.conditions] == ["fp32", "int8"]


def test_a_file_is_compared_with_an_architecture(tmp_path):
    device = FakeDevice()
    runtime = device.runtimes["fake"]
    path = runtime.build(LARGER, SETTINGS, tmp_path).path
    found = compare(device, side(device), side(device, ModelFile.of(path)))
    assert found.verdict == "slower"
    assert found.to_json()["second"]["architecture"].startswith(f"{path.name}@")


def run_of(seed, **noise):
    device = FakeDevice(seed=5, launch_noise=0.02, **noise)
    plan = ComparisonPlan(seed=seed, most_launches=12)
    return compare(device, side(device), side(device, settings=ELSEWHERE), plan)


def test_the_same_seed_decides_alike_and_another_orders_otherwise():
    first, again, other = run_of(1), run_of(1), run_of(2)
    assert first.to_json() == again.to_json()
    assert [launch.second_loaded_first for launch in first.launches] != [
        launch.second_loaded_first for launch in other.launches
    ]
    assert {launch.second_loaded_first for launch in first.launches} == {True, False}


def test_each_side_leads_in_every_other_pair():
    device = FakeDevice()
    asked = []

    class Listening:
        def __init__(self, launch):
            self._launch = launch

        def __enter__(self):
            self._launch.__enter__()
            return self

        def __exit__(self, *error):
            self._launch.__exit__(*error)

        def load(self, key, artefact, **how):
            return self._launch.load(key, artefact, **how)

        def run(self, key, **how):
            asked.append(key)
            return self._launch.run(key, **how)

    device.launch = lambda *words: Listening(FakeDevice.launch(device, *words))
    compare(device, side(device), side(device), ComparisonPlan(most_launches=2, pairs=8))
    for begin in (2, 20):  # two settle after loading, then eight pairs
        blocks = asked[begin : begin + 16]
        leads = blocks[::2]
        assert all(a != b for a, b in zip(leads, blocks[1::2], strict=True))
        assert all(a != b for a, b in zip(leads[::2], leads[1::2], strict=True))


def test_both_sides_are_fed_the_same_token_ids():
    device = FakeDevice()
    knows, fed = {"first": 1000, "second": 30}, []

    class Knowing:
        def __init__(self, launch):
            self._launch = launch

        def __enter__(self):
            self._launch.__enter__()
            fed.append({})
            return self

        def __exit__(self, *error):
            self._launch.__exit__(*error)

        def load(self, key, artefact, *, vocabulary_size=None):
            fed[-1][key] = min(knows[key], vocabulary_size or knows[key])
            return replace(self._launch.load(key, artefact), vocabulary_size=fed[-1][key])

        def __getattr__(self, name):
            return getattr(self._launch, name)

    device.launch = lambda *words: Knowing(FakeDevice.launch(device, *words))
    compare(device, side(device), side(device), ComparisonPlan(most_launches=2, pairs=2))
    assert fed == [{"first": 30, "second": 30}] * 2


def test_slow_models_get_fewer_pairs_so_that_launches_stay_short():
    device = FakeDevice()
    slow = Architecture(24, 1024, 16, 1024, 4096)
    plan = ComparisonPlan(most_launches=2)
    found = compare(device, side(device, slow), side(device), plan)
    assert found.pairs == 2 * plan.fewest_pairs


@pytest.mark.parametrize("cause", ["crash", "load-error", "build-error", "out-of-memory"])
def test_a_failure_names_the_side_and_the_cause(cause):
    device = FakeDevice(failures={str(LARGER): cause})
    with pytest.raises(RunError, match=f"The second, {LARGER}.*{cause}"):
        compare(device, side(device), side(device, LARGER))
    with pytest.raises(RunError, match=f"The first, {LARGER}.*{cause}"):
        compare(device, side(device, LARGER), side(device))


def test_a_spent_budget_leaves_it_undecided_after_two_launches():
    device = FakeDevice()
    found = compare(device, side(device), side(device, LARGER), ComparisonPlan(budget_seconds=1e-3))
    assert (found.verdict, found.ended_by, len(found.launches)) == ("undecided", "budget", 2)
    assert found.ratio_interval is not None


def test_launches_that_differ_widely_stay_undecided_until_they_are_many():
    found = run_of(3)
    assert (found.verdict, found.ended_by, len(found.launches)) == (
        "undecided",
        "most-launches",
        12,
    )


def test_what_is_known_when_it_is_interrupted_can_be_asked_for():
    device = FakeDevice()
    comparing = ComparisonRunner(device, side(device), side(device, LARGER), ComparisonPlan())

    def interrupt(found):
        if len(found.launches) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        comparing.run(interrupt)
    known = comparing.result()
    assert (len(known.launches), known.ended_by, known.verdict) == (3, "interrupted", "undecided")
    assert known.ratio == pytest.approx(truth(device))


def test_a_burst_in_a_few_pairs_does_not_move_a_launch():
    calm = [BlockValue(0.010, disturbed=False)] * 12
    burst = [BlockValue(0.017, disturbed=False)] * 2 + calm[2:]
    launch = PairedLaunch(0.0, False, tuple(calm), tuple(burst))
    assert launch.log_ratio == pytest.approx(0.0, abs=1e-12)


def test_a_launch_of_too_few_undisturbed_pairs_does_not_count():
    calm, hit = BlockValue(0.010, disturbed=False), BlockValue(0.011, disturbed=True)
    launch = PairedLaunch(0.0, False, (calm,) * 12, (calm,) * 2 + (hit,) * 10)
    assert launch.disturbed_pairs == 10
    assert launch.log_ratio is None
    assert replace(launch, second=(calm,) * 3 + (hit,) * 9).log_ratio == pytest.approx(0.0)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({"within": 0.0}, "counts as equal"),
        ({"within": 1.5}, "counts as equal"),
        ({"budget_seconds": 0.0}, "budget"),
        ({"most_launches": 1}, "at least 2"),
        ({"seed": -1}, "seed"),
        ({"pairs": 0}, "pair"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(words, told):
    with pytest.raises(InputError, match=told):
        ComparisonPlan(**words)
