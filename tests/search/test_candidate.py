from __future__ import annotations

import dataclasses

import pytest

from atb.models.published import PUBLISHED
from atb.search.candidate import Candidate, TargetResult, limit_verdict

MEASURED = Candidate(PUBLISHED["s4"], 5e-3, 5.2e-3, -0.5, 1, 5.1e-3, (5.0e-3, 5.3e-3))


@pytest.mark.parametrize(
    ("limit", "expected"),
    [(5.3e-3, "met"), (5.29e-3, "uncertain"), (5.0e-3, "uncertain"), (4.9e-3, "missed")],
)
def test_a_limit_is_met_by_the_whole_interval(limit: float, expected: str) -> None:
    assert limit_verdict((5.0e-3, 5.3e-3), limit) == expected
    assert MEASURED.verdict(limit) == expected


def test_the_margin_counts_where_it_is_asked_for() -> None:
    assert MEASURED.verdict(5.31e-3) == "met"
    assert MEASURED.verdict(5.31e-3, margin=0.01) == "uncertain"


def test_the_worst_place_decides() -> None:
    near = TargetResult("near", 3e-3, "there", 2e-3, 2.1e-3, (2.0e-3, 3.1e-3))
    slow = TargetResult("slow", 1e-3, "there", 2e-3, 2.1e-3, (2.0e-3, 3.1e-3))
    assert dataclasses.replace(MEASURED, further_targets=(near,)).verdict(9e-3) == "uncertain"
    assert dataclasses.replace(MEASURED, further_targets=(near, slow)).verdict(9e-3) == "missed"


def test_what_was_not_measured_has_no_verdict() -> None:
    assert Candidate(PUBLISHED["s4"], 5e-3, 5.2e-3, -0.5, 1).verdict(9e-3) is None
