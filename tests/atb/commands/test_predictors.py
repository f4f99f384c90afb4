"""`atb predictor`, `atb predict` and `atb profile --until-error` as a person uses them."""

from __future__ import annotations

import csv
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from forked import run_forked

#: Campaigns and processes of several seconds each.
pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]
PNG = b"\x89PNG"


@pytest.fixture(scope="module")
def profiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the database of a simulated device and a predictor fitted on it."""
    folder = tmp_path_factory.mktemp("profiled")
    for words in (
        ("profile", "fake", "--samples", "40", "--db", "p.db"),
        ("predictor", "train", "--db", "p.db", "--out", "p.json"),
    ):
        run_forked(words, folder, {**os.environ, "PYTHONPATH": str(ROOT)}).check_returncode()
    return folder


@pytest.fixture
def measured(profiled: Path, tmp_path: Path) -> Path:
    """The same in a folder of the test's own."""
    for name in ("p.db", "p.json"):
        shutil.copy(profiled / name, tmp_path / name)
    return tmp_path


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A device that is a fifth slower while its middle third is measured."""
    rng = np.random.default_rng(0)
    path = tmp_path / "table.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["layers", "width", "batch", "ms"])
        for i in range(150):
            layers, width = int(rng.integers(1, 9)), int(rng.integers(8, 65))
            slow = 1.2 if 50 <= i < 100 else 1.0
            milliseconds = (1 + 1e-3 * layers * width**2) * slow * rng.normal(1, 0.01)
            writer.writerow([layers, width, 1, milliseconds])
    return path


def test_a_table_is_learned_and_judged(atb, table: Path, tmp_path: Path) -> None:
    words = ("--table", table.name, "--target", "ms", "--out", "p.json")
    blind = atb("predictor", "train", *words, "--json")
    assert blind.returncode == 0, blind.stderr
    assert "batch" in blind.stderr
    plain = json.loads(blind.stdout)
    assert plain["features"] == ["layers", "width"]
    assert plain["left_out"] == ["batch"]
    assert not plain["drift"]

    seeing = atb("predictor", "train", *words, "--order", "rows")
    assert seeing.returncode == 0, seeing.stderr
    assert "drifted by" in seeing.stdout
    judged = [
        json.loads(atb("predictor", "evaluate", "--predictor", "p.json", *further, "--json").stdout)
        for further in (
            ("--table", table.name),
            ("--table", table.name, "--order", "rows"),
        )
    ]
    assert judged[0]["rows"] == judged[1]["rows"] == 150
    assert judged[1]["mape"] < 0.02 < judged[0]["mape"]
    assert 1 <= judged[0]["worst_row"] <= 150

    for further, told in (
        (("--table", table.name, "--order", "layers"), "fitted by rows"),
        ((), "not a latency-predictor"),
    ):
        refused = atb("predictor", "evaluate", "--predictor", "p.json", *further)
        assert refused.returncode == 2
        assert told in refused.stderr
        assert refused.stderr.count("\n") == 1


def test_a_table_is_treated_alike_by_every_command(atb, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    lines = [
        f"{('pi', 'nano')[i % 2]};{layers};{width} px;{0.5 + layers * width / 100:.4f}".replace(
            ".", ","
        )
        for i, (layers, width) in enumerate(rng.integers(1, 90, (40, 2)))
    ]
    (tmp_path / "t.csv").write_text("device;layers;width;ms\n" + "\n".join(lines) + "\n")
    words = ("--table", "t.csv", "--target", "ms")
    trained = atb("predictor", "train", *words, "--out", "p.json", "--json")
    assert trained.returncode == 0, trained.stderr
    told = json.loads(trained.stdout)
    assert told["features"] == ["layers", "width"]
    assert told["left_out_reasons"] == {"device": "holds text such as 'pi'"}
    compared = atb(
        "predictor", "compare", *words, "--baselines", "ridge", "--splits", "1", "--out", "c.svg"
    )
    assert compared.returncode == 0, compared.stderr
    for done in (trained, compared):
        assert "left out: device (holds text such as 'pi')" in done.stderr

    judged = atb("predictor", "evaluate", "--predictor", "p.json", "--table", "t.csv", "--json")
    assert json.loads(judged.stdout)["mape"] < 0.05
    (tmp_path / "bare.csv").write_text("layers,width,\n40,50,\n")
    predicted = atb("predict", "--predictor", "p.json", "--table", "bare.csv")
    (row,) = csv.DictReader(predicted.stdout.splitlines())
    assert float(row["ms"]) == pytest.approx(20.5, rel=0.1)
    assert "'width' gives no unit and is read in px" in predicted.stderr

    (tmp_path / "other.csv").write_text("layers,width\n40,50 mm\n")
    (tmp_path / "bad.csv").write_text("layers,width,ms\n40,50 px,1\n-,50 px,2\n")
    for name, told in (
        ("other.csv", "is in mm, and the predictor was fitted on it in px"),
        ("bad.csv", "Row 2 of bad.csv (line 3) has no usable layers ('-' is no number)"),
    ):
        refused = atb("predict", "--predictor", "p.json", "--table", name)
        assert refused.returncode == 2
        assert told in refused.stderr
        assert refused.stderr.count("\n") == 1


def test_an_exported_database_is_learnt_from_by_its_shapes_alone(atb, measured: Path) -> None:
    assert atb("database", "export", "--db", "p.db", "--out", "p.csv").returncode == 0
    words = ("--table", "p.csv", "--target", "latency_seconds", "--out", "t.json", "--json")
    learnt = json.loads(atb("predictor", "train", *words).stdout)
    shapes = {"layers", "hidden", "heads", "qkv", "feed_forward"}
    assert set(learnt["features"]) <= shapes
    assert {"wall_seconds", "latency_low_seconds", "launches"} <= set(learnt["left_out"])


def test_rows_of_a_table_are_predicted(atb, table: Path, tmp_path: Path) -> None:
    trained = atb("predictor", "train", "--table", table.name, "--target", "ms", "--out", "p.json")
    assert trained.returncode == 0, trained.stderr
    (tmp_path / "new.csv").write_text("width,layers,name\n32,4,a\n900,4,b\n")
    done = atb("predict", "--predictor", "p.json", "--table", "new.csv")
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader(done.stdout.splitlines()))
    assert list(rows[0]) == ["layers", "width", "ms", "lower", "upper", "supported"]
    assert float(rows[0]["ms"]) == pytest.approx(1 + 1e-3 * 4 * 32**2, rel=0.1)
    assert float(rows[0]["lower"]) < float(rows[0]["ms"]) < float(rows[0]["upper"])
    assert [row["supported"] for row in rows] == ["True", "False"]
    document = json.loads(
        atb("predict", "--predictor", "p.json", "--table", "new.csv", "--json").stdout
    )
    assert document["predictions"][0]["ms"] == float(rows[0]["ms"])
    (tmp_path / "short.csv").write_text("width\n32\n")
    (tmp_path / "none.csv").write_text("width,layers\n")
    for name, told in (("short.csv", "no column 'layers'"), ("none.csv", "no rows")):
        refused = atb("predict", "--predictor", "p.json", "--table", name)
        assert refused.returncode == 2
        assert told in refused.stderr


def test_predictors_are_compared_on_a_table(atb, table: Path, tmp_path: Path) -> None:
    words = ("--table", table.name, "--target", "ms", "--baselines", "ridge,boosting")
    sizes = ("--sizes", "20,60", "--splits", "2")
    done = atb("predictor", "compare", *words, *sizes, "--out", "curve.png")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["20"] * 3 + ["60"] * 3
    assert lines[1].split()[1] == "atb"
    assert (tmp_path / "curve.png").read_bytes().startswith(PNG)
    found = json.loads(atb("predictor", "compare", *words, *sizes, "--json").stdout)
    assert len(found["comparisons"]) == 2 * 2 * 3
    for further, told in (
        (("--baselines", "oracle"), "oracle"),
        (("--sizes", "500"), "500 rows"),
        (("--sizes", "5"), "5 rows"),
    ):
        refused = atb("predictor", "compare", *words[:4], *further)
        assert refused.returncode == 2
        assert told in refused.stderr
        assert refused.stderr.splitlines()[-1].startswith("atb: ")


def test_predictors_are_compared_on_measurements(atb, measured: Path) -> None:
    done = atb(
        "predictor", "compare", "--db", "p.db", "--baselines", "lookup,ridge", "--splits", "2",
        "--sizes", "30", "--out", "curve.svg",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert {line.split()[1] for line in done.stdout.splitlines()[1:]} == {"atb", "lookup", "ridge"}
    assert "<svg" in (measured / "curve.svg").read_text()


@pytest.mark.usefixtures("measured")
def test_a_new_device_is_known_from_ten_measurements(atb) -> None:
    words = ("--device", "fake", "--threads", "2", "--db", "p.db", "--out", "b.json")
    done = atb("predictor", "transfer", "--predictor", "p.json", *words, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["rows"] == 10
    assert told["sources"] == {"p.json": pytest.approx(1)}
    assert told["conditions"]["threads"] == 2
    assert told["left_out_mape"] < 0.05
    again = atb("predictor", "transfer", "--predictor", "p.json", *words)
    assert again.returncode == 0, again.stderr
    assert "known of p.json (100%)" in again.stdout
    predicted = atb("predict", "tinybert-4", "--predictor", "b.json", "--threads", "2")
    assert predicted.returncode == 0, predicted.stderr


@pytest.mark.slow
def test_one_predictor_knows_many_settings(atb) -> None:
    words = ("profile", "fake", "--samples", "12", "--db", "p.db")
    assert atb(*words, "--sequence-length", "32,128", "--threads", "1,2").returncode == 0
    done = atb("predictor", "train", "--db", "p.db", "--all-settings", "--out", "p.json")
    assert done.returncode == 0, done.stderr
    assert "4 sets of conditions in 2 modes" in done.stdout
    asked = ("predict", "tinybert-4", "--predictor", "p.json", "--json")
    settings = (
        ("--sequence-length", "64"),
        ("--sequence-length", "128"),
        ("--sequence-length", "128", "--threads", "2"),
    )
    documents = [json.loads(atb(*asked, *further).stdout) for further in settings]
    assert [d["conditions"]["sequence_length"] for d in documents] == [64, 128, 128]
    short, one, two = (d["predictions"][0]["latency_seconds"] for d in documents)
    assert short < one
    assert two < one
    refused = atb(*asked, "--sequence-length", "512")
    assert refused.returncode == 2
    assert "not 512" in refused.stderr


def test_measuring_ends_when_predictions_are_good_enough(atb, tmp_path: Path) -> None:
    words = ("profile", "fake", "--until-error", "2%", "--db", "p.db")
    done = atb(*words, "--json")
    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout)["measurements"]
    assert 10 <= len(measured) < 40
    assert "an error of 2% is reached" in done.stderr
    assert (tmp_path / "atb-runs" / "until-error.png").read_bytes().startswith(PNG)
    again = json.loads(atb(*words, "--json").stdout)["measurements"]
    assert [m["architecture"] for m in again] == [m["architecture"] for m in measured]
    assert atb("predictor", "train", "--db", "p.db", "--out", "p.json").returncode == 0


@pytest.mark.usefixtures("measured")
def test_other_conditions_are_refused_unless_forced(atb) -> None:
    words = ("predict", "tinybert-4", "--predictor", "p.json", "--threads", "2")
    refused = atb(*words)
    assert refused.returncode == 2
    assert "--force" in refused.stderr
    forced = atb(*words, "--force")
    assert forced.returncode == 0
    assert "threads 1, not 2" in forced.stderr


def test_a_prediction_is_explained_and_drawn(atb, measured: Path) -> None:
    words = ("predict", "tinybert-4", "--predictor", "p.json", "--explain")
    told = atb(*words, "--picture", "work.png")
    assert told.returncode == 0, told.stderr
    assert "saves us" in told.stdout
    assert (measured / "work.png").read_bytes().startswith(PNG)
    entry = json.loads(atb(*words, "--json").stdout)["predictions"][0]
    assert sum(entry["parts_seconds"].values()) == pytest.approx(entry["latency_seconds"])
    assert {s["dimension"] for s in entry["shrinking"]} == {
        "layers", "hidden", "heads", "qkv", "feed_forward",
    }  # fmt: skip
