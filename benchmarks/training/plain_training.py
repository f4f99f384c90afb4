"""Two other one-shot training loops, written for comparison: the reference's, and a plain one.

Both slice one set of BERT weights by hand. The reference's has the costs of AutoTinyBERT's code:
gradients of the teacher, which every sub-model's loss flows back into over a kept graph; logits of
the whole vocabulary at every position; rows of narrowed heads gathered one by one at each call;
clipping of each parameter a second time, in an optimiser that goes through parameters in Python.
The plain one is what a careful engineer writes first: a frozen teacher, logits at masked positions,
views in place of gathers, fused attention where no attention is taught, torch's AdamW; float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from atb.models.architecture import Architecture
from atb.training.teacher import Batch

VOCABULARY = 30_522


@dataclass(frozen=True)
class Costs:
    """Which of the reference's costs a loop has."""

    teacher_gradients: bool
    all_logits: bool
    gathers: bool
    python_optimiser: bool


REFERENCE = Costs(True, True, True, True)
PLAIN = Costs(False, False, False, False)


def make_teacher(layers: int, hidden: int, heads: int, feed_forward: int) -> nn.Module:
    """A BERT with fresh weights; speed does not depend on their values."""
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=VOCABULARY,
        num_hidden_layers=layers,
        hidden_size=hidden,
        num_attention_heads=heads,
        intermediate_size=feed_forward,
        attn_implementation="eager",
    )
    return BertModel(config, add_pooling_layer=False).eval()


class _Weights(nn.Module):
    """BERT's weights at the largest shape, with a masked-LM head and a map to the teacher."""

    def __init__(self, whole: Architecture, teacher_hidden: int) -> None:
        super().__init__()
        h, f, q = whole.hidden, whole.feed_forward, whole.qkv
        self.words = nn.Embedding(VOCABULARY, h)
        self.positions = nn.Embedding(512, h)
        self.types = nn.Embedding(2, h)
        self.norm = nn.LayerNorm(h, eps=1e-12)
        self.layers = nn.ModuleList(
            nn.ModuleDict(
                {
                    "query": nn.Linear(h, q),
                    "key": nn.Linear(h, q),
                    "value": nn.Linear(h, q),
                    "output": nn.Linear(q, h),
                    "norm": nn.LayerNorm(h, eps=1e-12),
                    "inner": nn.Linear(h, f),
                    "outer": nn.Linear(f, h),
                    "last": nn.LayerNorm(h, eps=1e-12),
                }
            )
            for _ in range(whole.layers)
        )
        self.transform = nn.Linear(h, h)
        self.transform_norm = nn.LayerNorm(h, eps=1e-12)
        self.vocabulary_bias = nn.Parameter(torch.zeros(VOCABULARY))
        self.fit = nn.Linear(h, teacher_hidden)


class PlainLoop:
    """One-shot training, step by step."""

    def __init__(
        self, whole: Architecture, teacher: nn.Module | None, costs: Costs, *, dropout: float = 0.1
    ) -> None:
        """Without a teacher it learns masked words, with one its last layer."""
        self.whole, self.teacher, self.costs, self.dropout = whole, teacher, costs, dropout
        width = 1 if teacher is None else int(teacher.config.hidden_size)  # type: ignore[union-attr, arg-type]
        self.weights = _Weights(whole, width)
        if teacher is not None:
            teacher.requires_grad_(costs.teacher_gradients)
        self._optimiser = _optimiser(self.weights, costs)

    def step(self, batch: Batch, architectures: Sequence[Architecture]) -> float:
        """One optimiser step over all sub-models."""
        self.weights.zero_grad(set_to_none=True)
        if self.teacher is not None:
            self.teacher.zero_grad(set_to_none=True)
        target = self._target(batch)
        total = 0.0
        for architecture in architectures:
            loss = self._loss(architecture, batch, target) / len(architectures)
            loss.backward(retain_graph=self.costs.teacher_gradients)
            total += float(loss.detach())
        nn.utils.clip_grad_norm_(self.weights.parameters(), 1.0)
        self._optimiser.step()
        return total

    def _target(self, batch: Batch) -> tuple[Tensor, Tensor] | None:
        """Attention logits and hidden states of the teacher's last layer."""
        if self.teacher is None:
            return None
        seen: dict[str, Tensor] = {}
        attention: Any = self.teacher.encoder.layer[-1].attention.self  # type: ignore[union-attr, index]
        hooks = [
            getattr(attention, name).register_forward_hook(
                lambda _m, _i, out, name=name: seen.update({name: out})  # type: ignore[misc]
            )
            for name in ("query", "key")
        ]
        with torch.set_grad_enabled(self.costs.teacher_gradients):
            hidden = self.teacher(batch.input_ids, batch.attention_mask).last_hidden_state
            heads = int(self.teacher.config.num_attention_heads)  # type: ignore[union-attr, arg-type]
            logits = _attention_logits(seen["query"], seen["key"], heads)
        for hook in hooks:
            hook.remove()
        return _without_padding(logits, batch.attention_mask), hidden

    def _loss(self, a: Architecture, batch: Batch, target: tuple[Tensor, Tensor] | None) -> Tensor:
        hidden, logits = self._run(a, batch, wants_logits=target is not None)
        w = self.weights
        if target is not None:
            fitted = functional.linear(hidden, w.fit.weight[:, : a.hidden], w.fit.bias)
            loss = functional.mse_loss(fitted, target[1])
            if logits is not None and logits.shape == target[0].shape:
                found = _without_padding(logits, batch.attention_mask)
                loss = loss + functional.mse_loss(found, target[0])
            return loss
        assert batch.labels is not None
        if not self.costs.all_logits:
            hidden = hidden[batch.masked]
        labels = batch.labels if self.costs.all_logits else batch.labels[batch.masked]
        h = a.hidden
        made = functional.linear(hidden, w.transform.weight[:h, :h], w.transform.bias[:h])
        made = _norm(functional.gelu(made), w.transform_norm, h)
        found = functional.linear(made, w.words.weight[:, :h], w.vocabulary_bias)
        return functional.cross_entropy(found.view(-1, VOCABULARY), labels.reshape(-1))

    def _run(
        self, a: Architecture, batch: Batch, *, wants_logits: bool
    ) -> tuple[Tensor, Tensor | None]:
        """Last hidden states of a sub-model, and its last attention logits where wanted."""
        w, h, f = self.weights, a.hidden, a.feed_forward
        length = batch.input_ids.shape[1]
        summed = (
            functional.embedding(batch.input_ids, w.words.weight[:, :h])
            + w.positions.weight[:length, :h]
            + w.types.weight[0, :h]
        )
        hidden = functional.dropout(_norm(summed, w.norm, h), self.dropout)
        bias = (1.0 - batch.attention_mask[:, None, None, :].float()) * -10_000.0
        logits = None
        rows = self._rows(a)
        for number in range(a.layers):
            layer: Any = w.layers[number]
            query, key, value = (
                functional.linear(
                    hidden, self._taken(layer[name].weight, rows, a)[:, :h],
                    self._taken(layer[name].bias, rows, a),
                )
                for name in ("query", "key", "value")
            )  # fmt: skip
            is_last = wants_logits and number == a.layers - 1
            if self.costs.gathers or is_last:
                logits = _attention_logits(query, key, a.heads)
                weights = functional.dropout((logits + bias).softmax(-1), self.dropout)
                attended = weights @ _by_head(value, a.heads)
            else:
                attended = functional.scaled_dot_product_attention(
                    *(_by_head(part, a.heads) for part in (query, key, value)),
                    attn_mask=bias,
                    dropout_p=self.dropout,
                )
            attended = attended.transpose(1, 2).flatten(2)
            columns = self._taken(layer["output"].weight.T, rows, a).T[:h]
            out = functional.linear(attended, columns, layer["output"].bias[:h])
            hidden = _norm(hidden + functional.dropout(out, self.dropout), layer["norm"], h)
            inner = functional.linear(
                hidden, layer["inner"].weight[:f, :h], layer["inner"].bias[:f]
            )
            outer = functional.linear(
                functional.gelu(inner), layer["outer"].weight[:h, :f], layer["outer"].bias[:h]
            )
            hidden = _norm(hidden + functional.dropout(outer, self.dropout), layer["last"], h)
        return hidden, logits

    def _rows(self, a: Architecture) -> Tensor | None:
        """Rows of narrowed heads; None where whole heads are taken."""
        if a.head_size == self.whole.head_size:
            return None
        starts = torch.arange(a.heads) * self.whole.head_size
        return (starts[:, None] + torch.arange(a.head_size)).reshape(-1)

    def _taken(self, parameter: Tensor, rows: Tensor | None, a: Architecture) -> Tensor:
        if rows is None:
            return parameter[: a.qkv]
        if self.costs.gathers:
            return parameter[rows]
        return parameter.index_select(0, rows)


def _norm(states: Tensor, norm: nn.LayerNorm, width: int) -> Tensor:
    return functional.layer_norm(states, (width,), norm.weight[:width], norm.bias[:width], 1e-12)


def _by_head(states: Tensor, heads: int) -> Tensor:
    batch, length, width = states.shape
    return states.view(batch, length, heads, width // heads).transpose(1, 2)


def _attention_logits(query: Tensor, key: Tensor, heads: int) -> Tensor:
    left, right = _by_head(query, heads), _by_head(key, heads)
    return left @ right.transpose(-1, -2) / left.shape[-1] ** 0.5


def _without_padding(logits: Tensor, mask: Tensor) -> Tensor:
    return logits.masked_fill(mask[:, None, None, :] == 0, 0.0)


class _PythonAdam:
    """BERT's Adam as the reference has it: one parameter after the other, each clipped again."""

    def __init__(self, parameters: Sequence[nn.Parameter], learning_rate: float) -> None:
        self._parameters, self._rate = parameters, learning_rate
        self._state: dict[int, tuple[Tensor, Tensor]] = {}

    @torch.no_grad()
    def step(self) -> None:
        for number, parameter in enumerate(self._parameters):
            if parameter.grad is None:
                continue
            nn.utils.clip_grad_norm_([parameter], 1.0)
            if number not in self._state:
                self._state[number] = torch.zeros_like(parameter), torch.zeros_like(parameter)
            mean, square = self._state[number]
            mean.mul_(0.9).add_(parameter.grad, alpha=0.1)
            square.mul_(0.999).addcmul_(parameter.grad, parameter.grad, value=0.001)
            update = mean / (square.sqrt() + 1e-8) + 0.01 * parameter
            parameter.add_(update, alpha=-self._rate)


def _optimiser(weights: nn.Module, costs: Costs) -> Any:
    parameters = list(weights.parameters())
    if costs.python_optimiser:
        return _PythonAdam(parameters, 1e-4)
    return torch.optim.AdamW(parameters, lr=1e-4, weight_decay=0.01)
