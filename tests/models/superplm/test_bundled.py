from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from atb.errors import BadFile, InputError
from atb.models.architecture import Architecture
from atb.models.space import SPACES
from atb.models.superplm.bundled import BUNDLED, load_packed, load_superplm, pack
from atb.models.superplm.superplm import SuperPLM

torch.set_num_threads(1)


def small() -> SuperPLM:
    torch.manual_seed(0)
    return SuperPLM.from_architecture(
        Architecture(2, 24, 2, 16, 40),
        vocabulary_size=50,
        positions=16,
        with_mlm_head=True,
        projection_size=24,
    ).eval()


def test_packing_moves_no_weight_by_more_than_half_a_step(tmp_path: Path) -> None:
    superplm = small()
    pack(superplm, tmp_path)
    packed = dict(load_superplm(tmp_path).named_parameters())
    for name, parameter in superplm.named_parameters():
        if parameter.dim() == 1:
            assert torch.equal(packed[name], parameter)
            continue
        step = parameter.abs().amax(1, keepdim=True) / 127
        assert ((packed[name] - parameter).abs() <= step / 2 + 1e-7).all(), name


def test_rows_of_zeros_stay_zeros(tmp_path: Path) -> None:
    superplm = small()
    with torch.no_grad():
        superplm.bert.embeddings.word_embeddings.weight[3] = 0
    pack(superplm, tmp_path)
    assert not load_packed(tmp_path).bert.embeddings.word_embeddings.weight[3].any()


def test_packed_and_plain_folders_load_by_the_same_call(tmp_path: Path) -> None:
    superplm = small()
    superplm.save(tmp_path / "plain")
    pack(superplm, tmp_path / "packed")
    assert load_superplm(str(tmp_path / "plain")).architecture == superplm.architecture
    assert load_superplm(tmp_path / "packed").cls is not None
    with pytest.raises(BadFile, match="packed"):
        SuperPLM.load(tmp_path / "packed")
    with pytest.raises(BadFile, match="not a packed"):
        load_packed(tmp_path / "plain")


def test_unknown_names_and_damaged_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no SuperPLM 'maxi'"):
        load_superplm("maxi")
    with pytest.raises(BadFile):
        load_superplm(tmp_path)
    pack(small(), tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(BadFile, match="truncated"):
        load_superplm(tmp_path)


def test_what_is_too_large_to_ship_is_not_packed(tmp_path: Path) -> None:
    superplm = SuperPLM.from_architecture(Architecture(1, 512, 1, 64, 64), vocabulary_size=50_000)
    with pytest.raises(InputError, match="25,000,000"):
        pack(superplm, tmp_path / "large")
    assert not (tmp_path / "large").exists()


@pytest.mark.slow
def test_the_embedded_superplm_holds_its_space_and_slices_exactly() -> None:
    folder = BUNDLED["mini"]
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 25_000_000
    superplm = load_superplm("mini")
    space = SPACES["mini"]
    assert superplm.architecture == space.largest
    tokens = torch.randint(1000, 20_000, (2, 16), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(tokens)
    mask[1, 9:] = 0
    for architecture in space.sample(np.random.default_rng(0), 3):
        model = superplm.extract(architecture)
        with torch.no_grad():
            hidden = superplm.hidden_states(architecture, tokens, mask)
            alone = model(tokens, mask).last_hidden_state
        assert (hidden - alone).abs().max() < 1e-5
