"""The functions of `atb` on the simulated device, whose latencies are known exactly."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import atb
from atb import messages
from atb.devices import RunSettings, find_device
from atb.devices.fake.device import FakeRuntime
from atb.models import resolve

TWO = ["tinybert-4", "L4-H256-A8-Q256-F512"]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> atb.Measurements:
    db = tmp_path_factory.mktemp("face") / "profile.db"
    return atb.profile("fake", space="mini", samples=14, db=db, cache="0")


@pytest.fixture(scope="module")
def predictor(measured: atb.Measurements) -> atb.Predictor:
    return atb.fit(measured)


def truth(name: str) -> float:
    return find_device("fake").latency(resolve(name), RunSettings())


def by_subject(found: atb.Measurements) -> dict[str, atb.Measurement]:
    return {str(m.subject): m for m in found}


def test_what_is_measured_is_the_truth_and_stays_in_the_database(
    measured: atb.Measurements,
) -> None:
    for m in measured:
        assert m.latency_seconds == pytest.approx(truth(str(m.subject)), rel=1e-9)
    assert by_subject(atb.measurements(measured.db)) == by_subject(measured)
    assert measured[1:3].found == measured.found[1:3]
    with pytest.raises(atb.InputError, match="no measurements for threads 7"):
        atb.measurements(measured.db, threads=7)


def test_the_same_call_measures_nothing_again_and_more_samples_go_on(
    measured: atb.Measurements,
) -> None:
    again = atb.profile("fake", space="mini", samples=14, db=measured.db, cache="0")
    assert again.found == measured.found
    assert again.results[0].campaign == "profile"


def test_lists_of_settings_measure_every_combination(tmp_path: Path) -> None:
    found = atb.profile(
        "fake",
        architectures=["tinybert-4", atb.Architecture.parse("L2-H128-A4-Q128-F256")],
        threads=[1, 2],
        precision="fp32,int8",
        budget=600.0,
        db=tmp_path / "profile.db",
    )
    kinds = {(m.conditions.settings.threads, m.conditions.settings.precision) for m in found}
    assert len(found) == 8
    assert kinds == {(1, "fp32"), (2, "fp32"), (1, "int8"), (2, "int8")}
    assert len(found.to_frame()) == 8


def test_measurements_are_saved_as_a_table_and_as_a_database(
    measured: atb.Measurements, tmp_path: Path
) -> None:
    measured.save(tmp_path / "table.csv")
    table = pd.read_csv(tmp_path / "table.csv")
    assert table["latency_seconds"].tolist() == measured.to_frame()["latency_seconds"].tolist()
    measured.save(tmp_path / "copy.db")
    assert by_subject(atb.Measurements.load(tmp_path / "copy.db")) == by_subject(measured)


def test_predictions_are_near_the_truth_and_stay_the_same_when_saved(
    predictor: atb.Predictor, tmp_path: Path
) -> None:
    found = predictor.predict(TWO)
    assert found.values == pytest.approx([truth(name) for name in TWO], rel=0.05)
    assert [resolve(name) for name in TWO] == list(map(resolve, found.names))
    frame = found.to_frame()
    assert frame["latency_seconds"].tolist() == list(found.values)
    assert predictor.predict(frame).values == found.values
    assert predictor.predict(resolve(TWO[0])).values == found.values[:1]
    found.save(tmp_path / "predictions.json")
    assert atb.Predictions.load(tmp_path / "predictions.json") == found
    predictor.save(tmp_path / "predictor.json")
    for loaded in (atb.Predictor.load, atb.load_predictor):
        assert loaded(tmp_path / "predictor.json").predict(TWO) == found


def test_a_predictor_is_explained_and_judged(
    predictor: atb.Predictor, measured: atb.Measurements
) -> None:
    parts = predictor.explain("tinybert-4")
    assert sum(parts.values()) == pytest.approx(predictor.predict("tinybert-4").values[0])
    assert predictor.evaluate(measured).held_out_rows == len(measured)
    assert predictor.error < 0.05


@pytest.mark.slow
def test_one_predictor_of_many_settings_tells_each(tmp_path: Path) -> None:
    db = tmp_path / "profile.db"
    found = atb.profile("fake", samples=12, threads=[1, 2], db=db)
    with pytest.raises(atb.InputError, match="several conditions"):
        atb.fit(found)
    family = atb.fit(db, all_settings=True)
    family.save(tmp_path / "family.json")
    two = atb.load_predictor(tmp_path / "family.json", threads=2)
    assert two.conditions is not None
    assert two.conditions.settings.threads == 2
    assert two.predict(TWO) == family.at(threads=2).predict(TWO)
    with pytest.raises(atb.InputError, match="all_settings=True"):
        two.at(threads=1)


def test_a_table_is_learnt_from_as_a_frame_and_as_a_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 50, (40, 2))
    frame = pd.DataFrame({"width": sizes[:, 0], "depth": sizes[:, 1]})
    frame["milliseconds"] = 1.0 + 0.5 * frame["width"] * frame["depth"]
    frame.to_csv(tmp_path / "table.csv", index=False)
    by_frame = atb.fit(frame, target="milliseconds")
    by_file = atb.fit(tmp_path / "table.csv", target="milliseconds")
    found = by_frame.predict(frame)
    assert found.values == pytest.approx(frame["milliseconds"].tolist(), rel=1e-3)
    assert by_file.predict(tmp_path / "table.csv") == found
    assert by_frame.evaluate(frame).rows == 40
    by_frame.save(tmp_path / "predictor.json")
    assert atb.load_predictor(tmp_path / "predictor.json").predict(frame) == found
    with pytest.raises(atb.InputError, match="the table has no column 'depth'"):
        by_frame.predict(frame.drop(columns="depth"))
    with pytest.raises(atb.InputError, match="came without target"):
        atb.fit(frame)


def test_two_models_are_compared(tmp_path: Path) -> None:
    found = atb.compare("tinybert-4", "minilm-6", device="fake", within=0.01)
    expected = truth("minilm-6") / truth("tinybert-4")
    assert found.ratio == pytest.approx(expected, rel=1e-6)
    assert found.verdict == "slower"
    assert found.to_frame()["latency_seconds"].tolist() == list(found.latency_seconds)
    found.save(tmp_path / "comparison.json")
    assert atb.Comparison.load(tmp_path / "comparison.json") == found
    assert "<svg" in found._repr_html_()


def test_results_show_themselves(predictor: atb.Predictor, measured: atb.Measurements) -> None:
    predicted = predictor.predict(TWO)
    for result in (measured, predictor, predicted):
        assert len(repr(result)) < 160
        assert "<svg" in result._repr_html_()
        assert "<table" in result._repr_html_()
    assert repr(measured).startswith("<Measurements: 14 (0 flagged, 0 failures), fake")
    assert repr(predicted).startswith("<Predictions: latency_seconds of 2 rows, fake")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda db: atb.profile("fake", samples=3, budget="6", db=db), "has no unit"),
        (lambda db: atb.profile("fake", samples=3, within=2.0, db=db), "'200%' is out of range"),
        (lambda db: atb.profile("fake", architectures="tinybert-4", db=db), "put it into a list"),
        (
            lambda db: atb.profile("fake", samples=3, threads=[], db=db),
            "threads is '': write one value",
        ),
        (lambda db: atb.profile("nothing", samples=3, db=db), "nothing"),
        (atb.fit, "profile.db"),
    ],
)
def test_what_cannot_be_used_is_refused_in_a_sentence_and_leaves_no_file(
    tmp_path: Path, call, message: str
) -> None:
    with pytest.raises(atb.InputError, match=message):
        call(tmp_path / "profile.db")
    assert not (tmp_path / "profile.db").exists()


def test_where_nothing_can_be_measured_the_run_fails_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = str(resolve("tinybert-4"))
    monkeypatch.setattr(
        FakeRuntime, "__init__", lambda self, _: vars(self).update(_failures={shape: "build-error"})
    )
    with pytest.raises(atb.RunError, match=r"Nothing was measured, .*build-error"):
        atb.profile("fake", architectures=["tinybert-4"], db=tmp_path / "profile.db")


def test_messages_are_logged_and_nothing_is_printed(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(messages, "QUIET_FIRST_SECONDS", -1.0)
    monkeypatch.setattr(messages, "_shown", messages._logged)  # a command may have run before
    monkeypatch.setattr(messages.LOG, "handlers", [logging.NullHandler(), caplog.handler])
    messages.LOG.setLevel(logging.INFO)
    atb.profile("fake", samples=3, db=tmp_path / "profile.db")
    assert capfd.readouterr() == ("", "")
    said = [record.getMessage() for record in caplog.records]
    assert any(line.startswith("profile: 4") for line in said)
    assert said[-1] == "campaign profile: all that was planned is measured"
