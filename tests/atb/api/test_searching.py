"""`atb.search`: finalists are measured, the folder is a search's, the same call resumes."""

from __future__ import annotations

from pathlib import Path

import pytest

import atb


@pytest.mark.slow
def test_a_search_hands_over_a_measured_model_that_can_be_saved_and_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    measured = atb.profile("fake", space="mini", samples=20, db="profile.db")
    predictor = atb.fit(measured)
    few = {"generation_size": 4, "generations": 1, "finalists": 2}
    result = atb.search(predictor, latency="6ms", limits={"size": "40MB"}, **few)
    winner = result.winner
    assert winner.latency_seconds <= 0.006
    assert winner.verdict == "met"
    assert len(result.result.finalists) >= 1
    assert result.to_frame()["measured_seconds"].notna().sum() == len(result.result.finalists)
    # into the database that the predictor was fitted on
    assert any("search" in m.campaign for m in atb.measurements("profile.db"))
    assert atb.SearchOutcome.load() == result
    assert atb.search(predictor, latency=0.006, limits=["size=40MB"], **few) == result
    assert "<svg" in result._repr_html_()

    winner.save("model")
    assert {"model.onnx", "config.json", "README.md"} <= {p.name for p in Path("model").iterdir()}
    result.save("kept")
    assert atb.SearchOutcome.load("kept").winner == winner
    found = atb.compare("model/model.onnx", "model/model.onnx", budget="4s", within="50%")
    assert repr(found).startswith("<Comparison: model.onnx@")


def test_a_limit_is_given_once_and_in_words_that_are_known(tmp_path: Path) -> None:
    predictor = atb.fit(atb.profile("fake", samples=12, db=tmp_path / "profile.db"))
    out = tmp_path / "search"
    with pytest.raises(atb.InputError, match="Give the limit"):
        atb.search(predictor, out=out)
    with pytest.raises(atb.InputError, match="no search method 'guess'"):
        atb.search(predictor, latency="6ms", method="guess", out=out)
    with pytest.raises(atb.InputError, match="There is no file"):
        atb.search(tmp_path / "nothing.json", latency="6ms", out=out)
    assert not out.exists()
