from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertForMaskedLM, BertModel

from atb.data.corpus.shards import TokenShards
from atb.errors import BadFile, InputError
from atb.models.architecture import Architecture
from atb.training.one_shot.starting_point import initialise
from atb.training.reading import read_encoder

VOCABULARY = 1100  # of the fixtures


def config(**changes: int) -> BertConfig:
    sizes = {
        "vocab_size": VOCABULARY,
        "hidden_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 3,
        "intermediate_size": 36,
        "max_position_embeddings": 16,
    }
    return BertConfig(**{**sizes, **changes})


def lively(model: torch.nn.Module) -> torch.nn.Module:
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return model.eval()


def save(model: torch.nn.Module, folder: Path) -> Path:
    model.save_pretrained(folder)  # type: ignore[operator]
    return folder


def sample(text: TokenShards) -> tuple[torch.Tensor, torch.Tensor]:
    tokens, mask = text.batch([0, 5, 40])
    return torch.from_numpy(tokens), torch.from_numpy(mask)


def test_the_whole_equals_the_encoder_up_to_the_order_of_dimensions(
    tmp_path: Path, text: TokenShards
) -> None:
    model = lively(BertModel(config()))
    superplm = initialise(save(model, tmp_path), text, probes=3)
    tokens, mask = sample(text)
    whole = superplm.architecture
    assert whole == Architecture(2, 24, 3, 24, 36)
    with torch.no_grad():
        wanted = model(tokens, mask).last_hidden_state
        hidden = superplm.hidden_states(whole, tokens, mask)
        projected = superplm.projected(whole, hidden)
        order = superplm.bert.projection.weight.argmax(0)
    real = mask.bool()
    assert (projected - wanted)[real].abs().max() < 1e-5
    assert (hidden - wanted[..., order])[real].abs().max() < 1e-5
    assert sorted(order.tolist()) == list(range(24))
    assert order.tolist() != list(range(24))


def test_the_masked_lm_head_comes_along(tmp_path: Path, text: TokenShards) -> None:
    model = lively(BertForMaskedLM(config()))
    superplm = initialise(save(model, tmp_path), text, probes=3)
    tokens, mask = sample(text)
    with torch.no_grad():
        wanted = model(tokens, mask).logits[mask.bool()]
        hidden = superplm.hidden_states(superplm.architecture, tokens, mask)
        logits = superplm.mlm_logits(superplm.architecture, hidden, mask.bool())
    assert (logits - wanted).abs().max() < 1e-4


def test_what_matters_comes_first(tmp_path: Path, text: TokenShards) -> None:
    """Parts that are made silent must end up last."""
    model = lively(BertModel(config()))
    layer = model.encoder.layer[1]  # type: ignore[union-attr, index]
    with torch.no_grad():
        layer.output.dense.weight[:, 4] = 0  # a neuron
        layer.attention.output.dense.weight[:, 8:16] = 0  # the head in the middle
        layer.attention.output.dense.weight[:, 3] = 0  # a dimension of the first head
        for reader in model.encoder.layer:  # type: ignore[union-attr]
            attention = reader.attention.self
            for dense in (
                attention.query,
                attention.key,
                attention.value,
                reader.intermediate.dense,
            ):
                dense.weight[:, 6] = 0  # a hidden dimension that nothing reads
    superplm = initialise(save(model, tmp_path), text, probes=6)
    ordered = superplm.bert.encoder.layer[1]
    assert not ordered.output.dense.weight[:, -1].any()
    assert not ordered.attention.output.dense.weight[:, 16:].any()
    # the silent dimension of the first head is the last of that head, wherever it went
    silent = torch.nonzero(~ordered.attention.output.dense.weight.any(0)).flatten().tolist()
    assert silent[0] in (7, 15)
    assert silent[1:] == list(range(16, 24))
    assert superplm.bert.projection.weight[6].argmax() == 23


def test_encoders_that_are_not_berts_are_refused(tmp_path: Path, text: TokenShards) -> None:
    with pytest.raises(BadFile, match="There is no"):
        read_encoder(tmp_path / "nowhere")
    folder = save(BertModel(config()), tmp_path / "bert")
    card = folder / "config.json"
    good = json.loads(card.read_text("utf-8"))
    for wrong, words in (
        ({"hidden_act": "relu"}, "not laid out like BERT"),
        ({"embedding_size": 12}, "not laid out like BERT"),
        ({"num_hidden_layers": 3}, "lacks the tensor"),
        ({"intermediate_size": 40}, "different shapes"),
        ({"hidden_size": "wide"}, "does not describe"),
        ({"num_attention_heads": 5}, "5 heads"),
    ):
        card.write_text(json.dumps({**good, **wrong}), "utf-8")
        with pytest.raises(BadFile, match=words):
            read_encoder(folder)
    card.write_text(json.dumps(good), "utf-8")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(BadFile, match="safetensors"):
        read_encoder(folder)


def test_text_of_a_larger_vocabulary_is_refused(tmp_path: Path, text: TokenShards) -> None:
    folder = save(BertModel(config(vocab_size=900)), tmp_path)
    with pytest.raises(InputError, match="vocabulary"):
        initialise(folder, text)


def test_an_encoder_without_pooler_is_taken(tmp_path: Path, text: TokenShards) -> None:
    folder = save(BertModel(config(), add_pooling_layer=False), tmp_path)
    assert read_encoder(folder).architecture.layers == 2
