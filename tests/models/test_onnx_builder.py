from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
import torch

from atb.devices.runtimes.reference import forward
from atb.errors import InputError
from atb.models.architecture import Architecture
from atb.models.onnx_builder import build_graph, save_graph
from atb.models.superplm.modeling_tinybert import (
    TinyBertForQuestionAnswering,
    TinyBertForSequenceClassification,
)
from atb.models.superplm.slicing import config_of
from atb.models.weights import random_weights, weights_shapes

SMALL = Architecture(2, 20, 3, 33, 28)
SIZES = {"vocabulary_size": 50, "positions": 24}


def random_architecture(rng: np.random.Generator) -> Architecture:
    heads = int(rng.integers(1, 7))
    return Architecture(
        layers=int(rng.integers(1, 5)),
        hidden=int(rng.integers(9, 90)),
        heads=heads,
        qkv=heads * int(rng.integers(3, 17)),
        feed_forward=int(rng.integers(9, 150)),
    )


def lively_weights(
    architecture: Architecture, rng: np.random.Generator
) -> dict[str, npt.NDArray[np.float32]]:
    """Larger than initial ones, so that a wrong attention or activation shows."""
    weights = random_weights(architecture, rng, **SIZES)
    return {name: 8 * w if name.endswith("dense.weight") else w for name, w in weights.items()}


def random_feed(
    rng: np.random.Generator, batch: int, length: int
) -> dict[str, npt.NDArray[np.int64]]:
    """Tokens, segments, and padding of another length in each sequence."""
    real = rng.integers(1, length + 1, size=batch)
    return {
        "input_ids": rng.integers(0, SIZES["vocabulary_size"], (batch, length)),
        "attention_mask": (np.arange(length) < real[:, None]).astype(np.int64),
        "token_type_ids": rng.integers(0, 2, (batch, length)),
    }


def session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def test_a_deployed_graph_equals_torch_on_20_random_architectures() -> None:
    import torch

    from atb.models.superplm.modeling_tinybert import TinyBertConfig, TinyBertModel

    torch.set_num_threads(1)
    rng = np.random.default_rng(5)
    seen_apart = 0
    for _ in range(20):
        a = random_architecture(rng)
        seen_apart += a.qkv != a.hidden
        weights = lively_weights(a, rng)
        config = TinyBertConfig(
            vocab_size=SIZES["vocabulary_size"],
            max_position_embeddings=SIZES["positions"],
            hidden_size=a.hidden,
            num_hidden_layers=a.layers,
            num_attention_heads=a.heads,
            qkv_size=a.qkv,
            intermediate_size=a.feed_forward,
        )
        model = TinyBertModel(config).eval()
        model.load_state_dict({n: torch.tensor(w) for n, w in weights.items()}, strict=True)
        graph = build_graph(a, weights=weights, sequence_length=None, batch=None, **SIZES)
        deployed = session(graph)
        for batch, length in ((1, 1), (3, 17), (2, 24)):
            feed = random_feed(rng, batch, length)
            hidden, pooled = deployed.run(["last_hidden_state", "pooler_output"], feed)
            with torch.no_grad():
                expected = model(**{name: torch.tensor(v) for name, v in feed.items()})
            wanted = expected.last_hidden_state.numpy()
            np.testing.assert_allclose(hidden, wanted, atol=1e-4, err_msg=str(a))
            np.testing.assert_allclose(pooled, expected.pooler_output.numpy(), atol=1e-4)
    assert seen_apart > 10


def test_a_graph_equals_the_bert_of_transformers() -> None:
    import torch
    from transformers import BertConfig, BertModel

    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=50,
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=40,
        max_position_embeddings=24,
    )
    model = BertModel(config).eval()
    weights = {name: tensor.detach().numpy() for name, tensor in model.state_dict().items()}
    graph = build_graph(
        Architecture(2, 24, 4, 24, 40), weights=weights, sequence_length=None, batch=None, **SIZES
    )
    feed = random_feed(np.random.default_rng(0), 3, 11)
    hidden, pooled = session(graph).run(None, feed)
    with torch.no_grad():
        expected = model(**{name: torch.tensor(values) for name, values in feed.items()})
    np.testing.assert_allclose(hidden, expected.last_hidden_state.numpy(), atol=1e-5)
    np.testing.assert_allclose(pooled, expected.pooler_output.numpy(), atol=1e-5)


def test_the_numpy_reference_equals_the_graph() -> None:
    rng = np.random.default_rng(1)
    for _ in range(5):
        architecture = random_architecture(rng)
        weights = lively_weights(architecture, rng)
        graph = build_graph(architecture, weights=weights, sequence_length=13, batch=2, **SIZES)
        feed = random_feed(rng, 2, 13)
        for got, wanted in zip(
            session(graph).run(None, feed), forward(architecture, weights, **feed), strict=True
        ):
            np.testing.assert_allclose(got, wanted, atol=1e-4, err_msg=str(architecture))


def test_padding_does_not_change_the_real_tokens() -> None:
    rng = np.random.default_rng(2)
    graph = build_graph(
        SMALL, weights=lively_weights(SMALL, rng), sequence_length=None, batch=None, **SIZES
    )
    deployed = session(graph)
    feed = random_feed(rng, 1, 9)
    feed["attention_mask"][:] = 1
    padded = {name: np.pad(values, ((0, 0), (0, 5))) for name, values in feed.items()}
    alone, _ = deployed.run(None, feed)
    beside, _ = deployed.run(None, padded)
    np.testing.assert_allclose(beside[:, :9], alone, atol=1e-5)


def test_a_graph_has_a_fixed_shape_where_one_is_asked_for() -> None:
    fixed, free = (
        build_graph(SMALL, sequence_length=length, batch=batch, **SIZES)
        for length, batch in ((12, 3), (None, None))
    )
    assert [node.shape for node in session(fixed).get_inputs()] == [[3, 12]] * 3
    assert [node.shape for node in session(free).get_inputs()] == [["batch", "sequence"]] * 3
    hidden, pooled = session(fixed).get_outputs()
    assert (hidden.shape, pooled.shape) == ([3, 12, 20], [3, 20])


def test_a_graph_uses_standard_operators_only_and_passes_the_checker() -> None:
    model = build_graph(SMALL, sequence_length=None, batch=None, **SIZES)
    onnx.checker.check_model(model, full_check=True)
    assert {node.domain for node in model.graph.node} == {""}
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 20)]


def test_the_same_seed_gives_the_same_bytes_and_another_one_does_not() -> None:
    first, again, other = (
        build_graph(SMALL, seed=seed, sequence_length=8, **SIZES).SerializeToString(
            deterministic=True
        )
        for seed in (0, 0, 1)
    )
    assert first == again
    assert first != other


def test_weights_have_as_many_numbers_as_the_architecture_says() -> None:
    for sizes in ({}, SIZES):
        shapes = weights_shapes(SMALL, **sizes)
        assert sum(int(np.prod(s)) for s in shapes.values()) == SMALL.parameters(**sizes)
        drawn = random_weights(SMALL, np.random.default_rng(0), **sizes)
        assert {name: weight.shape for name, weight in drawn.items()} == shapes


def test_random_weights_are_spread_like_initial_ones_and_hold_no_denormals() -> None:
    drawn = random_weights(Architecture(2, 128, 4, 128, 256), np.random.default_rng(0))
    table = drawn["embeddings.word_embeddings.weight"]
    assert table.std() == pytest.approx(0.02, rel=0.01)
    assert abs(float(table.mean())) < 1e-4
    magnitudes = np.abs(table[table != 0])
    assert magnitudes.min() > np.finfo(np.float32).tiny
    assert drawn["embeddings.LayerNorm.weight"].mean() == pytest.approx(1, abs=0.01)


def test_metadata_tells_the_vocabulary() -> None:
    model = build_graph(SMALL, **SIZES, sequence_length=8)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert metadata == {"architecture": str(SMALL), "vocabulary_size": "50"}


def test_missing_and_misshapen_weights_are_named() -> None:
    weights = random_weights(SMALL, np.random.default_rng(0), **SIZES)
    del weights["pooler.dense.bias"]
    with pytest.raises(InputError, match=r"no 'pooler\.dense\.bias'"):
        build_graph(SMALL, weights=weights, sequence_length=8, **SIZES)
    weights["pooler.dense.bias"] = np.zeros(21, dtype=np.float32)
    with pytest.raises(InputError, match=r"shape \(21,\).*wants \(20,\)"):
        build_graph(SMALL, weights=weights, sequence_length=8, **SIZES)


def test_a_sequence_longer_than_the_positions_is_refused() -> None:
    with pytest.raises(InputError, match="25 do not fit into 24 positions"):
        build_graph(SMALL, sequence_length=25, **SIZES)


def test_a_model_too_large_for_a_file_is_refused_before_any_weight_is_drawn() -> None:
    with pytest.raises(InputError, match="2 GiB"):
        build_graph(Architecture(24, 65_536, 64, 65_536, 65_536))


def test_a_graph_is_saved_whole(tmp_path: Path) -> None:
    model = build_graph(SMALL, sequence_length=8, **SIZES)
    save_graph(model, tmp_path / "model.onnx")
    assert onnx.load(tmp_path / "model.onnx") == model
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]


@pytest.mark.parametrize(
    ("kind", "head"),
    [(TinyBertForSequenceClassification, "classification"), (TinyBertForQuestionAnswering, "qa")],
)
def test_a_graph_with_a_head_equals_torch(kind: Any, head: Any) -> None:
    architecture = Architecture(2, 48, 3, 24, 40)
    sizes = {"vocab_size": SIZES["vocabulary_size"], "max_position_embeddings": SIZES["positions"]}
    model = kind(config_of(architecture, **sizes)).eval()
    weights = {n.removeprefix("bert."): t.numpy() for n, t in model.state_dict().items()}
    graph = build_graph(
        architecture,
        weights=weights,
        **SIZES,
        sequence_length=None,
        batch=None,
        head=head,
    )
    feed = random_feed(np.random.default_rng(0), 3, 11)
    found = session(graph).run(None, feed)
    with torch.no_grad():
        wanted = model(**{name: torch.from_numpy(a) for name, a in feed.items()}).to_tuple()
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        assert np.abs(one - other.numpy()).max() < 1e-5


def test_a_head_without_weights_is_refused() -> None:
    with pytest.raises(InputError, match="head"):
        build_graph(Architecture(1, 48, 3, 24, 40), head="qa")
