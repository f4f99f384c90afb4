from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from atb.devices import known_folder as known_files
from atb.devices.known_folder import own_file
from atb.devices.settings import RunSettings
from atb.errors import BadFile, InputError
from atb.models.published import PUBLISHED
from atb.predictor.checksum import checksum_of
from atb.predictor.known_devices.bundling import bundle_device
from atb.predictor.known_devices.known_device import (
    KnownDevice,
    find_known_device,
    list_known_devices,
    read_known_device,
    write_known_device,
)

DAY = date(2026, 11, 28)


@pytest.fixture(scope="module")
def known(world) -> KnownDevice:
    """Two runtimes, of which one with several settings."""
    rows = world.rows(40, 0)
    places = [
        ("onnxruntime", RunSettings()),
        ("onnxruntime", RunSettings(threads=2)),
        ("onnxruntime", RunSettings(precision="int8")),
        ("torch", RunSettings()),
    ]
    sets = []
    for seed, (runtime, settings) in enumerate(places):
        noisy = world.measure(rows, world.rough_truth(rows), noise=0.01, seed=seed)
        conditions = replace(world.conditions, runtime=runtime, settings=settings)
        sets.append((replace(noisy, conditions=conditions), DAY))
    return bundle_device("board", sets)


@pytest.fixture
def path(known: KnownDevice) -> Path:
    found = own_file(known.name)
    write_known_device(known, found)
    return found


def test_the_error_is_that_of_rows_held_out(known) -> None:
    for one in known.predictors:
        assert 0 < one.summary.cross_validated_mape < 0.05
        assert 0.5 < one.within_5 < 1


def test_a_known_device_comes_back_to_the_last_bit(world, known, path: Path) -> None:
    loaded = read_known_device(path)
    rows = world.rows(500, 7)
    assert loaded.name == "board"
    assert loaded.to_json() == known.to_json()
    for before, after in zip(known.predictors, loaded.predictors, strict=True):
        assert before.conditions == after.conditions
        for name in ("latency_seconds", "lower_seconds", "upper_seconds", "supported"):
            first, second = (
                getattr(one.predictor.predict(rows), name).tolist() for one in (before, after)
            )
            assert first == second
    again = path.with_name("again.json")
    write_known_device(loaded, again)
    assert again.read_bytes() == path.read_bytes()


def test_the_usual_settings_are_chosen_where_nothing_is_said(known) -> None:
    for wanted, expected in (
        ({}, ("onnxruntime", RunSettings())),
        ({"threads": 2}, ("onnxruntime", RunSettings(threads=2))),
        ({"precision": "int8"}, ("onnxruntime", RunSettings(precision="int8"))),
        ({"runtime": "torch"}, ("torch", RunSettings())),
    ):
        conditions = known.choose(**wanted, batch=None).conditions
        assert (conditions.runtime, conditions.settings) == expected


def test_what_was_not_measured_is_refused_with_what_was(known) -> None:
    with pytest.raises(InputError, match=r"with threads 2, precision int8: choose among onnx"):
        known.choose(threads=2, precision="int8")
    threads = [
        replace(one, conditions=replace(one.conditions, settings=RunSettings(threads=threads)))
        for one, threads in zip(known.predictors[:2], (2, 4), strict=True)
    ]
    with pytest.raises(InputError, match=r"2 predictors that agree \(onnx.*2 threads.*4 threads"):
        KnownDevice("board", tuple(threads)).choose()


def test_what_comes_with_the_package_holds_predictors_that_err_by_little() -> None:
    shipped = sorted(Path(known_files.__file__).resolve().with_name("known").glob("*.json"))
    assert shipped
    for path in shipped:
        device = read_known_device(path)
        assert device.name == path.stem
        for one in device.predictors:
            predicted = one.predictor.predict_architectures(
                [PUBLISHED["tinybert-4"], PUBLISHED["kd-s1"]]
            )
            small, large = predicted.latency_seconds
            assert 1e-3 < small < large < 1
            assert one.summary.cross_validated_mape < 0.05


def test_known_devices_are_found_by_name(path: Path) -> None:
    assert find_known_device("board").name == "board"
    assert [device.name for device in list_known_devices()] == ["board"]
    with pytest.raises(InputError, match="no known device 'pi4': choose one of board"):
        find_known_device("pi4")
    path.rename(path.with_name("pi4.json"))
    with pytest.raises(BadFile, match=r"pi4\.json holds the known device board: call it board"):
        list_known_devices()


def test_where_there_is_none_the_words_say_how_to_make_one(devices_of_nobody: Path) -> None:
    assert list_known_devices() == []
    assert not devices_of_nobody.exists()
    with pytest.raises(InputError, match="make one with `atb devices bundle`"):
        find_known_device("board")


def _resealed(document: dict[str, Any], change: Callable[[dict[str, Any]], object]) -> None:
    """Change the first predictor and give it the hash of what it then is."""
    predictor = document["predictors"][0]["predictor"]
    change(predictor)
    outer = ("format", "kind", "sha256")
    predictor["sha256"] = checksum_of({k: v for k, v in predictor.items() if k not in outer})


#: What a stranger may have written, and a word of what is said of it.
HOSTILE: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "another kind": (lambda d: d.update(kind="recipe"), "not a known-device file"),
    "a newer format": (lambda d: d.update(format=2), "format 2"),
    "no name": (lambda d: d.pop("name"), "name"),
    "a name that is a path": (lambda d: d.update(name="../x"), "cannot be called"),
    "a name that is a number": (lambda d: d.update(name=5), "usable known device"),
    "another name": (lambda d: d.update(name="pi4"), "several devices"),
    "no predictors": (lambda d: d.update(predictors=[]), "no predictor"),
    "a number of predictors": (lambda d: d.update(predictors=3), "usable known device"),
    "words for predictors": (lambda d: d.update(predictors="abc"), "usable known device"),
    "the same twice": (lambda d: d["predictors"].append(d["predictors"][0]), "two predictors"),
    "a share above one": (lambda d: d["predictors"][0].update(within_5=1.5), "1.5"),
    "a share that is none": (lambda d: d["predictors"][0].update(within_5=float("nan")), "NaN"),
    "a share in words": (lambda d: d["predictors"][0].update(within_5="all"), "usable known"),
    "no day": (lambda d: d["predictors"][0].update(measured_on="soon"), "soon"),
    "no predictor": (lambda d: d["predictors"][0].pop("predictor"), "predictor"),
    "a foreign predictor": (
        lambda d: d["predictors"][0]["predictor"].update(kind="x"),
        "Predictor 1 of .* is not a latency-predictor",
    ),
    "a changed predictor": (
        lambda d: d["predictors"][0]["predictor"]["seconds_for_each"].update(fixed=1.0),
        "Predictor 1 of .* was changed",
    ),
    "a coefficient below zero": (
        lambda d: _resealed(d, lambda p: p["seconds_for_each"].update(fixed=-1.0)),
        "negative",
    ),
    "an infinite coefficient": (
        lambda d: _resealed(d, lambda p: p["seconds_for_each"].update(fixed=float("inf"))),
        "Infinity",
    ),
    "a coefficient too large": (
        lambda d: _resealed(d, lambda p: p["seconds_for_each"].update(fixed=10**400)),
        "usable predictor",
    ),
    "a coefficient in words": (
        lambda d: _resealed(d, lambda p: p["seconds_for_each"].update(fixed="free")),
        "usable predictor",
    ),
    "no interval": (lambda d: _resealed(d, lambda p: p.pop("interval")), "interval"),
    "no rows": (lambda d: _resealed(d, lambda p: p["training"].update(rows=0)), "0 rows"),
    "an error below zero": (
        lambda d: _resealed(d, lambda p: p["training"].update(cross_validated_mape=-1)),
        "cross-validated error",
    ),
    "half a thread": (
        lambda d: _resealed(d, lambda p: p["conditions"].update(threads=1.5)),
        "threads is 1.5",
    ),
    "a CPU in words": (
        lambda d: _resealed(d, lambda p: p["conditions"].update(affinity=["0"])),
        "usable predictor",
    ),
    "a runtime that moves the cursor": (
        lambda d: _resealed(d, lambda p: p["conditions"].update(runtime="\x1b[2J")),
        "cannot be printed",
    ),
    "a fact that is a list": (
        lambda d: _resealed(d, lambda p: p["conditions"]["platform"].update(processor=[1])),
        "must be texts",
    ),
    "another machine": (
        lambda d: _resealed(d, lambda p: p["conditions"]["platform"].update(processor="x")),
        "several devices",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_a_bad_file_is_refused_in_a_sentence(path: Path, case: str) -> None:
    change, told = HOSTILE[case]
    document = json.loads(path.read_text("utf-8"))
    change(document)
    path.write_text(json.dumps(document), "utf-8")
    with pytest.raises(BadFile, match=told) as refused:
        for one in read_known_device(path).predictors:
            _ = one.predictor  # is made of its document now
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 100_000, '{"x": 1e999}', "\udcff"])
def test_what_is_no_document_is_refused(path: Path, text: str) -> None:
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(BadFile):
        read_known_device(path)
    path.unlink()
    with pytest.raises(BadFile, match="no file"):
        read_known_device(path)
