from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from atb.errors import BadFile, InputError
from atb.models.architecture import Architecture
from atb.models.space import SPACES, Dimension, SearchSpace
from atb.models.superplm.modeling_tinybert import TinyBertModel
from atb.models.superplm.slicing import axes_of, layers_of_slice, slice_parameter
from atb.models.superplm.superplm import SuperPLM

torch.set_num_threads(1)

WHOLE = Architecture(3, 32, 4, 32, 48)
# as the built-in ones: whole heads come and go, or every head narrows
WHOLE_HEADS = SearchSpace(
    "whole-heads", Dimension(1, 3), Dimension(5, 32), Dimension(1, 4), Dimension(3, 48), head_size=8
)
NARROW_HEADS = SearchSpace(
    "narrow-heads",
    Dimension(1, 3),
    Dimension(5, 32),
    Dimension(4, 4),
    Dimension(3, 48),
    qkv=Dimension(4, 32, 4),
)
BOTH = SearchSpace(
    "both",
    Dimension(1, 3),
    Dimension(5, 32),
    Dimension(1, 4),
    Dimension(3, 48),
    qkv=Dimension(1, 8),
)


def super_plm(**changes: int | bool | str | None) -> SuperPLM:
    torch.manual_seed(3)
    settings = {
        "vocabulary_size": 60,
        "positions": 24,
        "with_mlm_head": True,
        "projection_size": 11,
    }
    superplm = SuperPLM.from_architecture(WHOLE, **{**settings, **changes})  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in superplm.parameters():
            parameter.add_(torch.randn(parameter.shape) * 0.2)
    return superplm.eval()


def inputs() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    mask = torch.ones(2, 10, dtype=torch.long)
    mask[1, 6:] = 0
    tokens = torch.randint(0, 60, (2, 10), generator=generator)
    return tokens, mask, torch.randint(0, 2, (2, 10), generator=generator)


def kept_rows(whole: Architecture, architecture: Architecture) -> list[int]:
    """Rows of a query's bias that a slice takes, by the slicing rule itself."""
    numbers = torch.arange(whole.qkv)
    return slice_parameter("self.query.bias", numbers, whole, architecture).tolist()


def wanted_rows(whole: Architecture, architecture: Architecture) -> list[int]:
    """The same as the papers say it: of the first heads the first dimensions, ascending."""
    return [
        whole.head_size * head + dimension
        for head in range(architecture.heads)
        for dimension in range(architecture.head_size)
    ]


def test_narrow_heads_keep_the_first_dimensions_of_every_head() -> None:
    whole, slice_ = Architecture(8, 768, 12, 768, 3072), Architecture(4, 256, 12, 192, 480)
    kept = kept_rows(whole, slice_)
    assert kept == wanted_rows(whole, slice_)
    assert kept[14:18] == [14, 15, 64, 65]
    assert kept_rows(whole, whole) == list(range(768))


def test_the_first_heads_are_kept_whole() -> None:
    whole = Architecture(8, 768, 12, 768, 3072)
    assert kept_rows(whole, Architecture(5, 564, 8, 512, 1054)) == list(range(512))


def test_a_slice_takes_the_bottom_layers_or_even_ones_with_the_last() -> None:
    assert [list(layers_of_slice("bottom", 6, layers)) for layers in (1, 4)] == [[0], [0, 1, 2, 3]]
    even = [[layer + 1 for layer in layers_of_slice("even", 6, layers)] for layers in range(1, 7)]
    assert even == [
        [6],
        [3, 6],
        [2, 4, 6],
        [2, 3, 4, 6],
        [1, 2, 4, 5, 6],
        [1, 2, 3, 4, 5, 6],
    ]
    for whole in range(1, 25):
        for layers in range(1, whole + 1):
            taken = layers_of_slice("even", whole, layers)
            assert len(set(taken)) == layers
            assert list(taken) == sorted(taken)
            assert taken[0] >= 0
            assert taken[-1] == whole - 1


def test_the_layers_of_slices_are_saved_and_what_does_not_say_takes_the_bottom_ones(
    tmp_path: Path,
) -> None:
    shallow = Architecture(1, 32, 4, 32, 48)
    superplm = super_plm(slice_layers="even")
    last = "encoder.layer.{}.output.dense.bias"
    superplm.save(tmp_path / "even")
    for held in (superplm, SuperPLM.load(tmp_path / "even")):
        assert held.slice_layers == held.with_task_head("qa", 2, dropout=0.0).slice_layers == "even"
        taken = held.extract(shallow).get_parameter(last.format(0))
        assert torch.equal(taken, superplm.bert.get_parameter(last.format(2)))
    super_plm().save(tmp_path / "bottom")
    assert "slice_layers" not in (tmp_path / "bottom" / "superplm.json").read_text("utf-8")
    assert SuperPLM.load(tmp_path / "bottom").slice_layers == "bottom"
    super_plm(slice_layers="top").save(tmp_path / "top")
    with pytest.raises(BadFile, match="slice_layers"):
        SuperPLM.load(tmp_path / "top")


@pytest.mark.parametrize("slice_layers", ["bottom", "even"])
@pytest.mark.parametrize("space", [WHOLE_HEADS, NARROW_HEADS, BOTH], ids=lambda space: space.name)
def test_a_slice_equals_the_extracted_model(space: SearchSpace, slice_layers: str) -> None:
    superplm = super_plm(slice_layers=slice_layers)
    tokens, mask, types = inputs()
    for architecture in space.sample(np.random.default_rng(0), 25):
        if not superplm.holds(architecture):
            continue
        encoder = superplm.extract(architecture)
        masked = superplm.extract(architecture, "mlm")
        with torch.no_grad():
            output = superplm(architecture, tokens, mask, types, attention_states=True)
            alone = encoder(tokens, mask, types, output_attention_states=True)
            hidden = output.last_hidden_state
            logits = superplm.mlm_logits(architecture, hidden, mask.bool())
            projected = superplm.projected(architecture, hidden)
        for one, other in zip(output.attention_states, alone.attention_states, strict=True):
            assert (one - other).abs().max() < 1e-5, architecture
        for name in ("last_hidden_state", "pooler_output"):
            assert (output[name] - alone[name]).abs().max() < 1e-5, (architecture, name)
        assert (logits - masked(tokens, mask, types).logits[mask.bool()]).abs().max() < 1e-5
        assert (projected - encoder.projection(hidden)).abs().max() < 1e-5


@pytest.mark.parametrize("name", ["mlm", "kd", "mini"])
def test_a_slice_of_the_built_in_spaces_equals_the_extracted_model(name: str) -> None:
    """At full width, where odd sizes meet head sizes such as 23; two layers and few words."""
    space = replace(SPACES[name], layers=Dimension(1, 2))
    torch.manual_seed(0)
    superplm = SuperPLM.from_architecture(space.largest, vocabulary_size=60, positions=24).eval()
    tokens, mask, types = inputs()
    for architecture in space.sample(np.random.default_rng(2), 6):
        with torch.no_grad():
            sliced = superplm(architecture, tokens, mask, types)
            alone = superplm.extract(architecture)(tokens, mask, types)
        assert (sliced.last_hidden_state - alone.last_hidden_state).abs().max() < 1e-5
        assert (sliced.pooler_output - alone.pooler_output).abs().max() < 1e-5


@pytest.mark.parametrize("space", [WHOLE_HEADS, NARROW_HEADS, BOTH], ids=lambda space: space.name)
def test_an_extracted_model_holds_the_rows_and_columns_of_the_slicing_rule(
    space: SearchSpace,
) -> None:
    superplm = super_plm()
    whole = dict(superplm.named_parameters())
    for architecture in space.sample(np.random.default_rng(1), 8):
        if not superplm.holds(architecture):
            continue
        every, h, f = slice(None), slice(architecture.hidden), slice(architecture.feed_forward)
        rows = torch.tensor(wanted_rows(WHOLE, architecture))
        layer = f"bert.encoder.layer.{architecture.layers - 1}."
        kept: dict[str, tuple[Any, ...]] = {  # rows, then columns
            "bert.embeddings.word_embeddings.weight": (every, h),
            "bert.embeddings.position_embeddings.weight": (every, h),
            "bert.embeddings.token_type_embeddings.weight": (every, h),
            "bert.embeddings.LayerNorm.weight": (h,),
            f"{layer}attention.self.query.weight": (rows, h),
            f"{layer}attention.self.key.weight": (rows, h),
            f"{layer}attention.self.value.bias": (rows,),
            f"{layer}attention.output.dense.weight": (h, rows),
            f"{layer}attention.output.LayerNorm.bias": (h,),
            f"{layer}intermediate.dense.weight": (f, h),
            f"{layer}intermediate.dense.bias": (f,),
            f"{layer}output.dense.weight": (h, f),
            f"{layer}output.dense.bias": (h,),
            "bert.pooler.dense.weight": (h, h),
            "bert.projection.weight": (every, h),
            "bert.projection.bias": (every,),
            "cls.predictions.transform.dense.weight": (h, h),
            "cls.predictions.transform.LayerNorm.weight": (h,),
            "cls.predictions.bias": (every,),
        }
        got = dict(superplm.extract(architecture, "mlm").named_parameters())
        for name, (first, *others) in kept.items():
            wanted = whole[name][first]
            for second in others:
                wanted = wanted[:, second]
            assert torch.equal(got[name], wanted), (architecture, name)
        assert f"bert.encoder.layer.{architecture.layers}.output.dense.bias" not in got


def test_the_full_slice_is_the_whole() -> None:
    superplm = super_plm()
    sliced = superplm.sliced(WHOLE)
    for name, parameter in superplm.named_parameters():
        assert torch.equal(sliced[name], parameter)
        assert sliced[name].data_ptr() == parameter.data_ptr()  # no copy was made


@pytest.mark.parametrize(
    "architecture", [Architecture(2, 20, 3, 24, 31), Architecture(2, 20, 3, 9, 31)], ids=str
)
def test_gradients_of_a_masked_lm_step_are_zero_outside_the_slice(
    architecture: Architecture,
) -> None:
    superplm = super_plm().train()
    tokens, mask, types = inputs()
    positions = torch.zeros_like(mask, dtype=torch.bool)
    positions[:, 2:4] = True
    hidden = superplm.hidden_states(architecture, tokens, mask, types)
    logits = superplm.mlm_logits(architecture, hidden, positions)
    functional.cross_entropy(logits, tokens[positions]).backward()  # type: ignore[no-untyped-call]

    inside = {"hidden": torch.arange(32) < 20, "feed_forward": torch.arange(48) < 31}
    rows = torch.zeros(32, dtype=torch.bool)
    rows[wanted_rows(WHOLE, architecture)] = True
    inside["attention"] = rows
    for name, parameter in superplm.named_parameters():
        gradient = parameter.grad
        if name.startswith("bert.encoder.layer.2."):  # above the two layers of the slice
            assert gradient is None or not gradient.any(), name
            continue
        if gradient is None:
            assert name.startswith(("bert.pooler.", "bert.projection.")), name
            continue
        for dimension, axis in enumerate(axes_of(name)):
            if axis != "all":
                outside = torch.nonzero(~inside[axis]).flatten()
                assert not gradient.index_select(dimension, outside).any(), name
        assert gradient.any(), name
    bias = superplm.get_parameter("cls.predictions.bias").grad
    assert bias is not None
    assert bias.ne(0).all()  # unsliced: every word's share is in the softmax


def test_mask_and_token_types_are_not_swapped() -> None:
    superplm = super_plm()
    tokens, mask, types = inputs()
    small = Architecture(2, 20, 3, 24, 31)
    with torch.no_grad():
        padded = superplm.hidden_states(small, tokens, mask, types)[1, :6]
        alone = superplm.hidden_states(small, tokens[1:, :6], None, types[1:, :6])[0]
        swapped = superplm.hidden_states(small, tokens, types, mask)[1, :6]
    assert (padded - alone).abs().max() < 1e-5
    assert (swapped - alone).abs().max() > 1e-2


def test_a_slice_drops_out_in_training_only() -> None:
    superplm = super_plm(with_mlm_head=False)
    tokens, mask, _ = inputs()
    small = Architecture(1, 20, 2, 16, 9)
    superplm.train()
    first, second = (superplm.hidden_states(small, tokens, mask) for _ in range(2))
    assert not torch.equal(first, second)
    superplm.eval()
    first, second = (superplm.hidden_states(small, tokens, mask) for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.parametrize(
    "text",
    [
        "L4-H32-A4-Q32-F48",
        "L3-H33-A4-Q32-F48",
        "L3-H32-A5-Q35-F48",
        "L3-H32-A2-Q18-F48",
        "L3-H32-A4-Q32-F49",
    ],
)
def test_what_is_larger_than_the_superplm_is_refused_with_its_shape(text: str) -> None:
    superplm = super_plm()
    architecture = Architecture.parse(text)
    assert not superplm.holds(architecture)
    with pytest.raises(InputError, match="L3-H32-A4-Q32-F48"):
        superplm.extract(architecture)
    with pytest.raises(InputError, match="L3-H32-A4-Q32-F48"):
        superplm.hidden_states(architecture, *inputs())


def test_a_missing_head_is_named() -> None:
    superplm = super_plm(with_mlm_head=False, projection_size=None)
    hidden = torch.zeros(1, 2, 32)
    with pytest.raises(InputError, match="masked-LM head"):
        superplm.mlm_logits(WHOLE, hidden, torch.ones(1, 2, dtype=torch.bool))
    with pytest.raises(InputError, match="masked-LM head"):
        superplm.extract(WHOLE, "mlm")
    with pytest.raises(InputError, match="projection"):
        superplm.projected(WHOLE, hidden)
    with pytest.raises(InputError, match="no head 'pos'"):
        superplm.extract(WHOLE, "pos")  # type: ignore[arg-type]


def test_extracted_models_are_copies_with_the_heads_asked_for() -> None:
    superplm = super_plm()
    small = Architecture(1, 20, 2, 16, 9)
    encoder = superplm.extract(small)
    assert isinstance(encoder, TinyBertModel)
    assert encoder.config.projection_size == 11
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.zero_()
    assert superplm.bert.embeddings.word_embeddings.weight.any()
    classifier = superplm.extract(small, "classification", num_labels=5)
    tokens, mask, types = inputs()
    assert classifier(tokens, mask, types).logits.shape == (2, 5)
    assert superplm.extract(small, "qa")(tokens, mask, types).end_logits.shape == (2, 10)


@pytest.mark.parametrize("with_mlm_head", [True, False])
def test_a_saved_superplm_comes_back_equal(tmp_path: Path, with_mlm_head: bool) -> None:
    superplm = super_plm(with_mlm_head=with_mlm_head)
    superplm.save(tmp_path, origin="a test")
    again = SuperPLM.load(tmp_path)
    assert not again.training
    assert again.architecture == WHOLE
    wanted, got = superplm.state_dict(), again.state_dict()
    assert wanted.keys() == got.keys()
    assert all(torch.equal(wanted[name], got[name]) for name in wanted)
    assert again.config.hidden_dropout_prob == superplm.config.hidden_dropout_prob


def test_damaged_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadFile):
        SuperPLM.load(tmp_path / "nowhere")
    super_plm().save(tmp_path)
    weights = tmp_path / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadFile, match="truncated"):
        SuperPLM.load(tmp_path)
    weights.unlink()
    with pytest.raises(BadFile, match="missing"):
        SuperPLM.load(tmp_path)
    weights.write_bytes(whole)
    card = tmp_path / "superplm.json"
    text = card.read_text("utf-8")
    card.write_text(text.replace("L3-H32", "L2-H32"), "utf-8")
    with pytest.raises(BadFile, match="not of one SuperPLM"):
        SuperPLM.load(tmp_path)
    card.write_text(text.replace('"positions": 24', '"positions": "many"'), "utf-8")
    with pytest.raises(BadFile, match="damaged"):
        SuperPLM.load(tmp_path)
    card.write_text(text.replace('"format": 1', '"format": 99'), "utf-8")
    with pytest.raises(BadFile, match="format 99"):
        SuperPLM.load(tmp_path)
    card.write_text('{"format": 1, "kind": "profile"}', "utf-8")
    with pytest.raises(BadFile, match="not a superplm file"):
        SuperPLM.load(tmp_path)
