"""Starting points of a SuperPLM: a pre-trained encoder in order of importance, or fresh weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from atb.data.corpus import TokenShards
from atb.errors import InputError
from atb.models.superplm import SuperPLM, TinyBertConfig, axes_of, layer_of
from atb.training import check_fits, read_encoder

#: Which layers of an encoder are taken, where not all are.
KeptLayers = Literal["bottom", "even"]


def initialise(
    encoder_folder: Path,
    text: TokenShards,
    *,
    layers: int | None = None,
    kept_layers: KeptLayers = "bottom",
    seed: int = 0,
    probes: int = 24,
    batch_size: int = 8,
    dropout: float = 0.1,
    progress: Callable[[int, int], None] | None = None,
) -> SuperPLM:
    """A SuperPLM whose whole equals a pre-trained encoder and whose slices keep what matters most.

    Hidden dimensions, heads, dimensions of heads and feed-forward neurons are put in descending
    order of importance; the projection starts as the way back to the encoder's own order, so that
    the projected states of the whole are the encoder's.

    Args:
        encoder_folder: A transformers folder of a BERT encoder.
        text: Text to measure importance on.
        layers: Number of layers of the encoder to take; all by default.
        kept_layers: The lowest ones, or evenly spaced ones with the first and the last.
        seed: Determines the choice of text and the probes.
        probes: Number of random directions of the output.
        batch_size: Sequences for each probe.
        dropout: Share of hidden states and attention weights set to zero in training.
        progress: Called with probes done and all probes.

    Raises:
        BadFile: The encoder cannot be read.
        InputError: The text was made with another vocabulary, or there are not so many layers.
    """
    plain = read_encoder(encoder_folder, dropout=dropout)
    if layers is not None:
        plain = _with_layers(plain, layers, kept_layers)
    check_fits(text, plain, "encoder")
    moved = _sensitivities(
        plain, text, seed=seed, probes=probes, batch_size=batch_size, progress=progress
    )
    return _reordered(plain, _Orders.of(plain, moved))


def _with_layers(whole: SuperPLM, count: int, kept: KeptLayers) -> SuperPLM:
    """The same encoder with some of its layers."""
    found = whole.architecture.layers
    if not 1 <= count <= found:
        raise InputError(
            f"The encoder has {found} layers and {count} are asked for: give 1 to {found}."
        )
    chosen: Sequence[int] = range(count)
    if kept == "even":
        chosen = np.linspace(0, found - 1, count).round().astype(int).tolist()
    config = TinyBertConfig(**{**whole.config.to_dict(), "num_hidden_layers": count})
    fewer = SuperPLM(config, with_mlm_head=whole.cls is not None)
    with torch.no_grad():
        for name, parameter in fewer.named_parameters():
            layer = layer_of(name)
            source = name
            if layer is not None:
                source = name.replace(f"layer.{layer}.", f"layer.{chosen[layer]}.", 1)
            parameter.copy_(whole.get_parameter(source))
    return fewer.eval()


def _reordered(plain: SuperPLM, orders: _Orders) -> SuperPLM:
    """The same function with its parts in another order, and the projection that undoes it."""
    config = TinyBertConfig(
        **{**plain.config.to_dict(), "projection_size": plain.config.hidden_size}
    )
    superplm = SuperPLM(config, with_mlm_head=plain.cls is not None)
    projection = superplm.bert.projection
    with torch.no_grad():
        for name, parameter in superplm.named_parameters():
            if not name.startswith("bert.projection."):
                parameter.copy_(orders.applied(name, plain.get_parameter(name)))
        projection.bias.zero_()
        projection.weight.zero_()
        projection.weight[orders.hidden, torch.arange(len(orders.hidden))] = 1.0
    return superplm.eval()


class _Orders:
    """New orders of hidden dimensions, attention dimensions and neurons, the important first."""

    def __init__(self, hidden: Tensor, by_layer: list[dict[str, Tensor]]) -> None:
        self.hidden = hidden
        self._by_layer = by_layer

    @classmethod
    def of(cls, superplm: SuperPLM, moved: dict[str, Tensor]) -> _Orders:
        """Orders by squared movement of the output; `moved` as `_sensitivities` returns it."""
        heads, head_size = superplm.architecture.heads, superplm.architecture.head_size

        def attention(layer: int, kind: str) -> Tensor:
            by_head = moved[f"{layer}.head"].argsort(descending=True)  # [A]
            inside = moved[f"{layer}.{kind}"].view(heads, head_size).argsort(1, descending=True)
            return (by_head[:, None] * head_size + inside[by_head]).reshape(-1)

        by_layer = [
            {
                "query": attention(layer, "query"),
                "value": attention(layer, "value"),
                "feed_forward": moved[f"{layer}.feed_forward"].argsort(descending=True),
            }
            for layer in range(superplm.architecture.layers)
        ]
        return cls(moved["hidden"].argsort(descending=True), by_layer)

    def applied(self, name: str, tensor: Tensor) -> Tensor:
        """A parameter in the new order."""
        parts = name.split(".")
        for dimension, axis in enumerate(axes_of(name)):
            if axis == "hidden":
                tensor = tensor.index_select(dimension, self.hidden)
            elif axis != "all":
                orders = self._by_layer[int(parts[3])]
                # query and key are multiplied with one another, value goes into the output
                kind = "query" if parts[-2] in ("query", "key") else "value"
                order = orders["feed_forward" if axis == "feed_forward" else kind]
                tensor = tensor.index_select(dimension, order)
        return tensor


def _sensitivities(
    superplm: SuperPLM,
    text: TokenShards,
    *,
    seed: int,
    probes: int,
    batch_size: int,
    progress: Callable[[int, int], None] | None,
) -> dict[str, Tensor]:
    """How far the output moves, squared, as each part of the encoder is scaled.

    For a random direction r, d<r, output>/d(scale of a part) is the sum of weight * gradient over
    the weights that read the part; its mean square over directions is the squared movement, the
    Gauss-Newton estimate of the error made by leaving the part out.
    """
    rng = np.random.default_rng([seed, 1])
    chosen = rng.permutation(len(text))
    moved: dict[str, Tensor] = {}
    layers = superplm.architecture.layers
    for probe in range(probes):
        rows = chosen[np.arange(probe * batch_size, (probe + 1) * batch_size) % len(chosen)]
        input_ids, mask = (torch.from_numpy(array) for array in text.batch(rows))
        direction = torch.from_numpy(
            rng.choice((-1.0, 1.0), (*input_ids.shape, superplm.config.hidden_size))
        ).float()
        superplm.zero_grad()
        hidden = superplm.hidden_states(superplm.architecture, input_ids, mask)
        (hidden * direction * mask[..., None]).sum().backward()  # type: ignore[no-untyped-call]
        for name, change in _scale_derivatives(superplm, layers).items():
            moved[name] = moved.get(name, torch.zeros_like(change)) + change.square()
        if progress is not None:
            progress(probe + 1, probes)
    superplm.zero_grad()
    return moved


def _scale_derivatives(superplm: SuperPLM, layers: int) -> dict[str, Tensor]:
    """Derivative of the loss by the scale of each part, from the gradients at hand."""

    def product(name: str) -> Tensor:
        parameter = superplm.get_parameter(f"bert.encoder.layer.{name}")
        assert parameter.grad is not None
        return parameter.detach() * parameter.grad

    found: dict[str, Tensor] = {}
    readers = ("query", "key", "value")
    hidden = torch.zeros(superplm.config.hidden_size)
    for layer in range(layers):
        for name in readers:
            hidden += product(f"{layer}.attention.self.{name}.weight").sum(0)
            if name != "key":  # scaling a dimension of the key is scaling that of the query
                rows = product(f"{layer}.attention.self.{name}.weight").sum(1)
                found[f"{layer}.{name}"] = rows + product(f"{layer}.attention.self.{name}.bias")
        hidden += product(f"{layer}.intermediate.dense.weight").sum(0)
        columns = product(f"{layer}.attention.output.dense.weight").sum(0)  # [Q]
        found[f"{layer}.head"] = columns.view(superplm.architecture.heads, -1).sum(1)
        found[f"{layer}.feed_forward"] = product(f"{layer}.output.dense.weight").sum(0)
    return {**found, "hidden": hidden}
