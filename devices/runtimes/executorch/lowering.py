"""Lower a small BERT to a program of ExecuTorch: one file that runs alone, in a process of its own.

Lowering takes long, and much memory, and what it imports should not stay in the process that
measures. Started as `python -P lowering.py`; on stdin comes one JSON line:

    {"weights", "target", "batch", "sequence_length", "precision"}

`weights` is a file of safetensors that says in its metadata what it is, as `TorchCpu` writes it;
`target` is the program. Exit code 0 means that it is written. The process ends with its stdin.
"""

# mypy: allow-untyped-calls
from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

#: What nothing may be left of outside of XNNPACK: the products are what is asked of it.
_PRODUCTS = ("addmm", "mm", "bmm", "linear", "matmul")


def lower(weights: Path, target: Path, *, batch: int, sequence_length: int, precision: str) -> None:
    """Write a program for fixed shapes whose matrix products run in XNNPACK.

    The program has the method `forward`, of three int64 arrays [batch, sequence] that returns the
    last hidden state [batch, sequence, hidden] and the pooler's output [batch, hidden], and
    methods that return a number: `vocabulary_size`, and `weight_bits`, those of the matrices of
    the linear layers.

    Args:
        weights: The file of weights.
        target: The file that the program is written to.
        batch: Sequences in one inference.
        sequence_length: Tokens in one sequence.
        precision: `fp32`, or `int8`, in which the linear layers have a scale for each row of their
            matrices and find the ranges of activations at each inference.

    Raises:
        RuntimeError: XNNPACK did not take all of the products.
    """
    import torch
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    model, told = _read_model(weights)
    shape = (batch, sequence_length)
    ids = torch.arange(batch * sequence_length).reshape(shape) % told["vocabulary_size"]
    inputs = (ids, torch.ones_like(ids), torch.zeros_like(ids))
    with torch.no_grad():
        program = torch.export.export(model, inputs)
        if precision == "int8":
            program = torch.export.export(_quantise(program.module(), inputs), inputs)
        lowered = to_edge_transform_and_lower(
            program,
            partitioner=[XnnpackPartitioner()],
            constant_methods={
                "vocabulary_size": told["vocabulary_size"],
                "weight_bits": 8 if precision == "int8" else 32,
            },
        )
        _check_products(lowered.exported_program())
        content = lowered.to_executorch().buffer
    target.write_bytes(content)


def _read_model(path: Path) -> tuple[nn.Module, dict[str, int]]:
    """The model of a file of weights, and the sizes that the file tells."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        told: dict[str, int] = json.loads(file.metadata()["encoder"])
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    return _make_model(weights, told).eval(), told


def _fill(module: nn.Module, weights: dict[str, Any], name: str) -> nn.Module:
    module.load_state_dict({part: weights[f"{name}.{part}"] for part in ("weight", "bias")})
    return module


def _linear(weights: dict[str, Any], name: str) -> nn.Module:
    from torch import nn

    outputs, inputs = weights[f"{name}.weight"].shape
    return _fill(nn.Linear(inputs, outputs), weights, name)


def _norm(weights: dict[str, Any], name: str) -> nn.Module:
    from torch import nn

    return _fill(nn.LayerNorm(weights[f"{name}.bias"].shape[0], eps=1e-12), weights, name)


def _make_model(w: dict[str, Any], told: dict[str, int]) -> nn.Module:
    """BERT with these weights (Devlin et al. 2019: norms come after the sums)."""
    import torch
    from torch import nn
    from torch.nn import functional

    linear, norm = partial(_linear, w), partial(_norm, w)

    class Layer(nn.Module):
        def __init__(self, prefix: str) -> None:
            super().__init__()
            attention = f"{prefix}.attention"
            self.query = linear(f"{attention}.self.query")
            self.key = linear(f"{attention}.self.key")
            self.value = linear(f"{attention}.self.value")
            self.joined = linear(f"{attention}.output.dense")
            self.attended = norm(f"{attention}.output.LayerNorm")
            self.inner = linear(f"{prefix}.intermediate.dense")
            self.outer = linear(f"{prefix}.output.dense")
            self.finished = norm(f"{prefix}.output.LayerNorm")

        def forward(self, hidden: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
            query, key, value = (
                part(hidden).unflatten(-1, (told["heads"], -1)).transpose(1, 2)  # [B, A, S, D]
                for part in (self.query, self.key, self.value)
            )
            scores = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5 + bias
            context = torch.softmax(scores, -1) @ value
            attended = self.joined(context.transpose(1, 2).flatten(2))  # [B, S, H]
            hidden = self.attended(attended + hidden)
            inner = functional.gelu(self.inner(hidden))
            finished: torch.Tensor = self.finished(self.outer(inner) + hidden)
            return finished

    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            tables = (w[f"embeddings.{name}_embeddings.weight"] for name in _TABLES)
            self.words, self.kinds, self.places = map(nn.Embedding.from_pretrained, tables)
            self.embedded = norm("embeddings.LayerNorm")
            names = (f"encoder.layer.{layer}" for layer in range(told["layers"]))
            self.layers = nn.ModuleList(map(Layer, names))
            self.pooler = linear("pooler.dense")

        def forward(
            self,
            input_ids: torch.Tensor,
            attention_mask: torch.Tensor,
            token_type_ids: torch.Tensor,
        ) -> tuple[torch.Tensor, torch.Tensor]:
            places = self.places.weight[: input_ids.shape[1]]
            hidden = self.embedded(self.words(input_ids) + self.kinds(token_type_ids) + places)
            # 0 for real tokens and the lowest number for padding: [B, 1, 1, S]
            lowest = torch.finfo(torch.float32).min
            bias = (1.0 - attention_mask[:, None, None, :].float()) * lowest
            for layer in self.layers:
                hidden = layer(hidden, bias)
            return hidden, torch.tanh(self.pooler(hidden[:, 0]))

    return Encoder()


_TABLES = ("word", "token_type", "position")


def _quantise(model: Any, inputs: tuple[Any, ...]) -> Any:
    """Quantise the linear layers, and see that they are."""
    import torch
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    quantizer = XNNPACKQuantizer()
    config = get_symmetric_quantization_config(is_per_channel=True, is_dynamic=True)
    quantizer.set_operator_type(torch.ops.aten.linear.default, config)
    prepared = prepare_pt2e(model, quantizer)
    prepared(*inputs)  # what observes weights wants to be run once
    converted = convert_pt2e(prepared)
    targets = [str(node.target) for node in converted.graph.nodes]
    linear = sum("aten.linear" in target for target in targets)
    quantised = sum("dequantize_per_channel" in target for target in targets)
    if quantised != linear:
        raise RuntimeError(f"{quantised} of {linear} linear layers were quantised")
    return converted


def _check_products(program: Any) -> None:
    """Refuse a program that computes products, or quantises, outside of XNNPACK.

    The partitioner passes over what it cannot take, and says nothing.
    """
    targets = [str(node.target) for node in program.graph.nodes if node.op == "call_function"]
    left = [
        target
        for target in targets
        if "quantize" in target or any(f"aten.{name}." in target for name in _PRODUCTS)
    ]
    if left:
        raise RuntimeError(f"XNNPACK did not take {', '.join(sorted(set(left)))}")
    if not any("executorch_call_delegate" in target for target in targets):
        raise RuntimeError("XNNPACK took nothing")


def _end_with_the_parent() -> None:
    """Wait until stdin is closed, which is when the parent is gone."""
    while os.read(0, 1):
        pass
    os._exit(1)


def main() -> None:
    """Do what stdin asks for."""
    request = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    with contextlib.suppress(OSError):  # where memory runs out, this goes before its parent
        Path("/proc/self/oom_score_adj").write_text("1000", "ascii")
    weights, target = Path(request.pop("weights")), Path(request.pop("target"))
    lower(weights, target, **request)


if __name__ == "__main__":
    main()
