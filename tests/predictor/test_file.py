from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from atb.errors import BadFile
from atb.predictor.checksum import checksum_of
from atb.predictor.file import load, save
from atb.predictor.fitting.features import PADDING
from atb.predictor.latency_fit import fit


@pytest.fixture(scope="module")
def fitted(world):
    rows = world.rows(120, 0)
    noisy = world.measure(rows, world.rough_truth(rows), noise=0.005)
    return fit(noisy, np.random.default_rng(0))


@pytest.fixture
def path(fitted, tmp_path: Path) -> Path:
    save(fitted, tmp_path / "predictor.json")
    return tmp_path / "predictor.json"


def rewrite(path: Path, change, *, new_hash: bool) -> None:
    document = json.loads(path.read_text("utf-8"))
    change(document)
    if new_hash:
        outer = ("format", "kind", "sha256")
        document["sha256"] = checksum_of({k: v for k, v in document.items() if k not in outer})
    path.write_text(json.dumps(document), "utf-8")


def test_a_loaded_predictor_predicts_the_same_bits(world, fitted, path: Path) -> None:
    assert fitted.model.residual is not None
    rows = world.rows(1000, 7)
    before, after = fitted.predict(rows), load(path).predict(rows)
    for name in ("latency_seconds", "lower_seconds", "upper_seconds", "supported"):
        assert getattr(before, name).tolist() == getattr(after, name).tolist()


def test_everything_else_comes_back_too(fitted, path: Path) -> None:
    loaded = load(path)
    assert loaded.conditions == fitted.conditions
    assert loaded.summary == fitted.summary
    assert loaded.coverage == fitted.coverage


def test_a_predictor_without_residual_is_stored(world, tmp_path: Path) -> None:
    rows = world.rows(20, 0)
    plain = fit(world.measure(rows, world.plain_truth(rows)), np.random.default_rng(0))
    save(plain, tmp_path / "plain.json")
    assert load(tmp_path / "plain.json").model.residual is None


def test_a_file_of_before_there_was_padding_charges_nothing_for_it(fitted, path: Path) -> None:
    def remove(document) -> None:
        for name in PADDING:
            del document["seconds_for_each"][name]

    rewrite(path, remove, new_hash=True)
    for term, before, after in zip(
        fitted.model.basis.terms,
        fitted.model.coefficients,
        load(path).model.coefficients,
        strict=True,
    ):
        assert after == (0 if term.name in PADDING else before)


def test_loading_and_predicting_need_numpy_only(path: Path) -> None:
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from atb.models.published import PUBLISHED\n"
        "from atb.predictor.file import load\n"
        "load(Path(sys.argv[1])).predict_architectures([PUBLISHED['kd-s1']])\n"
        "heavy = {'sklearn', 'scipy', 'pandas', 'torch', 'onnxruntime'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", program, str(path)], check=True)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_a_truncated_file_is_refused(path: Path, share: float) -> None:
    text = path.read_text("utf-8")
    path.write_text(text[: int(share * len(text))], "utf-8")
    with pytest.raises(BadFile, match="truncated"):
        load(path)


def test_a_missing_and_a_foreign_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=r"no file .*atb predictor train"):
        load(tmp_path / "none.json")
    (tmp_path / "foreign.json").write_text('{"format": 1, "kind": "recipe"}')
    with pytest.raises(BadFile, match="not a latency-predictor file"):
        load(tmp_path / "foreign.json")


def test_a_newer_format_is_refused(path: Path) -> None:
    rewrite(path, lambda d: d.update(format=2), new_hash=False)
    with pytest.raises(BadFile, match="format 2"):
        load(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d["seconds_for_each"].update(fixed=1.0),
        lambda d: d["conditions"].update(threads=2),
        lambda d: d["interval"].update(factor=1.0),
        lambda d: d.pop("sha256"),
    ],
)
def test_a_tampered_file_is_refused(path: Path, change) -> None:
    rewrite(path, change, new_hash=False)
    with pytest.raises(BadFile, match="changed after it was written"):
        load(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d["seconds_for_each"].update(fixed=-1.0),
        lambda d: d["seconds_for_each"].update(fixed="free"),
        lambda d: d["seconds_for_each"].update(unheard=1.0),
        lambda d: d["seconds_for_each"].pop("fixed"),
        lambda d: d["conditions"].update(threads=0),
        lambda d: d["interval"].update(factor=0.1),
        lambda d: d["support"].update(layers=[8, 1]),
        lambda d: d["support"].update(layers=[1]),
        lambda d: d["residual"][0].update(quantity="unheard"),
        lambda d: d["residual"][0].update(factors=[1.0]),
        lambda d: d.update(training=None),
        lambda d: d.update(residual={"a": 1}),
    ],
)
def test_nonsense_with_a_right_hash_is_refused(path: Path, change) -> None:
    rewrite(path, change, new_hash=True)
    with pytest.raises(BadFile, match="does not hold a usable predictor"):
        load(path)
