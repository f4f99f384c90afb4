"""A user's own model is known by the content of all files that it is."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from foreign import TOKENS, as_hugging_face_keeps_it, keep_outside, write_embedding

from atb.devices.contract import Artefact, LaunchFailure
from atb.devices.local import LocalDevice
from atb.devices.runtimes.onnxruntime.cpu import OnnxRuntimeCpu
from atb.devices.settings import RunSettings
from atb.errors import BadFile
from atb.profiler.campaign.inspection import inspect_weights
from atb.profiler.campaign.plan import Plan
from atb.profiler.campaign.scheduler import ArtefactStore
from atb.profiler.record import ModelFile

SETTINGS = RunSettings(sequence_length=8)


def in_two_files(folder: Path) -> Path:
    return keep_outside(write_embedding(folder / "model.onnx"), lambda _: "model.onnx_data")


def checksum(artefact: Artefact) -> float:
    with LocalDevice().launch(OnnxRuntimeCpu(), SETTINGS) as launch:
        return launch.load("m", artefact).output_checksum


def test_models_of_other_weights_are_other_subjects(tmp_path: Path) -> None:
    one, other = in_two_files(tmp_path / "one"), in_two_files(tmp_path / "other")
    assert ModelFile.of(one) == ModelFile.of(other)
    weights = other.with_name("model.onnx_data")
    weights.write_bytes(weights.read_bytes()[::-1])
    assert one.read_bytes() == other.read_bytes()
    subjects = ModelFile.of(one), ModelFile.of(other)
    assert len(Plan(subjects).subjects) == 2


def test_the_size_of_a_model_is_that_of_all_its_files(tmp_path: Path) -> None:
    path = in_two_files(tmp_path)
    size = path.stat().st_size + path.with_name("model.onnx_data").stat().st_size
    found = ModelFile.of(path)
    assert found.size_bytes == size
    with ArtefactStore(OnnxRuntimeCpu(), SETTINGS) as store:
        assert store.get(found).size_bytes == size


def test_a_model_in_one_file_is_known_by_the_hash_that_it_always_had(tmp_path: Path) -> None:
    path = write_embedding(tmp_path / "model.onnx")
    assert ModelFile.of(path).sha256 == hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def test_a_model_among_links_is_the_one_that_they_lead_to_and_runs(tmp_path: Path) -> None:
    plain, hub = in_two_files(tmp_path / "plain"), in_two_files(tmp_path / "moved")
    link = as_hugging_face_keeps_it(tmp_path / "hub", hub, "model.onnx_data")
    assert ModelFile.of(link) == ModelFile.of(plain)
    with ArtefactStore(OnnxRuntimeCpu(), SETTINGS) as store:
        artefact = store.get(ModelFile.of(link))
        assert checksum(artefact) == checksum(store.get(ModelFile.of(plain)))
        assert not artefact.data[0].path.is_symlink()  # which other runtimes refuse


def test_weights_on_another_disk_are_found_by_their_link(tmp_path: Path) -> None:
    path = in_two_files(tmp_path / "model")
    weights = path.with_name("model.onnx_data")
    weights.rename(tmp_path / "large")
    weights.symlink_to(tmp_path / "large")
    with ArtefactStore(OnnxRuntimeCpu(), SETTINGS) as store:
        artefact = store.get(ModelFile.of(path))
        checksum(artefact)
        store.drop(ModelFile.of(path))
        assert not artefact.path.exists()
    assert (tmp_path / "large").stat().st_size > 0


def test_weights_that_change_during_a_campaign_are_noticed(tmp_path: Path) -> None:
    path = in_two_files(tmp_path)
    subject = ModelFile.of(path)
    weights = path.with_name("model.onnx_data")
    weights.write_bytes(weights.read_bytes()[::-1])
    with (
        ArtefactStore(OnnxRuntimeCpu(), SETTINGS) as store,
        pytest.raises(LaunchFailure, match="has changed since"),
    ):
        store.get(subject)
    weights.unlink()
    with (
        ArtefactStore(OnnxRuntimeCpu(), SETTINGS) as store,
        pytest.raises(LaunchFailure, match=r"build-error.*copy it"),
    ):
        store.get(subject)


def test_a_model_without_its_weights_is_refused_before_anything_runs(tmp_path: Path) -> None:
    path = in_two_files(tmp_path)
    path.with_name("model.onnx_data").unlink()
    with pytest.raises(BadFile, match=r"model\.onnx_data"):
        ModelFile.of(path)


def test_weights_in_other_files_are_inspected_too(tmp_path: Path) -> None:
    whole = write_embedding(tmp_path / "whole.onnx", {"input_ids": TOKENS}, vocabulary=50)
    facts = inspect_weights(whole)
    assert facts is not None
    assert facts.count == 200
    plain = keep_outside(write_embedding(tmp_path / "m/model.onnx", vocabulary=50))
    assert inspect_weights(plain) == facts
    assert inspect_weights(as_hugging_face_keeps_it(tmp_path, plain, "weights.bin")) == facts
