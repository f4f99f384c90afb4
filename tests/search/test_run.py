"""A whole search on the fake device: the winner, resuming, repeating, failing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from atb.devices.fake.device import FakeDevice
from atb.errors import BadFile, InputError, RunError
from atb.models.architecture import Architecture
from atb.models.published import PUBLISHED
from atb.profiler.campaign.plan import SENTINEL
from atb.profiler.database.writer import ProfileDatabase
from atb.profiler.measurements import read_measurements
from atb.search.constraints.latency import LatencyLimit, SpeedUp
from atb.search.contract import MethodSettings
from atb.search.methods.methods import METHODS
from atb.search.request import SearchRequest
from atb.search.result import read_result
from atb.search.run import search
from atb.search.scoring.proxy import ExactProxy
from atb.search.scoring.scores import ScoreFile
from atb.search.targets import Target


@pytest.mark.parametrize("method", sorted(METHODS))
def test_the_winner_is_the_best_measured_one_that_meets_the_limit(
    world: Any, tmp_path: Path, method: str
) -> None:
    result = world.search(tmp_path, method=method)
    winner = result.winner
    assert winner.measured_seconds is not None
    assert winner.measured_seconds <= winner.interval_seconds[1] <= 0.008
    assert winner.measured_seconds == pytest.approx(winner.predicted_seconds, rel=1e-6)
    assert winner.proxy == max(c.proxy for c in result.finalists)
    assert 1 <= len(result.finalists) <= 5
    assert winner in result.candidates
    assert len(result.candidates) == result.evaluations
    scores = [c.proxy for c in result.candidates]
    assert scores == sorted(scores, reverse=True)
    with ProfileDatabase(tmp_path / "profile.db") as database:
        measured = read_measurements(database, campaign=result.campaigns[0])
        assert {m.architecture for m in measured} == {c.architecture for c in result.finalists}


def test_the_document_has_the_agreed_fields_and_reads_back(world: Any, tmp_path: Path) -> None:
    result = world.search(tmp_path)
    document = json.loads((tmp_path / "out" / "result.json").read_text())
    assert document["format"] == 1
    assert document["constraint_seconds"] == 0.008
    wanted = {"architecture", "predicted_seconds", "measured_seconds", "interval_seconds", "proxy"}
    assert wanted <= set(document["winner"])
    assert len(document["candidates"]) == result.evaluations
    assert read_result(tmp_path / "out" / "result.json") == result


@pytest.mark.parametrize("damage", ['{"format": 1', '{"format": 1, "kind": "search-result"}', "[]"])
def test_a_damaged_result_is_refused(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "result.json"
    path.write_text(damage)
    with pytest.raises(BadFile):
        read_result(path)


def test_the_same_search_returns_its_result_without_scoring_or_measuring(
    world: Any, tmp_path: Path
) -> None:
    first = world.search(tmp_path)
    proxy = ExactProxy()
    blind = FakeDevice(failures={str(c.architecture): "crash" for c in first.candidates})
    assert world.search(tmp_path, proxy=proxy, device=blind) == first
    assert proxy.calls == 0


@pytest.mark.slow
def test_another_request_in_the_same_folder_keeps_the_scores(world: Any, tmp_path: Path) -> None:
    world.search(tmp_path, seed=1)
    proxy = ExactProxy()
    tighter = world.search(tmp_path, seed=1, limit=LatencyLimit(0.00799), proxy=proxy)
    assert tighter.constraint_seconds == 0.00799
    lines = (tmp_path / "out" / "scores.jsonl").read_text().splitlines()
    architectures = [json.loads(line)["architecture"] for line in lines]
    assert len(architectures) == len(set(architectures))
    assert proxy.calls <= tighter.evaluations


def start(folder: Path, seconds: float) -> subprocess.Popen[str]:
    script = Path(__file__).parents[1] / "support" / "search_world.py"
    return subprocess.Popen(
        [sys.executable, str(script), str(folder), str(seconds)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )


@pytest.mark.slow
def test_the_same_seed_in_another_process_gives_the_same_result(world: Any, tmp_path: Path) -> None:
    here = world.search(tmp_path / "here")
    with start(tmp_path / "there", 0.0) as process:
        out, _ = process.communicate(timeout=60)
    assert out.split() == [str(here.winner.architecture), str(here.evaluations)]
    there = read_result(tmp_path / "there" / "out" / "result.json")
    assert [c.to_json() | {"campaign": 0} for c in there.candidates] == [
        c.to_json() | {"campaign": 0} for c in here.candidates
    ]


@pytest.mark.slow
def test_a_killed_search_ends_with_the_same_result(world: Any, tmp_path: Path) -> None:
    whole = world.search(tmp_path / "whole")
    scores = tmp_path / "killed" / "out" / "scores.jsonl"
    counts = []
    for wanted in (3, 11):
        with start(tmp_path / "killed", 0.1) as process:
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline and process.poll() is None:
                if scores.exists() and scores.read_bytes().count(b"\n") >= wanted:
                    break
                time.sleep(0.01)
            process.send_signal(signal.SIGKILL)
        counts.append(scores.read_bytes().count(b"\n"))
    assert 3 <= counts[0] < counts[1] < whole.evaluations
    proxy = ExactProxy()
    resumed = world.search(tmp_path / "killed", proxy=proxy)
    assert proxy.calls == whole.evaluations - counts[1]
    assert [c.to_json() | {"campaign": 0} for c in resumed.candidates] == [
        c.to_json() | {"campaign": 0} for c in whole.candidates
    ]
    assert resumed.winner.architecture == whole.winner.architecture


def test_a_search_killed_among_finalists_goes_on_with_its_campaign(
    world: Any, tmp_path: Path
) -> None:
    class Gone(RuntimeError):
        pass

    class Interrupted(FakeDevice):
        launches = 0

        def launch(self, *arguments: Any) -> Any:
            self.launches += 1
            if self.launches > 2:
                raise Gone
            return super().launch(*arguments)

    with pytest.raises(Gone):
        world.search(tmp_path, device=Interrupted())
    result = world.search(tmp_path)
    with ProfileDatabase(tmp_path / "profile.db") as database:
        assert [campaign.label for campaign in database.campaigns()] == list(result.campaigns)


@pytest.mark.slow
def test_a_device_that_vanishes_among_finalists_costs_nothing_that_was_found(
    world: Any, tmp_path: Path
) -> None:
    class Vanishing(FakeDevice):
        launches = 0

        def launch(self, *arguments: Any) -> Any:
            self.launches += 1
            if self.launches > 2:
                self.failures[str(SENTINEL)] = "device-gone"
            return super().launch(*arguments)

    with pytest.raises(RunError, match="3 times in a row"):
        world.search(tmp_path, device=Vanishing())
    with ProfileDatabase(tmp_path / "profile.db") as database:
        before = sum(len(m.blocks) for m in read_measurements(database))
    assert before > 0
    proxy = ExactProxy()
    result = world.search(tmp_path, proxy=proxy)
    assert proxy.calls == 0
    undisturbed = world.search(tmp_path / "undisturbed").winner
    assert result.winner.architecture == undisturbed.architecture
    with ProfileDatabase(tmp_path / "profile.db") as database:
        assert [campaign.label for campaign in database.campaigns()] == list(result.campaigns)
        measured = read_measurements(database, campaign=result.campaigns[0])
    assert sum(len(m.blocks) for m in measured) > before


def test_a_failed_candidate_is_a_value_and_does_not_end_the_search(
    world: Any, tmp_path: Path
) -> None:
    class Fragile(ExactProxy):
        key = "fragile"

        def score(self, architectures: Any) -> list[float | None]:
            return [
                None if a.layers % 2 else score
                for a, score in zip(architectures, super().score(architectures), strict=True)
            ]

    result = world.search(tmp_path, proxy=Fragile())
    assert any(c.proxy is None for c in result.candidates)
    assert result.winner.architecture.layers % 2 == 0
    assert result.evaluations == 24


def test_a_search_in_which_nothing_can_be_scored_says_so(world: Any, tmp_path: Path) -> None:
    class Broken(ExactProxy):
        def score(self, architectures: Any) -> list[float | None]:
            return [None] * len(architectures)

    with pytest.raises(RunError, match="could be scored"):
        world.search(tmp_path, proxy=Broken())


@pytest.mark.slow
def test_a_hopeful_predictor_is_corrected_by_what_finalists_show(
    world: Any, tmp_path: Path
) -> None:
    result = world.search(tmp_path, bias=0.7)
    assert result.winner.measured_seconds <= 0.008
    assert result.correction == pytest.approx(1 / 0.7, rel=0.01)
    assert len(result.campaigns) > 1


@pytest.mark.slow
def test_a_pessimistic_predictor_is_corrected_too(world: Any, tmp_path: Path) -> None:
    result = world.search(tmp_path, bias=1.4)
    assert 0.85 * 0.008 <= result.winner.measured_seconds <= 0.008


def test_a_limit_that_only_the_predictor_reaches_ends_in_a_run_error(
    world: Any, tmp_path: Path
) -> None:
    with pytest.raises(RunError, match=r"off by a factor of 2\.00"):
        world.search(tmp_path, bias=0.5, limit=LatencyLimit(0.0006))
    assert (tmp_path / "out" / "scores.jsonl").is_file()
    assert not (tmp_path / "out" / "result.json").exists()


@pytest.mark.slow
def test_a_finalist_that_cannot_be_measured_is_passed_over(world: Any, tmp_path: Path) -> None:
    best = world.search(tmp_path / "first").winner
    device = FakeDevice(failures={str(best.architecture): "crash"})
    second = world.search(tmp_path / "second", device=device).winner
    assert second.architecture != best.architecture
    assert second.proxy < best.proxy


@pytest.mark.slow
def test_a_speedup_is_over_the_measured_reference(world: Any, tmp_path: Path) -> None:
    speedup = SpeedUp(20, PUBLISHED["bert-base"], "bert-base")
    result = world.search(tmp_path, limit=speedup)
    reference = FakeDevice().latency(PUBLISHED["bert-base"], world.settings)
    assert result.constraint_seconds == pytest.approx(reference / 20)
    assert "20 times as fast as bert-base" in result.basis
    with ProfileDatabase(tmp_path / "profile.db") as database:
        assert len(database.campaigns()) == 1 + len(result.campaigns)


def test_fewer_candidates_than_a_generation_are_all_scored(world: Any, tmp_path: Path) -> None:
    few = LatencyLimit(0.0365, (0.98, 1.0))
    count = len(world.candidates(few))
    result = world.search(tmp_path, limit=few, settings=MethodSettings(generation_size=count + 1))
    assert result.evaluations == count
    assert result.ended_by == "candidates"


@pytest.mark.slow
def test_the_front_holds_what_nothing_beats(world: Any, tmp_path: Path) -> None:
    result = world.search(tmp_path)
    front = result.front
    assert front
    for one in front:
        for other in result.candidates:
            beats = other.latency_seconds < one.latency_seconds and other.proxy > one.proxy
            assert not beats


@pytest.mark.parametrize(
    "request_fields",
    [
        {"limit": LatencyLimit(1e-6)},
        {"limit": LatencyLimit(100.0)},
        {"method": "annealing"},
        {"seed": -1},
        {"finalists": 0},
    ],
)
def test_what_cannot_be_searched_writes_nothing(
    world: Any, tmp_path: Path, request_fields: dict[str, Any]
) -> None:
    with pytest.raises(InputError):
        world.search(tmp_path, **request_fields)
    assert not (tmp_path / "out").exists()


def test_a_predictor_of_other_conditions_is_refused(world: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="conditions"):
        world.search(tmp_path, device=FakeDevice("other"))
    assert not (tmp_path / "out").exists()


def test_an_unwritable_folder_is_refused(world: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with ProfileDatabase(tmp_path / "profile.db", create=True) as database:
        request = SearchRequest(world.space, world.limit, settings=world.short)
        with pytest.raises(InputError, match="Cannot write"):
            search(
                request,
                [Target(world.predictor(), world.verifier(database))],
                ExactProxy(),
                tmp_path / "file" / "out",
            )


A, B = Architecture(1, 128, 2, 64, 128), Architecture(2, 128, 2, 64, 128)


def test_a_torn_last_line_of_scores_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "scores.jsonl"
    with ScoreFile(path, ExactProxy()) as scores:
        first = scores.score(A)
    whole = path.read_text()
    path.write_text(whole + '{"format": 1, "proxy": "ex')
    proxy = ExactProxy()
    with ScoreFile(path, proxy) as scores:
        assert scores.score(A) == first
        assert proxy.calls == 0
        scores.score(B)
    assert path.read_text().startswith(whole)
    assert len(path.read_text().splitlines()) == 2


def test_scores_of_another_proxy_are_not_used(tmp_path: Path) -> None:
    path = tmp_path / "scores.jsonl"
    with ScoreFile(path, ExactProxy()) as scores:
        scores.score(A)
    other = ExactProxy()
    other.key = "other"
    with ScoreFile(path, other) as scores:
        scores.score(A)
    assert other.calls == 1


@pytest.mark.parametrize(
    "line", ["nonsense", "[1]", '{"format": 9, "proxy": "exact"}', '{"format": 1}']
)
def test_foreign_scores_are_refused(tmp_path: Path, line: str) -> None:
    path = tmp_path / "scores.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(BadFile, match="1 is not a score"):
        ScoreFile(path, ExactProxy())
