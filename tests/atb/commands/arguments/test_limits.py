"""Limits of a search, by commands."""

from __future__ import annotations

import json

import pytest
from small_build import SPACE

pytestmark = pytest.mark.slow
LARGE = "L2-H32-A2-Q32-F64"


def test_one_model_for_two_settings_within_further_limits(atb, tmp_path) -> None:
    (tmp_path / "tiny.toml").write_text(SPACE)
    made = atb("superplm", "init", "--arch", LARGE, "--projection", "32", "--out", "start")
    assert made.returncode == 0, made.stderr
    for threads in ("1", "2"):
        profiled = atb("profile", "fake", "--space", "tiny.toml", "--samples", "12", "--db", "p.db",
                       "--threads", threads)  # fmt: skip
        assert profiled.returncode == 0, profiled.stderr
        fitted = atb("predictor", "train", "--db", "p.db", "--threads", threads, "--out",
                     f"{threads}.json")  # fmt: skip
        assert fitted.returncode == 0, fitted.stderr
    search = ("search", "--device", "fake", "--db", "p.db", "--predictor", "1.json", "--superplm",
              "start", "--space", "tiny.toml", "--latency", "0.6ms", "--window", "0.01,1",
              "--generation-size", "3", "--generations", "2", "--finalists", "2")  # fmt: skip
    found = atb(*search, "--limit", "2=0.5ms", "--limit", "parameters=2M", "--out", "out", "--json")
    assert found.returncode == 0, found.stderr
    result = json.loads(found.stdout)
    (there,) = result["winner"]["elsewhere"]
    assert there["name"] == "2"
    assert there["measured_seconds"] <= 0.5e-3
    assert result["bounds"] == ["parameters=2.00M"]
    chosen = atb(*search, "--latency", "60%", "--alternative", "2", "--out", "several", "--json")
    assert chosen.returncode == 0, chosen.stderr
    result = json.loads(chosen.stdout)
    assert {one["name"] for one in result["weighed"]} == {"1", "2"}
    assert result["winner"]["proxy"] == max(one["proxy"] for one in result["weighed"])
    assert result["basis"].startswith("predicted not to be exceeded by 0.6 of the space")
    assert (tmp_path / "several" / "model" / "model.onnx").is_file()
    for words, message in (
        (("--alternative", "3"), "no predictor 3.json"),
        (("--alternative", "2", "--alternative", "2.json"), "given twice"),
        (("--alternative", "2", "--limit", "2=1ms"), "does not go with"),
    ):
        answer = atb(*search, *words, "--out", "other")
        assert answer.returncode == 2, answer.stderr
        assert message in answer.stderr, answer.stderr
    refused = {
        "3=1ms": "no predictor 3.json",
        "size": "is not a limit",
        "parameters=1k": "below reach",
        "2=1us": "below reach",
    }
    for limit, message in refused.items():
        answer = atb(*search, "--limit", limit, "--out", "other")
        assert answer.returncode == 2, answer.stderr
        assert message in answer.stderr, answer.stderr
        assert "Traceback" not in answer.stderr
    twice = atb(*search, "--limit", "2=1ms", "--limit", "2=2ms", "--out", "other")
    assert "given twice" in twice.stderr
    assert not (tmp_path / "other").exists()
