"""The ONNX files of a deployed model, in float32 and int8."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from atb.models import Head
    from atb.models.superplm import TinyBertPreTrainedModel

FP32_FILE, INT8_FILE = "model.onnx", "model.int8.onnx"


def write_graphs(
    model: TinyBertPreTrainedModel,
    folder: Path,
    calibration: Iterable[Mapping[str, npt.NDArray[np.int64]]] | None = None,
) -> None:
    """Write `model.onnx` and `model.int8.onnx`, with the head of a task where there is one.

    Args:
        model: An encoder, with or without the head of a task.
        folder: Folder that the files are written into.
        calibration: Inputs by which int8 is quantised statically; dynamically where None.
    """
    from atb.devices.runtimes.onnxruntime import quantise
    from atb.models import build_graph, save_graph
    from atb.models.superplm import architecture_of

    config: Any = model.config
    graph = build_graph(
        architecture_of(config),
        weights={
            name.removeprefix("bert."): tensor.numpy()
            for name, tensor in model.state_dict().items()
        },
        vocabulary_size=config.vocab_size,
        positions=config.max_position_embeddings,
        token_types=config.type_vocab_size,
        sequence_length=None,
        batch=None,
        layer_norm_epsilon=config.layer_norm_eps,
        head=head_of(model),
    )
    save_graph(graph, folder / FP32_FILE)
    quantise(folder / FP32_FILE, folder / INT8_FILE, calibration)


def head_of(model: TinyBertPreTrainedModel) -> Head | None:
    """The head of a task that a model has, if any."""
    if hasattr(model, "classifier"):
        return "classification"
    return "qa" if hasattr(model, "qa_outputs") else None


def open_session(path: Path) -> Any:
    """An onnxruntime session on one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
