"""Models of other people: whatever they take is filled in, and whatever they answer is accepted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from foreign import FREE, TOKENS, settings_of, write_embedding, write_model
from onnx import TensorProto, helper

from atb.devices.runtimes.onnxruntime.runner import RUNTIMES
from atb.devices.runtimes.openvino.runner import RUNTIMES as OPENVINO
from atb.devices.worker.core.inputs import make_feed, make_tokens
from atb.devices.worker.core.interface import WorkerError
from atb.devices.worker.core.worker import Worker

INT, FLOAT = TensorProto.INT64, TensorProto.FLOAT


def load(path: Path, runner: str = "onnxruntime", **settings: Any) -> dict[str, Any]:
    return Worker({**RUNTIMES, **OPENVINO}).do_load("m", str(path), runner, settings_of(**settings))


def feed_of(*inputs: tuple[str, str, list[Any]], **settings: Any) -> dict[str, Any]:
    return make_feed(inputs, settings_of(**settings), 100)


def test_numbers_of_examples_are_as_many_as_there_are_sequences() -> None:
    feed = feed_of(
        ("unique_ids:0", "tensor(int64)", ["n"]),
        ("segment_ids:0", "tensor(int64)", ["n", 8]),
        ("input_mask:0", "tensor(int64)", ["n", 8]),
        ("input_ids:0", "tensor(int64)", ["n", 8]),
    )
    assert list(feed) == ["unique_ids:0", "segment_ids:0", "input_mask:0", "input_ids:0"]
    assert feed["unique_ids:0"].shape == (2,)
    assert (feed["input_ids:0"] == make_tokens(100, 2, 8)).all()
    assert (feed["input_mask:0"] == 1).all()
    assert not feed["segment_ids:0"].any()


def test_a_multiple_choice_has_tokens_for_each_choice() -> None:
    shape = ["batch", "choices", "seq"]
    feed = feed_of(
        ("input_ids", "tensor(int64)", shape), ("attention_mask", "tensor(int64)", shape)
    )
    assert feed["input_ids"].shape == feed["attention_mask"].shape == (2, 2, 8)
    fixed = feed_of(("input_ids", "tensor(int64)", ["batch", 4, "seq"]))
    assert fixed["input_ids"].shape == (2, 4, 8)


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (("input.1", "input.3"), ("tokens", "ones")),
        (("x", "mask", "y"), ("tokens", "ones", "ones")),
        (("0", "1", "2"), ("tokens", "ones", "ones")),
        (("src_tokens", "segment"), ("tokens", "zeros")),
        (("query_ids", "passage_ids"), ("tokens", "tokens")),
    ],
)
def test_inputs_are_filled_by_what_their_names_say_or_by_their_order(
    names: tuple[str, ...], shown: tuple[str, ...]
) -> None:
    wanted = {"tokens": make_tokens(100, 2, 8), "ones": np.ones((2, 8)), "zeros": np.zeros((2, 8))}
    feed = feed_of(*((name, "tensor(int32)", ["b", "s"]) for name in names))
    for name, kind in zip(names, shown, strict=True):
        assert (feed[name] == wanted[kind]).all(), name
        assert feed[name].dtype == np.int32


def test_axes_of_the_same_name_are_equally_long_whatever_stands_first() -> None:
    feed = feed_of(
        ("input_ids", "tensor(int64)", ["sequence", "batch"]),
        ("lengths", "tensor(int32)", ["batch"]),
        ("extended_mask", "tensor(float)", ["batch", 1, "sequence", "sequence"]),
    )
    assert feed["input_ids"].shape == (8, 2)
    assert (feed["lengths"] == [8, 8]).all()
    assert feed["extended_mask"].shape == (2, 1, 8, 8)


@pytest.mark.parametrize(
    "axes", [["num_sequences", "max_len"], ["unk__1", "unk__2"], ["?", "?"], [None, None], []]
)
def test_free_axes_are_sequences_and_tokens_whatever_they_are_called(axes: list[Any]) -> None:
    assert feed_of(("input_ids", "tensor(int64)", axes))["input_ids"].shape == (2, 8)


@pytest.mark.parametrize("kind", ["int8", "uint16", "int32", "float16", "float", "double", "bool"])
def test_masks_are_of_any_type(kind: str) -> None:
    feed = feed_of(
        ("input_ids", "tensor(int64)", ["b", "s"]), ("attention_mask", f"tensor({kind})", [1, "s"])
    )
    assert (feed["attention_mask"] == 1).all()
    assert feed["attention_mask"].shape == (1, 8)


def test_scalars_and_what_a_decoder_said_before_are_filled_in() -> None:
    feed = feed_of(
        ("input_ids", "tensor(int64)", ["batch", "sequence"]),
        ("use_cache_branch", "tensor(bool)", [1]),
        ("past_key_values.0.key", "tensor(float)", ["batch", 3, "past_sequence_length", 4]),
        ("attention_mask", "tensor(int64)", ["batch", "past_sequence_length + 1"]),
        ("keep_prob", "tensor(float)", []),
        ("encoder_hidden_states", "tensor(float)", ["batch", "encoder_sequence_length", 6]),
    )
    assert not feed["use_cache_branch"].any()
    assert feed["past_key_values.0.key"].shape == (2, 3, 0, 4)
    assert feed["attention_mask"].shape == (2, 8)
    assert feed["keep_prob"] == 1
    assert feed["encoder_hidden_states"].shape == (2, 8, 6)
    assert np.ptp(feed["encoder_hidden_states"]) > 0


def test_masks_of_heads_let_all_through_and_no_token_is_a_global_one() -> None:
    feed = feed_of(
        ("input_ids", "tensor(int64)", ["batch", "sequence"]),
        ("global_attention_mask", "tensor(int64)", ["batch", "sequence"]),
        ("head_mask", "tensor(float)", [3, 12]),
        ("bbox", "tensor(int64)", ["batch", "sequence", 4]),
    )
    assert not feed["global_attention_mask"].any()
    assert (feed["head_mask"] == np.ones((3, 12))).all()
    assert feed["bbox"].shape == (2, 8, 4)


@pytest.mark.parametrize("tokens", ["input_ids", "x"])
def test_the_name_of_an_example_is_no_text_of_tokens(tokens: str) -> None:
    for name in ("example_ids", "number"):
        feed = feed_of((name, "tensor(int64)", ["n"]), (tokens, "tensor(int64)", ["n", "s"]))
        assert feed[name].shape == (2,)
        assert (feed[tokens] == make_tokens(100, 2, 8)).all()


@pytest.mark.parametrize("axis", [None, "batch", 2])
def test_a_place_in_each_sequence_is_one_number_for_each(axis: Any) -> None:
    feed = feed_of(
        ("input_ids", "tensor(int64)", ["batch", "sequence"]),
        ("start_positions", "tensor(int64)", [axis]),
    )
    assert feed["start_positions"].shape == (2,)


@pytest.mark.parametrize(
    ("shape", "helps"),
    [
        ([1, 384], "--batch 1 --sequence-length 384"),
        ([2, 16], "--sequence-length 16"),
        (["b", 16], "--sequence-length 16"),
        ([3, "s"], "--batch 3"),
        ([2, 4, 16], "--sequence-length 16"),
        (["sequence"], "--batch 1"),
        (["sequence", 1], "--batch 1"),
    ],
)
def test_a_shape_that_was_not_asked_for_names_the_option_that_helps(
    shape: list[Any], helps: str
) -> None:
    with pytest.raises(WorkerError, match=f"'input_ids' has the fixed shape.*give {helps}$"):
        feed_of(("input_ids", "tensor(int64)", shape))


@pytest.mark.parametrize(
    ("kind", "shape", "said"),
    [
        ("tensor(string)", ["n"], r"'odd' takes tensor\(string\).*ids of tokens"),
        ("seq(tensor(float))", [], r"'odd' takes seq\(tensor\(float\)\)"),
        ("tensor(float)", ["batch", 3, "height", "width"], "'odd' has the shape.*fix it"),
    ],
)
def test_what_cannot_be_filled_in_is_named(kind: str, shape: list[Any], said: str) -> None:
    with pytest.raises(WorkerError, match=said):
        feed_of(("odd", kind, shape))


@pytest.mark.parametrize("vocabulary", [1000, 100, 30, 2, 1])
def test_a_model_is_fed_ids_that_it_knows_and_tells_how_many(
    tmp_path: Path, vocabulary: int
) -> None:
    told = load(write_embedding(tmp_path / "m.onnx", vocabulary=vocabulary))
    wanted = 100 if vocabulary >= 100 else min(vocabulary, 2)
    assert told["vocabulary_size"] == wanted
    assert told["providers"][1:] == ([] if wanted == 100 else [f"token ids below {wanted}"])


def test_a_second_table_of_an_input_without_a_name_is_served(tmp_path: Path) -> None:
    path = write_embedding(
        tmp_path / "m.onnx", {"input.1": TOKENS, "input.3": TOKENS}, tables={"input.3": 2}
    )
    assert load(path)["vocabulary_size"] == 100
    path = write_embedding(
        tmp_path / "m.onnx", {"input.1": TOKENS, "input.3": TOKENS}, tables={"input.3": 1}
    )
    assert load(path)["vocabulary_size"] == 1


def test_a_length_that_a_model_has_no_positions_for_names_the_option_that_helps(
    tmp_path: Path,
) -> None:
    inputs = {"input_ids": TOKENS, "position_ids": TOKENS}
    path = write_embedding(tmp_path / "m.onnx", inputs, vocabulary=30, tables={"position_ids": 6})
    said = r"idx=6 .*it was fed input_ids int64 \[2, 8\].*--sequence-length"
    with pytest.raises(WorkerError, match=said):
        load(path)
    assert load(path, sequence_length=6)["vocabulary_size"] == 2


def test_two_models_can_be_fed_the_same_ids(tmp_path: Path) -> None:
    path = write_embedding(tmp_path / "m.onnx")
    told = Worker(RUNTIMES).do_load("m", str(path), "onnxruntime", settings_of(), vocabulary_size=2)
    assert told["vocabulary_size"] == 2
    assert told["providers"] == ["CPUExecutionProvider"]  # it was asked for
    assert told["output_checksum"] != load(path)["output_checksum"]


@pytest.mark.parametrize("told", ["0", "-5", "many", ""])
def test_a_vocabulary_size_that_is_none_is_as_good_as_untold(tmp_path: Path, told: str) -> None:
    node = helper.make_node("Cast", ["ids"], ["out"], to=FLOAT)
    path = write_model(
        tmp_path / "m.onnx",
        [node],
        {"ids": TOKENS},
        {"out": FLOAT},
        metadata={"vocabulary_size": told},
    )
    assert load(path)["output_checksum"] == make_tokens(100, 2, 8).sum()


def cast_first(*nodes: Any) -> list[Any]:
    """Nodes behind `x`, which is the tokens as floats."""
    return [helper.make_node("Cast", ["ids"], ["x"], to=FLOAT), *nodes]


SUM = float(make_tokens(100, 2, 8).sum())


def test_texts_are_no_numbers_and_the_next_output_is_checked(tmp_path: Path) -> None:
    label = helper.make_node(
        "LabelEncoder",
        ["ids"],
        ["label"],
        domain="ai.onnx.ml",
        keys_int64s=[1],
        values_strings=["one"],
        default_string="other",
    )
    outputs = {"label": TensorProto.STRING, "x": FLOAT}
    path = write_model(tmp_path / "m.onnx", cast_first(label), {"ids": TOKENS}, outputs)
    assert load(path)["output_checksum"] == SUM
    path = write_model(tmp_path / "m.onnx", [label], {"ids": TOKENS}, {"label": TensorProto.STRING})
    worker = Worker(RUNTIMES)
    told = worker.do_load("m", str(path), "onnxruntime", settings_of())
    assert told["output_checksum"] == 0
    assert len(worker.do_run("m", iterations=2, warmup=0)["wall_seconds"]) == 2
    with pytest.raises(WorkerError, match="made of numbers"):
        worker.do_output("m")


def test_a_sequence_of_maps_counts_by_its_numbers(tmp_path: Path) -> None:
    reduced = helper.make_node("ReduceSum", ["x", "axes"], ["row"], keepdims=1)
    maps = helper.make_node(
        "ZipMap", ["row"], ["maps"], domain="ai.onnx.ml", classlabels_strings=["a"]
    )
    kind = helper.make_sequence_type_proto(
        helper.make_map_type_proto(TensorProto.STRING, helper.make_tensor_type_proto(FLOAT, []))
    )
    path = write_model(
        tmp_path / "m.onnx",
        cast_first(reduced, maps),
        {"ids": TOKENS},
        {"maps": kind},
        {"axes": np.array([1])},
    )
    assert load(path)["output_checksum"] == make_tokens(100, 2, 8)[0].sum()


def test_a_sequence_of_outputs_of_several_shapes_is_accepted(tmp_path: Path) -> None:
    other = helper.make_node("ReduceSum", ["x"], ["y"], keepdims=0)
    both = helper.make_node("SequenceConstruct", ["x", "y"], ["all"])
    kind = helper.make_sequence_type_proto(helper.make_tensor_type_proto(FLOAT, None))
    path = write_model(tmp_path / "m.onnx", cast_first(other, both), {"ids": TOKENS}, {"all": kind})
    assert load(path)["output_checksum"] == SUM


@pytest.mark.parametrize(
    ("operator", "kind", "checksum"),
    [
        (("Greater", ["x", "fifty"]), TensorProto.BOOL, (make_tokens(100, 2, 8) > 50).sum()),
        (("NonZero", ["zeros"]), INT, 0),  # an empty one
        (("Shape", ["x"]), INT, 10),
    ],
)
def test_outputs_of_any_type_and_size_are_accepted(
    tmp_path: Path, operator: tuple[str, list[str]], kind: int, checksum: int
) -> None:
    node = helper.make_node(*operator, ["out"])
    weights = {"fifty": np.array(50, np.float32), "zeros": np.zeros(3, np.float32)}
    path = write_model(
        tmp_path / "m.onnx", cast_first(node), {"ids": TOKENS}, {"out": kind}, weights
    )
    assert load(path)["output_checksum"] == checksum


def test_masked_logits_are_infinite_in_part(tmp_path: Path) -> None:
    node = helper.make_node("Add", ["x", "mask"], ["out"])
    mask = np.array([0, -np.inf] * 4, np.float32)
    path = write_model(
        tmp_path / "m.onnx", cast_first(node), {"ids": TOKENS}, {"out": FLOAT}, {"mask": mask}
    )
    assert load(path)["output_checksum"] == make_tokens(100, 2, 8)[:, ::2].sum()


@pytest.mark.parametrize("values", [[np.nan] * 8, [np.inf] * 8, [0.0] * 7 + [np.nan]])
def test_an_output_that_is_broken_is_told(tmp_path: Path, values: list[float]) -> None:
    node = helper.make_node("Add", ["x", "mask"], ["out"])
    weights = {"mask": np.array(values, np.float32)}
    path = write_model(
        tmp_path / "m.onnx", cast_first(node), {"ids": TOKENS}, {"out": FLOAT}, weights
    )
    with pytest.raises(WorkerError, match="not finite") as caught:
        load(path)
    assert caught.value.cause == "wrong-output"


def test_other_runtimes_are_fed_alike(tmp_path: Path) -> None:
    pytest.importorskip("openvino", reason="OpenVINO is not installed")
    inputs = {
        "unique_ids": (INT, ["n"]),
        "input_ids": (INT, FREE),
        "mask": (TensorProto.BOOL, FREE),
    }
    inputs = {name: inputs[name] for name in ("input_ids", "mask", "unique_ids")}
    path = write_embedding(tmp_path / "m.onnx", inputs)
    found = load(path, "openvino")["output_checksum"]
    assert found == pytest.approx(load(path)["output_checksum"], rel=1e-5)
