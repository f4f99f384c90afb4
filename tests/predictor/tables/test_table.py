from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from atb.errors import AtbError, BadFile, InputError
from atb.predictor.file import load, load_table_predictor, save
from atb.predictor.tables.reading import Table, read_table
from atb.predictor.tables.table import Feature, fit_table, table_basis


def frame(count: int, seed: int = 0, noise: float = 0.02) -> pd.DataFrame:
    """A device whose time is layers times width times (width + feed-forward), and a start."""
    rng = np.random.default_rng(seed)
    layers, width, feed = (
        rng.integers(1, 9, count),
        rng.integers(8, 65, count),
        rng.integers(8, 257, count),
    )
    milliseconds = 0.5 + 2e-4 * layers * width * (width + 2 * feed)
    return pd.DataFrame(
        {
            "name": [f"net-{i}" for i in range(count)],
            "layers": layers,
            "width": width,
            "feed": feed,
            "batch": 1,
            "when": np.arange(count) * 2.5,
            "ms": milliseconds * np.exp(rng.normal(0, noise, count)),
        }
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    frame(120).to_csv(tmp_path / "table.csv", index=False)
    return tmp_path / "table.csv"


def fitted(path: Path, **words):
    return fit_table(read_table(path, target="ms", **words), np.random.default_rng(0))


def test_a_product_of_columns_is_found(path: Path, tmp_path: Path) -> None:
    predictor = fitted(path, features=["layers", "width", "feed"])
    assert predictor.degree == 3
    frame(300, seed=1, noise=0).to_csv(tmp_path / "test.csv", index=False)
    test = read_table(tmp_path / "test.csv", target="ms", features=["layers", "width", "feed"])
    found = predictor.predict(test.observed.rows)
    assert np.mean(np.abs(found.values / test.observed.values - 1)) < 0.015
    assert predictor.summary.cross_validated_mape < 0.03


def test_a_sum_of_columns_needs_no_products(tmp_path: Path) -> None:
    table = frame(100)
    table["ms"] = 1 + 0.01 * table["feed"] + 0.1 * table["layers"]
    table.to_csv(tmp_path / "sum.csv", index=False)
    predictor = fitted(tmp_path / "sum.csv", features=["layers", "width", "feed"])
    assert predictor.degree == 1


def test_other_numbers_are_the_features_and_constant_ones_are_left_out(path: Path) -> None:
    table = read_table(path, target="ms", order="when")
    assert table.features == ("layers", "width", "feed")
    reasons = {one.name: one.reason for one in table.left_out}
    assert reasons == {"name": "holds text such as 'net-0'", "batch": "never varies"}
    assert table.observed.order is not None
    assert table.observed.order[:2].tolist() == [0, 2.5]


@pytest.mark.slow
def test_rows_in_order_tell_a_drifting_device_from_its_work(tmp_path: Path) -> None:
    table = frame(300)
    table.loc[100:199, "ms"] *= 1.25
    table.to_csv(tmp_path / "drifting.csv", index=False)
    features = ["layers", "width", "feed"]
    blind = fitted(tmp_path / "drifting.csv", features=features)
    seeing = fitted(tmp_path / "drifting.csv", features=features, order="rows")
    assert blind.model.drift is None
    assert seeing.model.drift is not None
    assert seeing.summary.cross_validated_timed_mape < 0.5 * blind.summary.cross_validated_mape
    clean = frame(200, seed=5, noise=0)
    rows = clean[features].to_numpy(dtype=float)
    errors = [
        np.mean(np.abs(p.predict(rows).values / clean["ms"].to_numpy() - 1))
        for p in (blind, seeing)
    ]
    assert errors[1] < 0.02 < errors[0]


def test_negative_numbers_are_borne(tmp_path: Path) -> None:
    table = frame(100)
    table["temperature"] = np.linspace(-20, 40, 100)
    table["ms"] *= 1 + 0.005 * (table["temperature"] + 20)
    table.to_csv(tmp_path / "cold.csv", index=False)
    predictor = fitted(tmp_path / "cold.csv", features=["layers", "width", "feed", "temperature"])
    assert predictor.features[3] == Feature("temperature", -20.0)
    assert predictor.summary.cross_validated_mape < 0.05


def test_a_value_that_falls_with_a_size_is_followed(tmp_path: Path) -> None:
    table = frame(200)
    table["threads"] = np.resize([1, 2, 4, 8], 200)
    table["ms"] /= table["threads"]
    table.to_csv(tmp_path / "threads.csv", index=False)
    predictor = fitted(tmp_path / "threads.csv", features=["layers", "width", "feed", "threads"])
    assert predictor.model.residual is not None
    assert predictor.summary.cross_validated_mape < 0.06


def test_parquet_is_read_where_its_package_is_there(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    frame(50).to_parquet(tmp_path / "table.parquet")
    assert len(read_table(tmp_path / "table.parquet", target="ms")) == 50


def test_a_stored_predictor_says_the_same_bits(path: Path, tmp_path: Path) -> None:
    table = frame(200)
    table.loc[60:120, "ms"] *= 1.3
    table.to_csv(tmp_path / "drifting.csv", index=False)
    predictor = fitted(
        tmp_path / "drifting.csv", features=["layers", "width", "feed"], order="when"
    )
    save(predictor, tmp_path / "predictor.json")
    again = load_table_predictor(tmp_path / "predictor.json")
    rows = frame(50, seed=3)[["layers", "width", "feed"]].to_numpy(dtype=float)
    for order in (None, np.linspace(0, 400, 50)):
        before, after = predictor.predict(rows, order), again.predict(rows, order)
        for name in ("values", "lower", "upper", "supported"):
            assert getattr(before, name).tolist() == getattr(after, name).tolist()
    assert again.summary == predictor.summary
    with pytest.raises(BadFile, match="not a latency-predictor"):
        load(tmp_path / "predictor.json")
    document = json.loads((tmp_path / "predictor.json").read_text())
    document["degree"] = 2
    (tmp_path / "predictor.json").write_text(json.dumps(document))
    with pytest.raises(BadFile, match="changed after it was written"):
        load_table_predictor(tmp_path / "predictor.json")


@pytest.mark.parametrize(
    ("change", "words", "message"),
    [
        ({}, {"target": "seconds"}, "no column 'seconds'"),
        ({}, {"features": ["layers", "depth"]}, "no column 'depth'"),
        ({}, {"features": ["layers", "name"]}, "holds no numbers"),
        ({}, {"features": ["layers", "layers"]}, "asked for twice"),
        ({}, {"features": ["layers", "ms"]}, "asked for twice"),
        ({}, {"features": ["batch"]}, "No column"),
        ({}, {"order": "date"}, "no column 'date'"),
        ({"ms": np.nan}, {}, "Row 4 .* no usable ms"),
        ({"ms": np.inf}, {}, "Row 4 .* no usable ms"),
        ({"ms": -1.0}, {}, "Row 4 .* above zero"),
        ({"ms": 0.0}, {}, "Row 4 .* above zero"),
        ({"width": np.nan}, {}, "Row 4 .* no usable width"),
    ],
)
def test_bad_columns_are_told_in_a_sentence(tmp_path: Path, change, words, message: str) -> None:
    table = frame(40).astype({"width": float})
    for name, value in change.items():
        table.loc[3, name] = value
    table.to_csv(tmp_path / "bad.csv", index=False)
    with pytest.raises(InputError, match=message):
        read_table(tmp_path / "bad.csv", **{"target": "ms", **words})


@pytest.mark.parametrize(
    ("name", "content"),
    [("none.csv", None), ("empty.csv", ""), ("torn.csv", 'a,b\n1,"2'), ("torn.parquet", "PAR1")],
)
def test_what_is_no_table_is_told(tmp_path: Path, name: str, content: str | None) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(AtbError, match=name):
        read_table(tmp_path / name, target="ms")


def test_too_few_rows_and_nothing_to_predict_are_told(path: Path, tmp_path: Path) -> None:
    table: Table = read_table(path, target="ms")
    few = replace(table, observed=table.observed.take(np.arange(9)))
    with pytest.raises(InputError, match="9 different rows"):
        fit_table(few, np.random.default_rng(0))
    same = replace(table, observed=replace(table.observed, values=np.full(len(table), 2.0)))
    with pytest.raises(InputError, match="the same ms"):
        fit_table(same, np.random.default_rng(0))


def test_a_basis_counts_its_products() -> None:
    basis = table_basis([Feature("a"), Feature("b")], 2)
    assert [term.name for term in basis.terms] == ["fixed", "a", "b", "a·a", "a·b", "b·b"]
    amounts = basis.amounts(np.array([[2.0, 3.0], [1.0, 0.0]]))
    assert amounts.tolist() == [[1, 2, 3, 4, 6, 9], [1, 1, 0, 1, 0, 0]]
