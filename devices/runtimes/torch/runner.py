"""Runs BERT encoders in PyTorch; it is sent to devices, and needs nothing of this package."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from atb.devices.worker.core import Arrays, ModelClass, ModelFile, Operator

#: Where a file of bare weights says how many layers, heads and tokens they are.
ENCODER_KEY = "encoder"


class TorchModel:
    """A BERT encoder in PyTorch on the CPU, operator by operator.

    The file is safetensors (an eight-byte length, a JSON header, raw numbers), read here so that
    PyTorch is all that is needed. What is called is what transformers' `BertModel` calls.
    """

    library = "torch"
    inputs = None  # those of a BERT

    def __init__(self, file: ModelFile) -> None:
        import torch

        threads = file.settings["threads"]
        torch.set_num_threads(threads)
        if torch.get_num_threads() != threads:
            came = torch.get_num_threads()
            raise file.failure(f"{threads} threads were asked for and {came} came")
        self.builds = {"torch": torch.__version__}
        self.providers: tuple[str, ...] = ("eager",)
        self._file = file
        self._weights, told = _read_safetensors(file)
        self._layers, self._heads = told["layers"], told["heads"]
        self.vocabulary_size = told["vocabulary_size"]

    def feed(self, arrays: Arrays) -> None:
        """Take what the model is run on."""
        import torch

        self._arrays = {name: torch.from_numpy(values) for name, values in arrays.items()}

    def __call__(self) -> Any:
        """Run once; returns the last hidden state."""
        import torch

        with torch.inference_mode():
            hidden, _ = self._forward(**self._arrays)
        return hidden.numpy()

    def _forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> tuple[Any, Any]:
        """The last hidden state [B, S, H] and the pooler's output [B, H]."""
        import torch
        from torch.nn import functional

        w = self._weights

        def linear(values: Any, name: str) -> Any:
            return functional.linear(values, w[f"{name}.weight"], w[f"{name}.bias"])

        def norm(values: Any, name: str) -> Any:
            scale, shift = w[f"{name}.weight"], w[f"{name}.bias"]
            return functional.layer_norm(values, scale.shape, scale, shift, 1e-12)

        def split(values: Any) -> Any:
            return values.unflatten(-1, (self._heads, -1)).transpose(1, 2)  # [B, A, S, D]

        table = "embeddings.{}_embeddings.weight".format
        places = w[table("position")][: input_ids.shape[1]]
        kinds = functional.embedding(token_type_ids, w[table("token_type")])
        hidden = functional.embedding(input_ids, w[table("word")]) + kinds + places
        hidden = norm(hidden, "embeddings.LayerNorm")
        shown = attention_mask[:, None, None, :].bool()
        for layer in range(self._layers):
            own = f"encoder.layer.{layer}"
            query, key, value = (
                split(linear(hidden, f"{own}.attention.self.{part}"))
                for part in ("query", "key", "value")
            )
            context = functional.scaled_dot_product_attention(query, key, value, shown)
            attended = linear(context.transpose(1, 2).flatten(2), f"{own}.attention.output.dense")
            hidden = norm(attended + hidden, f"{own}.attention.output.LayerNorm")
            inner = functional.gelu(linear(hidden, f"{own}.intermediate.dense"))
            hidden = norm(linear(inner, f"{own}.output.dense") + hidden, f"{own}.output.LayerNorm")
        return hidden, torch.tanh(linear(hidden[:, 0], "pooler.dense"))

    def operators(self, iterations: int) -> list[Operator]:
        """What each kind of operator takes by itself, after one run of warm-up."""
        from torch.profiler import ProfilerActivity, profile

        self()
        with profile(activities=[ProfilerActivity.CPU]) as profiler:
            for _ in range(iterations):
                self()
        found = [e for e in profiler.key_averages() if e.self_cpu_time_total > 0]
        return [
            (event.key.removeprefix("aten::"), event.key, event.self_cpu_time_total, event.count)
            for event in found
        ]


def _read_safetensors(file: ModelFile) -> tuple[dict[str, Any], dict[str, int]]:
    """Tensors by name, and what the file says of itself."""
    import torch

    content = Path(file.path).read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    header: dict[str, Any] = json.loads(content[8:start])
    text = header.pop("__metadata__", {}).get(ENCODER_KEY, "{}")
    told: dict[str, int] = json.loads(text)
    missing = [name for name in ("layers", "heads", "vocabulary_size") if name not in told]
    if missing:
        raise file.failure(f"the file does not say its {', '.join(missing)}")
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        values = np.frombuffer(content[start + begin : start + end], "<f4").reshape(entry["shape"])
        tensors[name] = torch.from_numpy(values.copy())
    return tensors, told


class TorchCompiledModel(TorchModel):
    """The same encoder as code that PyTorch's inductor wrote and compiled for this processor.

    Compiled code lies in the user's own cache, where inductor keeps it by default, so that the
    next launches begin in seconds.
    """

    def feed(self, arrays: Arrays) -> None:
        """Take what the model is run on, and compile it for that."""
        import torch
        import torch._dynamo as dynamo
        import torch._inductor.config as inductor
        from torch._dynamo.utils import counters

        super().feed(arrays)
        dynamo.config.suppress_errors = False  # nothing is computed eagerly instead
        # each model is compiled anew, however many there are
        dynamo.config.recompile_limit = dynamo.config.accumulated_recompile_limit = sys.maxsize
        inductor.compile_threads = 1  # else processes that compile stay beside what is timed
        torch.compiler.set_stance("default")
        self._forward = torch.compile(  # type: ignore[method-assign]
            self._forward,
            backend="inductor",
            fullgraph=True,  # a part that does not compile is an error
            dynamic=False,  # else from the second model on it would be code for any shape
        )
        before = counters["stats"]["unique_graphs"]
        self()
        if counters["stats"]["unique_graphs"] != before + 1:
            raise self._file.failure(
                "torch.compile left the model as it was: unset TORCHDYNAMO_DISABLE"
            )
        # what is timed is never a compilation
        torch.compiler.set_stance("fail_on_recompile")
        self.providers = ("inductor",)


RUNTIMES: dict[str, ModelClass] = {"torch": TorchModel, "torch-compiled": TorchCompiledModel}
