from collections import Counter

import pytest

from atb.errors import InputError
from atb.models.architecture import Architecture
from atb.models.published import PUBLISHED
from atb.models.space import find_space
from atb.profiler.campaign.plan import Plan

MINI = find_space("mini")


def test_more_samples_begin_with_the_fewer():
    few, many = Plan.sample(MINI, 10), Plan.sample(MINI, 40)
    assert many.subjects[:10] == few.subjects
    assert many.identity == few.identity


def test_listed_architectures_are_part_of_the_identity():
    one, two = Plan((PUBLISHED["bert-tiny"],)), Plan((PUBLISHED["bert-mini"],))
    assert one.identity != two.identity


def test_doubles_are_dropped():
    assert Plan((PUBLISHED["s1"], PUBLISHED["s2"], PUBLISHED["s1"])).subjects == (
        PUBLISHED["s1"],
        PUBLISHED["s2"],
    )


def test_groups_hold_everyone_once_within_the_limits():
    plan = Plan.sample(MINI, 60)
    for launch in range(3):
        groups = plan.groups(plan.subjects, launch)
        assert sorted(a for group in groups for a in group) == sorted(plan.subjects)
        assert max(len(group) for group in groups) <= 25


def test_large_models_share_a_worker_with_fewer():
    # 340 MB each: two fit into the gigabyte of a worker
    large = [Architecture(12, 768, 12, 768, 3072 + extra) for extra in range(7)]
    plan = Plan(tuple(large))
    assert [len(group) for group in plan.groups(large, 0)] == [2, 2, 2, 1]
    assert [len(batch) for batch in plan.batches(large)] == [5, 2]


def test_a_model_larger_than_a_worker_may_hold_stands_alone():
    huge = Architecture(48, 2048, 16, 2048, 8192)
    plan = Plan((PUBLISHED["bert-tiny"], huge))
    assert [len(group) for group in plan.groups(plan.subjects, 0)] == [1, 1]


def test_company_changes_from_launch_to_launch():
    plan = Plan.sample(MINI, 60)
    first, second = (plan.groups(plan.subjects, launch)[0] for launch in range(2))
    assert set(first) != set(second)


def test_the_order_is_random_and_spreads_the_blocks_of_each():
    plan = Plan.sample(MINI, 10)
    order = plan.order(plan.subjects, 0)
    assert Counter(a for a, _ in order) == dict.fromkeys(plan.subjects, plan.blocks)
    for block in range(plan.blocks):
        part = order[10 * block : 10 * (block + 1)]
        assert {a for a, _ in part} == set(plan.subjects)
        assert {number for _, number in part} == {block}
    assert order != plan.order(plan.subjects, 1)
    assert order == plan.order(plan.subjects, 0)


@pytest.mark.parametrize(
    "fields",
    [
        {"within": 0.0},
        {"within": -0.01},
        {"within": 1.0},
        {"budget_seconds": 0.0},
        {"budget_seconds": -3.0},
        {"budget_seconds": float("nan")},
        {"seed": -1},
        {"seed": 2**63},
        {"name": " "},
        {"launches": 0},
        {"blocks": 0},
    ],
)
def test_impossible_plans_are_refused(fields):
    with pytest.raises(InputError):
        Plan((PUBLISHED["s1"],), **fields)


def test_nothing_to_measure_is_refused():
    with pytest.raises(InputError):
        Plan(())
    with pytest.raises(InputError):
        Plan.sample(MINI, 0)
    with pytest.raises(InputError):
        Plan.sample(MINI, MINI.size + 1)
    with pytest.raises(InputError):
        Plan.sample(MINI, 1, seed=-1)
