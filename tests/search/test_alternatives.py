"""Several settings of a device, of which the best is chosen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from search_world import ExactPredictor

from atb.errors import InputError
from atb.models.architecture import Architecture
from atb.models.superplm.superplm import SuperPLM
from atb.profiler.database.writer import ProfileDatabase
from atb.search.alternatives import Alternative, search_alternatives
from atb.search.constraints.latency import LatencyLimit, Percentile
from atb.search.request import SearchRequest
from atb.search.result import SearchResult, read_result
from atb.search.scoring.proxies import make_proxy
from atb.search.scoring.proxy import DistillationProxy, ExactProxy
from atb.search.targets import Target


class Lossy(ExactProxy):
    """What a setting costs every score."""

    def __init__(self, loss: float) -> None:
        super().__init__()
        self.loss = loss
        self.key = f"lossy {loss}"

    def score(self, architectures: Any) -> list[float | None]:
        return [s - self.loss for s in super().score(architectures) if s is not None]


def choose(world: Any, folder: Path, *, factor: float, loss: float, limit: float) -> SearchResult:
    """`plain` against `other`, whose predictor says the same and whose scores are lower."""
    folder.mkdir(parents=True, exist_ok=True)
    with ProfileDatabase(folder / "profile.db", create=True) as database:
        verifier = world.verifier(database)
        slower = ExactPredictor(world.conditions, lambda rows: factor * world.latency(rows))
        several = [
            Alternative(Target(slower, verifier, "plain"), ExactProxy()),
            Alternative(Target(world.predictor(), verifier, "other"), Lossy(loss)),
        ]
        request = SearchRequest(world.space, LatencyLimit(limit), settings=world.short)
        return search_alternatives(request, several, folder / "out")


@pytest.mark.slow
@pytest.mark.parametrize(("loss", "winner"), [(0.5, "plain"), (-0.5, "other")])
def test_the_better_score_wins(world: Any, tmp_path: Path, loss: float, winner: str) -> None:
    found = choose(world, tmp_path, factor=1.0, loss=loss, limit=0.008)
    best, second = found.alternatives
    assert best.name == winner
    assert second.name == {"plain": "other", "other": "plain"}[winner]
    assert best.proxy > second.proxy
    assert best.proxy == found.winner.proxy
    assert best.winner == str(found.winner.architecture)
    assert read_result(tmp_path / "out" / "result.json") == found
    own = read_result(tmp_path / "out" / winner / "result.json")
    assert own.candidates == found.candidates


def test_what_is_out_of_reach_in_one_setting_is_found_in_another(
    world: Any, tmp_path: Path
) -> None:
    found = choose(world, tmp_path, factor=1000.0, loss=0.5, limit=0.008)
    best, other = found.alternatives
    assert (best.name, other.name) == ("other", "plain")
    assert other.winner is None
    assert "below reach" in other.refused


def test_out_of_reach_in_all_is_told(world: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="below reach"):
        choose(world, tmp_path, factor=1.0, loss=0.5, limit=1e-6)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_the_same_call_goes_on_with_what_is_there(world: Any, tmp_path: Path) -> None:
    first = choose(world, tmp_path, factor=1.0, loss=0.5, limit=0.008)
    (tmp_path / "out" / "result.json").unlink()
    assert choose(world, tmp_path, factor=1.0, loss=0.5, limit=0.008) == first


@pytest.mark.parametrize("share", [0.2, 0.7])
def test_a_share_of_the_space_is_a_limit(world: Any, tmp_path: Path, share: float) -> None:
    whole = world.candidates(LatencyLimit(1.0, (1e-9, 1.0))).predicted_seconds
    found = world.search(tmp_path, limit=Percentile(share))
    assert (whole <= found.constraint_seconds).mean() == pytest.approx(share, abs=1e-3)
    assert found.winner.measured_seconds <= found.constraint_seconds
    assert f"{share:g} of the space" in found.basis


@pytest.mark.parametrize("share", [0.0, 1.5, float("nan")])
def test_an_impossible_share_is_refused(share: float) -> None:
    with pytest.raises(InputError, match="share"):
        Percentile(share)


def test_a_proxy_is_told_in_which_precision_slices_run() -> None:
    torch.manual_seed(0)
    superplm = SuperPLM.from_architecture(
        Architecture(2, 48, 4, 64, 96), projection_size=48, positions=128
    ).eval()
    with torch.no_grad():  # fresh layers add next to nothing to what they are handed
        for parameter in superplm.bert.encoder.parameters():
            parameter.mul_(10.0)
    fp32, int8 = (
        make_proxy(superplm, "distillation", precision=precision) for precision in ("fp32", "int8")
    )
    assert isinstance(int8, DistillationProxy)
    assert fp32.key != int8.key
    whole = [superplm.architecture]
    (exact,), (rounded,) = fp32.score(whole), int8.score(whole)
    assert exact == pytest.approx(0.0, abs=1e-5)  # equal to the teacher, which it is
    assert -0.3 < rounded < -1e-4  # rounding costs something, and not everything
    part = [Architecture(1, 41, 3, 33, 57)]
    assert int8.score(part)[0] == pytest.approx(fp32.score(part)[0], abs=0.1)
    for options, message in (
        ({"precision": "fp16"}, "fp16"),
        ({"precision": "int8", "bf16": True}, "--bf16"),
        ({"sequence_length": 64}, "--proxy task"),
    ):
        with pytest.raises(InputError, match=message):
            make_proxy(superplm, **options)
