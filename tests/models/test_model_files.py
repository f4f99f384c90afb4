"""A model is its graph and all files in which it keeps weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from foreign import as_hugging_face_keeps_it, keep_outside, set_location, write_embedding
from onnx import TensorProto, helper, numpy_helper

from atb.errors import BadFile
from atb.models.model_files import data_files, precision_of, relocated


def change(path: Path, **entries: object) -> Path:
    """Let the first weight of a graph say other things of where it lies."""
    model = onnx.load(path, load_external_data=False)
    tensor = model.graph.initializer[0]
    told = {entry.key: entry.value for entry in tensor.external_data} | entries
    set_location(tensor, told.pop("location"), **told)  # type: ignore[arg-type]
    path.write_bytes(model.SerializeToString())
    return path


def test_a_model_in_one_file_has_no_others(tmp_path: Path) -> None:
    assert data_files(write_embedding(tmp_path / "m.onnx")) == ()


def test_weights_may_lie_in_several_files_and_in_folders_below(tmp_path: Path) -> None:
    path = write_embedding(
        tmp_path / "m.onnx",
        {"ids": (TensorProto.INT64, ["b", "s"]), "segments": (TensorProto.INT64, ["b", "s"])},
        tables={"segments": 2},
    )
    keep_outside(path, lambda name: f"parts/{name}")
    found = data_files(path)
    assert [file.location for file in found] == ["parts/table_ids", "parts/table_segments"]
    assert all(file.path.is_file() for file in found)


def test_weights_of_a_branch_and_of_a_constant_are_found(tmp_path: Path) -> None:
    weight = numpy_helper.from_array(np.ones(3, np.float32), "w")
    set_location(weight, "branch.bin", offset=0, length=12)
    value = numpy_helper.from_array(np.ones(3, np.float32), "c")
    set_location(value, "constant.bin")
    out = helper.make_tensor_value_info("o", TensorProto.FLOAT, [3])
    branch = helper.make_graph(
        [helper.make_node("Identity", ["w"], ["o"])], "then", [], [out], [weight]
    )
    other = helper.make_graph(
        [helper.make_node("Constant", [], ["o"], value=value)], "no", [], [out]
    )
    flag = helper.make_tensor_value_info("flag", TensorProto.BOOL, [])
    node = helper.make_node("If", ["flag"], ["o"], then_branch=branch, else_branch=other)
    path = tmp_path / "m.onnx"
    path.write_bytes(
        helper.make_model(helper.make_graph([node], "g", [flag], [out])).SerializeToString()
    )
    for name in ("branch.bin", "constant.bin"):
        (tmp_path / name).write_bytes(bytes(12))
    assert [file.location for file in data_files(path)] == ["branch.bin", "constant.bin"]


def test_what_belongs_to_a_link_lies_beside_it(tmp_path: Path) -> None:
    plain = keep_outside(
        write_embedding(tmp_path / "plain/model.onnx"), lambda _: "model.onnx_data"
    )
    path = as_hugging_face_keeps_it(tmp_path / "hub", plain, "model.onnx_data")
    (found,) = data_files(path)
    assert found.path == path.with_name("model.onnx_data")


def test_what_is_not_beside_a_link_may_lie_beside_what_it_leads_to(tmp_path: Path) -> None:
    path = keep_outside(write_embedding(tmp_path / "far/away/model.onnx"))
    (tmp_path / "half.onnx").symlink_to(path)
    (tmp_path / "mine.onnx").symlink_to("half.onnx")
    (found,) = data_files(tmp_path / "mine.onnx")
    assert found.path.samefile(path.with_name("weights.bin"))


@pytest.mark.parametrize(
    "location",
    ["../weights.bin", "/etc/hostname", "", ".", "a/../../weights.bin", "..\\weights.bin", "w\0"],
)
def test_weights_outside_of_the_folder_of_their_graph_are_refused(
    tmp_path: Path, location: str
) -> None:
    path = keep_outside(write_embedding(tmp_path / "m/model.onnx"))
    (tmp_path / "weights.bin").write_bytes(bytes(100_000))
    with pytest.raises(BadFile, match="not below its own folder"):
        data_files(change(path, location=location))


def test_a_missing_file_of_weights_is_named(tmp_path: Path) -> None:
    path = keep_outside(write_embedding(tmp_path / "model.onnx"))
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(BadFile, match=r"model\.onnx keeps weights in weights\.bin.*copy it"):
        data_files(path)
    (tmp_path / "weights.bin").mkdir()  # nor is a folder one
    with pytest.raises(BadFile, match="copy it"):
        data_files(path)


def test_a_file_of_weights_that_was_cut_off_is_named(tmp_path: Path) -> None:
    path = keep_outside(write_embedding(tmp_path / "model.onnx"))
    content = (tmp_path / "weights.bin").read_bytes()
    (tmp_path / "weights.bin").write_bytes(content[:-1])
    with pytest.raises(BadFile, match=f"{len(content) - 1} bytes.* wants {len(content)} bytes"):
        data_files(path)


def test_a_file_that_git_lfs_did_not_fetch_is_named(tmp_path: Path) -> None:
    pointer = "version https://git-lfs.example/spec/v1\noid sha256:0\nsize 436000000\n"
    (tmp_path / "m.onnx").write_text(pointer)
    with pytest.raises(BadFile, match="git lfs pull"):
        data_files(tmp_path / "m.onnx")


@pytest.mark.parametrize("entries", [{"offset": -1}, {"length": "many"}, {"offset": 1.5}])
def test_sizes_that_are_none_are_refused(tmp_path: Path, entries: dict[str, object]) -> None:
    path = keep_outside(write_embedding(tmp_path / "model.onnx"))
    with pytest.raises(BadFile, match="export the model again"):
        data_files(change(path, **entries))


def test_the_weights_of_openvinos_own_format_belong_to_it(tmp_path: Path) -> None:
    (tmp_path / "m.xml").write_text("<net/>")
    with pytest.raises(BadFile, match=r"m\.bin"):
        data_files(tmp_path / "m.xml")
    (tmp_path / "m.bin").write_bytes(b"w")
    assert [file.location for file in data_files(tmp_path / "m.xml")] == ["m.bin"]


def test_a_graph_can_be_told_new_places_of_its_weights(tmp_path: Path) -> None:
    path = keep_outside(write_embedding(tmp_path / "model.onnx"))
    content = relocated(path, {"weights.bin": "elsewhere"})
    model = onnx.load_model_from_string(content)
    (tensor,) = model.graph.initializer
    told = {entry.key: entry.value for entry in tensor.external_data}
    assert told["location"] == "elsewhere"
    assert relocated(path, {"weights.bin": "weights.bin"}) == path.read_bytes()


@pytest.mark.parametrize(
    ("operator", "precision"),
    [
        ("MatMulInteger", "int8"),
        ("DynamicQuantizeLinear", "int8"),
        ("DynamicQuantizeMatMul", "int8"),
        ("QLinearMatMul", "int8"),
        ("QuantizeLinear", "int8"),
        ("QGemm", "int8"),
        ("DequantizeLinear", "fp32"),
        ("MatMul", "fp32"),
    ],
)
def test_the_precision_of_a_model_is_that_of_its_operators(
    tmp_path: Path, operator: str, precision: str
) -> None:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    inner = helper.make_graph([helper.make_node(operator, ["x"], ["y"])], "g", [], [value])
    node = helper.make_node("If", ["x"], ["z"], then_branch=inner, else_branch=inner)
    path = tmp_path / "m.onnx"
    path.write_bytes(
        helper.make_model(helper.make_graph([node], "g", [value], [value])).SerializeToString()
    )
    assert precision_of(path) == precision


@pytest.mark.parametrize("content", [b"", b"x", b"\xff" * 50])
def test_what_is_no_onnx_counts_as_fp32(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.onnx").write_bytes(content)
    assert precision_of(tmp_path / "m.onnx") == "fp32"
    assert data_files(tmp_path / "m.onnx") == ()


def test_names_that_are_no_text_are_read_as_far_as_they_are(tmp_path: Path) -> None:
    path = write_embedding(tmp_path / "m.onnx")
    path.write_bytes(path.read_bytes().replace(b"Gather", b"Gath\xe9r"))
    assert precision_of(path) == "fp32"
    keep_outside(write_embedding(path))
    path.write_bytes(path.read_bytes().replace(b"weights.bin", b"weight\xe9.bin"))
    with pytest.raises(BadFile, match="copy it there"):
        data_files(path)
