"""What is taken over from elsewhere: the released checkpoints' layout, on made folders."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from atb.errors import BadFile
from atb.models.architecture import Architecture
from atb.models.published import resolve
from atb.models.superplm.superplm import SuperPLM
from atb.training.reading import read_encoder

SHAPE = Architecture(2, 24, 2, 16, 40)


def _superplm(shape: Architecture = SHAPE, *, mlm: bool = True, words: int = 120) -> SuperPLM:
    torch.manual_seed(0)
    made = SuperPLM.from_architecture(
        shape, vocabulary_size=words, positions=32, with_mlm_head=mlm, projection_size=48
    )
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return made.eval()


def write_released(
    folder: Path,
    superplm: SuperPLM,
    *,
    prefix: str = "bert.",
    projection: str = "dense_fit.",
    wrapped: str = "",
    old_norms: bool = False,
    tells_width: bool = True,
) -> None:
    """A checkpoint as AutoTinyBERT's code writes it."""
    shape, tensors = superplm.architecture, {}
    for name, tensor in superplm.state_dict().items():
        renamed = name.removeprefix("bert.")
        if renamed.startswith("projection."):
            renamed = renamed.replace("projection.", projection)
        elif not renamed.startswith("cls."):
            renamed = prefix + renamed
        if old_norms:
            for new, old in (("weight", "gamma"), ("bias", "beta")):
                renamed = renamed.replace(f"LayerNorm.{new}", f"LayerNorm.{old}")
        tensors[wrapped + renamed] = tensor.clone()
    if superplm.cls is not None:
        table = superplm.bert.embeddings.word_embeddings.weight
        tensors[wrapped + "cls.predictions.decoder.weight"] = table.detach().clone()
        tensors[wrapped + "cls.seq_relationship.weight"] = torch.zeros(2, shape.hidden)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "model.safetensors")
    config = {  # no model type: plain classes cannot tell what it is
        "vocab_size": superplm.config.vocab_size,
        "hidden_size": shape.hidden,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "intermediate_size": shape.feed_forward,
        "max_position_embeddings": superplm.config.max_position_embeddings,
        "type_vocab_size": 2,
        "hidden_act": "gelu",
    }
    if tells_width:
        config["qkv_size"] = shape.qkv
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    "layout",
    [
        {},
        {"prefix": ""},
        {"wrapped": "module."},
        {"old_norms": True},
        {"projection": "fit_dense."},
        {"tells_width": False},
    ],
)
def test_a_released_checkpoint_comes_with_all_its_heads(tmp_path: Path, layout: dict) -> None:
    made = _superplm()
    write_released(tmp_path, made, **layout)
    read = read_encoder(tmp_path, with_projection=True)
    assert read.architecture == SHAPE
    # the reference renames what has no "bert" in its name, and its heads start at random again
    for name, tensor in made.state_dict().items():
        assert torch.equal(read.state_dict()[name], tensor), name
    without = read_encoder(tmp_path)
    assert without.config.projection_size is None


@pytest.mark.parametrize("name", ["s4", "kd-s4"])
def test_a_published_shape_is_as_large_as_its_published_file(tmp_path: Path, name: str) -> None:
    shape = resolve(name)
    torch.manual_seed(0)
    made = SuperPLM.from_architecture(shape, with_mlm_head=name == "s4", projection_size=768)
    write_released(tmp_path, made)
    read = read_encoder(tmp_path, with_projection=True)
    assert read.architecture == shape
    megabytes = sum(4 * parameter.numel() for parameter in read.parameters()) / 1e6
    assert megabytes == pytest.approx({"s4": 50.3, "kd-s4": 40.0}[name], abs=0.06)


def test_what_cannot_be_taken_over_is_told(tmp_path: Path) -> None:
    write_released(tmp_path / "decoder", _superplm())
    tensors = {
        f"bert.{name}": tensor.clone()
        for name, tensor in _superplm(mlm=False).bert.state_dict().items()
    }
    tensors["cls.predictions.decoder.weight"] = torch.zeros(120, 24)
    save_file(tensors, tmp_path / "decoder" / "model.safetensors")
    with pytest.raises(BadFile, match="decoder of its own"):
        read_encoder(tmp_path / "decoder")
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    torch.save({}, pickled / "pytorch_model.bin")
    shutil.copy(tmp_path / "decoder" / "config.json", pickled)
    with pytest.raises(BadFile, match="runs code when it is read"):
        read_encoder(pickled)
    write_released(tmp_path / "width", _superplm())
    config = json.loads((tmp_path / "width" / "config.json").read_text())
    config["qkv_size"] = 20
    (tmp_path / "width" / "config.json").write_text(json.dumps(config))
    with pytest.raises(BadFile, match="different shapes"):
        read_encoder(tmp_path / "width")


def test_weights_in_several_files_are_read_by_their_index(tmp_path: Path) -> None:
    made = _superplm()
    write_released(tmp_path, made)
    tensors = load_file(tmp_path / "model.safetensors")
    places = {name: f"model-{i % 2}.safetensors" for i, name in enumerate(tensors)}
    for file in set(places.values()):
        save_file({n: t for n, t in tensors.items() if places[n] == file}, tmp_path / file)
    (tmp_path / "model.safetensors").unlink()
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": places}))
    found = read_encoder(tmp_path).state_dict()
    assert all(torch.equal(found[n], t) for n, t in made.state_dict().items() if n in found)
    index.write_text(json.dumps({"weight_map": {"a": "../model-0.safetensors"}}))
    with pytest.raises(BadFile, match="does not name files beside it"):
        read_encoder(tmp_path)
