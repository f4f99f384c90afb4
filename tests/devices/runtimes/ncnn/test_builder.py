from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from atb.devices.runtimes.ncnn.builder import INPUTS, NcnnNetwork, build_network, save_network
from atb.devices.runtimes.reference import forward
from atb.models.architecture import Architecture
from atb.models.weights import random_weights

ncnn = pytest.importorskip("ncnn", reason="the extra ncnn is not installed")

SMALL = Architecture(2, 20, 3, 33, 28)
SIZES = {"vocabulary_size": 50, "positions": 24}


def lively_weights(
    architecture: Architecture, rng: np.random.Generator
) -> dict[str, npt.NDArray[np.float32]]:
    """Larger than initial ones, so that a wrong attention or activation shows."""
    weights = random_weights(architecture, rng, **SIZES)
    return {name: 8 * w if name.endswith("dense.weight") else w for name, w in weights.items()}


def run(
    network: NcnnNetwork, folder: Path, feed: dict[str, npt.NDArray[np.int64]]
) -> list[npt.NDArray[np.float32]]:
    """Both outputs for one sequence."""
    path = folder / "network.ncnn"
    save_network(network, path)
    net = ncnn.Net()
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    assert net.load_param_mem(network.param) == 0
    assert net.load_model(str(path)) == 0
    length = len(feed["input_ids"])
    hidden = np.where(feed["attention_mask"], 0, np.finfo(np.float32).min).astype(np.float32)
    arrays = {
        "input_ids": feed["input_ids"].astype(np.int32),
        "token_type_ids": feed["token_type_ids"].astype(np.int32),
        "position_ids": np.arange(length, dtype=np.int32),
        "attention_mask": np.tile(hidden, (length, 1)),
    }
    extractor = net.create_extractor()
    for name in INPUTS:
        assert extractor.input(name, ncnn.Mat(arrays[name])) == 0
    outputs = []
    for name in ("last_hidden_state", "pooler_output"):
        failed, values = extractor.extract(name)
        assert failed == 0
        outputs.append(np.array(values))
    return outputs


def random_feed(rng: np.random.Generator, length: int) -> dict[str, npt.NDArray[np.int64]]:
    """Tokens, segments and padding of one sequence."""
    return {
        "input_ids": rng.integers(0, SIZES["vocabulary_size"], length),
        "attention_mask": (np.arange(length) < rng.integers(1, length + 1)).astype(np.int64),
        "token_type_ids": rng.integers(0, 2, length),
    }


@pytest.mark.parametrize(
    "seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 6))]
)
def test_random_networks_compute_what_the_reference_computes(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    heads = int(rng.integers(1, 7))
    architecture = Architecture(
        layers=int(rng.integers(1, 5)),
        hidden=int(rng.integers(9, 90)),
        heads=heads,
        qkv=heads * int(rng.integers(3, 17)),
        feed_forward=int(rng.integers(9, 150)),
    )
    weights = lively_weights(architecture, rng)
    network = build_network(architecture, weights, "fp32")
    for length in (1, 7, SIZES["positions"]):  # one network serves all lengths
        feed = random_feed(rng, length)
        hidden, pooled = run(network, tmp_path, feed)
        batch = {name: values[None] for name, values in feed.items()}
        expected_hidden, expected_pooled = forward(architecture, weights, **batch)
        np.testing.assert_allclose(hidden, expected_hidden[0], atol=2e-5)
        np.testing.assert_allclose(pooled, expected_pooled, atol=2e-5)


def test_int8_is_near_the_reference_and_not_the_same(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    weights = random_weights(SMALL, rng, **SIZES)
    feed = random_feed(rng, 24)
    networks = [build_network(SMALL, weights, precision) for precision in ("fp32", "int8")]
    (fp32, _), (int8, _) = (run(network, tmp_path, feed) for network in networks)
    difference = np.abs(int8 - fp32).max()
    assert 1e-5 < difference < 1.2e-4 * SMALL.hidden * SMALL.layers**0.5


def test_int8_holds_the_matrices_in_a_quarter_of_the_bytes() -> None:
    wide = Architecture(2, 256, 4, 256, 1024)
    weights = random_weights(wide, np.random.default_rng(0), vocabulary_size=8, positions=8)
    fp32, int8 = (build_network(wide, weights, precision) for precision in ("fp32", "int8"))
    assert 0.25 < len(int8.weights) / len(fp32.weights) < 0.27


def test_a_matrix_of_zeros_stays_one_in_int8(tmp_path: Path) -> None:
    weights = random_weights(SMALL, np.random.default_rng(0), **SIZES)
    for name in ("attention.self.query", "intermediate.dense"):
        weights[f"encoder.layer.0.{name}.weight"][:] = 0
    network = build_network(SMALL, weights, "int8")
    hidden, _ = run(network, tmp_path, random_feed(np.random.default_rng(1), 9))
    assert np.isfinite(hidden).all()
