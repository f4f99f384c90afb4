"""What is brought to a remote device: every file of a model, under names that its graph knows."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
from foreign import keep_outside, write_embedding
from onnx import TensorProto
from openssh import OpenSsh
from remote_devices import remote_device

from atb.devices.contract import LaunchFailure
from atb.devices.registry import find_device, find_runtime
from atb.devices.remote.worker_channel import RemoteWorker
from atb.devices.runtimes.artefacts import describe_model
from atb.devices.settings import RunSettings


class Board:
    """An agent that keeps what it is sent, by its content, as a remote one does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def start(self, worker: Path, environment: Any) -> int:
        return 1

    def put(self, path: Path, sha256: str | None = None) -> str:
        content = path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        assert sha256 in (None, digest)
        kept = self.folder / (digest + (path.suffix if path.suffix == ".onnx" else ""))
        kept.write_bytes(content)
        return str(kept)


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return Board(tmp_path / "board")


@pytest.fixture
def channel(board: Board) -> RemoteWorker:
    channel = RemoteWorker(lambda: board, {})  # type: ignore[arg-type, return-value]
    channel.open()
    return channel


def test_a_model_arrives_with_all_its_weights(
    board: Board, channel: RemoteWorker, tmp_path: Path
) -> None:
    inputs = {name: (TensorProto.INT64, ["b", "s"]) for name in ("ids", "segments")}
    path = write_embedding(tmp_path / "mine/model.onnx", inputs, tables={"segments": 2})
    alone = onnxruntime.InferenceSession(path.read_bytes())
    artefact = describe_model(keep_outside(path, lambda name: f"parts/{name}"))
    there = channel.deliver(artefact.path, None, artefact.data)
    assert len(list(board.folder.iterdir())) == 3
    feed = {name: [[0, 1, 1]] for name in inputs}
    found, wanted = onnxruntime.InferenceSession(there).run(None, feed), alone.run(None, feed)
    assert (found[0] == wanted[0]).all()


def test_a_model_in_one_file_arrives_as_it_is(
    board: Board, channel: RemoteWorker, tmp_path: Path
) -> None:
    path = write_embedding(tmp_path / "model.onnx")
    artefact = describe_model(path)
    there = Path(channel.deliver(artefact.path, artefact.sha256, artefact.data))
    assert there.read_bytes() == path.read_bytes()


def test_files_of_another_format_that_name_each_other_are_refused(
    channel: RemoteWorker, tmp_path: Path
) -> None:
    (tmp_path / "m.xml").write_text("<net/>")
    (tmp_path / "m.bin").write_bytes(b"weights")
    artefact = describe_model(tmp_path / "m.xml")
    with pytest.raises(LaunchFailure, match=r"load-error: m\.xml is no ONNX graph"):
        channel.deliver(artefact.path, None, artefact.data)


@pytest.mark.slow
def test_a_model_in_several_files_computes_there_what_it_does_here(
    shared_openssh: OpenSsh, tmp_path: Path
) -> None:
    path = keep_outside(write_embedding(tmp_path / "mine/model.onnx"), lambda name: f"parts/{name}")
    artefact, settings, checksums = describe_model(path), RunSettings(sequence_length=8), []
    remote = remote_device(shared_openssh)
    for device in (remote, find_device("local")):
        with device.launch(find_runtime(device, "onnxruntime"), settings) as launch:
            checksums.append(launch.load("m", artefact).output_checksum)
    remote.close()
    assert checksums[0] == checksums[1]
