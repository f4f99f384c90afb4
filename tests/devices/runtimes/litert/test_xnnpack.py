from __future__ import annotations

import functools
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from atb.devices.contract import Artefact, LaunchFailure
from atb.devices.local import LocalDevice
from atb.devices.runtimes.artefacts import describe_artefact
from atb.devices.runtimes.litert.graph import TfliteGraph
from atb.devices.runtimes.litert.runner import LiteRtModel, providers_of
from atb.devices.runtimes.litert.xnnpack import LiteRtXnnpack
from atb.devices.runtimes.reference import check_device, check_output
from atb.devices.settings import RunSettings
from atb.devices.worker.core.inputs import make_feed
from atb.devices.worker.core.interface import ModelFile, WorkerError
from atb.models.architecture import Architecture

SMALL = Architecture(2, 60, 6, 42, 100)
SHORT = RunSettings(sequence_length=16)


def artefact_of(folder: Path, settings: RunSettings = SHORT) -> Artefact:
    return LiteRtXnnpack().build(SMALL, settings, folder)


def load(artefact: Artefact, settings: RunSettings = SHORT) -> LiteRtModel:
    model = LiteRtModel(ModelFile(str(artefact.path), settings.to_json()))
    model.feed(make_feed(model.inputs, settings.to_json(), 1024))
    return model


def load_failure(artefact: Artefact, settings: RunSettings = SHORT) -> LaunchFailure:
    """Why a fresh worker does not load it."""
    with (
        LocalDevice().launch(LiteRtXnnpack(), settings) as launch,
        pytest.raises(LaunchFailure) as caught,
    ):
        launch.load("a", artefact)
    return caught.value


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("shape", [{}, {"batch": 3, "sequence_length": 9}, {"threads": 2}])
def test_it_computes_what_the_reference_computes(precision: str, shape: dict[str, int]) -> None:
    found = check_device(LocalDevice(), LiteRtXnnpack(), RunSettings(precision=precision, **shape))
    assert found.passed, found
    kind = {"fp32": "float32", "int8": "int8"}[precision]
    assert found.providers == (
        "XNNPACK 96 of 99 operators",
        f"{kind} weights",
        "LiteRT CAST and GATHER",
    )


def test_quantised_weights_are_a_quarter_of_the_size(tmp_path: Path) -> None:
    large = Architecture(2, 256, 4, 256, 1024)
    sizes = [
        LiteRtXnnpack().build(large, RunSettings(precision=precision), tmp_path).size_bytes
        for precision in ("fp32", "int8")
    ]
    embeddings = 4 * 256 * (1024 + 128 + 2)
    assert sizes[1] - embeddings < 0.27 * (sizes[0] - embeddings)


def test_files_of_other_shapes_lie_beside_each_other_and_do_not_serve_each_other(
    tmp_path: Path,
) -> None:
    longer = RunSettings(sequence_length=17)
    artefact = artefact_of(tmp_path)
    assert artefact_of(tmp_path, longer).path != artefact.path
    failure = load_failure(artefact, longer)
    assert failure.cause == "load-error"
    assert "fixed shape [1, 16], not [1, 17]" in failure.detail


def test_threads_are_as_many_as_asked_for(tmp_path: Path) -> None:
    artefact = artefact_of(tmp_path)
    counts = []
    for threads in (1, 3):
        before = len(list(Path("/proc/self/task").iterdir()))
        model = load(artefact, RunSettings(sequence_length=16, threads=threads))
        model()
        counts.append(1 + len(list(Path("/proc/self/task").iterdir())) - before)
        del model
    assert counts == [1, 3]


def test_streams_at_the_same_time_compute_what_one_does(tmp_path: Path) -> None:
    settings = RunSettings(sequence_length=16, scenario="throughput", streams=3)
    model = load(artefact_of(tmp_path), settings)
    with ThreadPoolExecutor(5) as pool:  # more than streams: they take turns
        outputs = list(pool.map(lambda _: model(), range(50)))
    assert check_output(SMALL, settings, outputs[0]).passed
    for output in outputs[1:]:
        np.testing.assert_array_equal(output, outputs[0])


def test_a_model_that_xnnpack_does_not_take_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ai_edge_litert import interpreter

    alone = interpreter.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    plain = functools.partial(interpreter.Interpreter, experimental_op_resolver_type=alone)
    monkeypatch.setattr(interpreter, "Interpreter", plain)
    with pytest.raises(WorkerError, match="did not take BATCH_MATMUL, FULLY_CONNECTED") as caught:
        load(artefact_of(tmp_path))
    assert caught.value.cause == "load-error"


def operator(name: str, inputs: list[int], outputs: list[int]) -> dict[str, Any]:
    kinds = [np.float32] * len(inputs)
    return {"op_name": name, "inputs": inputs, "outputs": outputs, "operand_types": kinds}


def test_a_product_between_two_groups_of_xnnpack_is_seen() -> None:
    tanh = operator("TANH", [0], [1])
    product = operator("FULLY_CONNECTED", [1, 9], [2])
    others = [operator("TANH", [2], [3]), operator("GELU", [3], [4])]
    first, second = operator("DELEGATE", [0], [1]), operator("DELEGATE", [2], [4])
    whole = operator("DELEGATE", [0, 9], [4])
    with pytest.raises(WorkerError, match="did not take FULLY_CONNECTED;"):
        providers_of([tanh, product, *others, first, second], ModelFile("", SHORT.to_json()))
    told = providers_of([tanh, product, *others, whole], ModelFile("", SHORT.to_json()))
    assert told == ("XNNPACK 4 of 4 operators", "float32 weights")
    told = providers_of([*others, operator("DELEGATE", [3], [4])], ModelFile("", SHORT.to_json()))
    assert told == ("XNNPACK 1 of 2 operators", "LiteRT TANH")


def test_a_model_of_another_precision_than_asked_for_is_refused(tmp_path: Path) -> None:
    asked = RunSettings(sequence_length=16, precision="int8")
    failure = load_failure(artefact_of(tmp_path), asked)
    assert failure.cause == "load-error"
    assert "float32 weights, and int8 was asked for" in failure.detail


@pytest.mark.parametrize("damage", ["empty", "cut", "tables"])
def test_a_damaged_file_is_a_load_error_not_a_crash(tmp_path: Path, damage: str) -> None:
    path = artefact_of(tmp_path).path
    content = path.read_bytes()
    tables = len(content) - 2000
    broken = {
        "empty": b"",
        "cut": content[: len(content) // 2],
        "tables": content[:tables] + b"\xff" * 1000 + content[tables + 1000 :],
    }
    path.write_bytes(broken[damage])
    assert load_failure(describe_artefact(path)).cause == "load-error"


def foreign_model(path: Path, *, free: bool) -> Artefact:
    """Of somebody else: int32 tokens, names of theirs, and perhaps free shapes."""
    from ai_edge_litert.schema_py_generated import ModelT
    from flatbuffers import Builder

    rng = np.random.default_rng(0)
    graph = TfliteGraph()
    tokens = graph.input("tokens", (1, 16), np.int32)
    table = graph.constant("table", rng.random((100, 8), np.float32))
    matrix = graph.constant("matrix", rng.random((4, 8), np.float32))
    bias = graph.constant("bias", np.zeros(4, np.float32))
    words = graph.add("GATHER", table, tokens, shape=(1, 16, 8))
    product = graph.add(
        "FULLY_CONNECTED", words, matrix, bias, shape=(1, 16, 4), version=5, keepNumDims=True
    )
    model = ModelT.InitFromPackedBuf(graph.finish({"scores": product}, {}))
    if free:
        model.subgraphs[0].tensors[tokens.place].shapeSignature = [-1, -1]
    model.signatureDefs = None
    builder = Builder()
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    path.write_bytes(builder.Output())
    return describe_artefact(path)


@pytest.mark.parametrize("free", [False, True])
def test_a_foreign_model_is_fed_by_its_own_types_and_shapes(tmp_path: Path, free: bool) -> None:
    settings = RunSettings(sequence_length=24, batch=2) if free else SHORT
    artefact = foreign_model(tmp_path / "theirs.tflite", free=free)
    with LocalDevice().launch(LiteRtXnnpack(), settings) as launch:
        loaded = launch.load("theirs", artefact)
        output = launch.output("theirs")
    assert loaded.providers == (
        "XNNPACK 1 of 2 operators",
        "float32 weights",
        "LiteRT GATHER",
    )
    assert output.shape == (settings.batch, settings.sequence_length, 4)


def test_sequences_longer_than_bert_knows_are_served(tmp_path: Path) -> None:
    found = check_device(
        LocalDevice(),
        LiteRtXnnpack(),
        RunSettings(sequence_length=600),
        Architecture(1, 8, 2, 8, 8),
    )
    assert found.passed, found


def test_an_architecture_too_large_for_a_file_is_a_build_error(tmp_path: Path) -> None:
    huge = Architecture(24, 65_536, 64, 65_536, 65_536)
    with pytest.raises(LaunchFailure) as caught:
        LiteRtXnnpack().build(huge, RunSettings(), tmp_path)
    assert caught.value.cause == "build-error"
    assert str(huge) in caught.value.detail
    assert not list(tmp_path.iterdir())
