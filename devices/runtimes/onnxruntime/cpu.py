"""onnxruntime on a CPU."""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atb.devices import RunSettings
from atb.devices.runtimes import LibraryRuntime
from atb.files import atomic_path
from atb.models import Architecture

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


class OnnxRuntimeCpu(LibraryRuntime):
    """Serves ONNX graphs; in int8 the matrix products are dynamically quantised."""

    name = "onnxruntime"
    distributions: tuple[str, ...] = ("onnxruntime", "onnxruntime-gpu")
    file_name = "{architecture}.{settings.precision}.onnx"
    tells_operators = True

    def write(self, architecture: Architecture, settings: RunSettings, path: Path) -> None:
        """Write the timing graph."""
        write_onnx(architecture, settings, path)


def write_onnx(architecture: Architecture, settings: RunSettings, path: Path) -> None:
    """Write the timing graph of every runtime that reads ONNX.

    It has random weights, a small vocabulary, and free shapes, as the deployed model has them. Of a
    graph of fixed ones onnxruntime makes another: products and biases become Gemm, and Gelu is no
    longer fused with its bias; on an EPYC it took a fifth longer
    (benchmarks/measuring/deployed.py).
    """
    from atb.devices.runtimes import timing_sizes
    from atb.models import build_graph, save_graph

    sizes = timing_sizes(settings)
    model = build_graph(architecture, **sizes, sequence_length=None, batch=None)
    if settings.precision != "int8":
        save_graph(model, path)
        return
    with tempfile.TemporaryDirectory(dir=path.parent) as temporary:
        source = Path(temporary) / "fp32.onnx"
        save_graph(model, source)
        quantise(source, path)


def quantise(
    source: Path,
    target: Path,
    calibration: Iterable[Mapping[str, npt.NDArray[np.int64]]] | None = None,
) -> None:
    """Quantise an ONNX file: int8 weights of all products with a constant matrix.

    Embeddings stay in fp32. Serves timing artefacts and deployment alike. Weights take seven of the
    eight bits (`reduce_range`): the sums of eight overflow on x86 processors that multiply bytes
    without VNNI, and the model would compute something else there. A scale for each column more
    than makes up for the bit, and it is as fast (benchmarks/tool/int8_weights.py).

    Args:
        source: The graph in fp32.
        target: The file that the int8 graph is written to.
        calibration: Inputs like those to come, from which the ranges of activations are fixed
            (static); None has them found at each inference (dynamic).
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic, quantize_static

    options: dict[str, Any] = {
        "op_types_to_quantize": ["MatMul"],
        "weight_type": QuantType.QInt8,
        "per_channel": True,
        "reduce_range": True,
        "extra_options": {"MatMulConstBOnly": True},
    }
    with _quiet_logging(), atomic_path(target) as temporary:
        if calibration is None:
            quantize_dynamic(source, temporary, **options)
        else:
            options["activation_type"] = QuantType.QUInt8
            quantize_static(source, temporary, _reader(calibration), **options)


def _reader(inputs: Iterable[Mapping[str, npt.NDArray[np.int64]]]) -> Any:
    """The inputs as onnxruntime wants to be handed them."""
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc, unused-ignore]
        def __init__(self) -> None:
            self._inputs = iter(inputs)

        def get_next(self) -> Any:
            return next(self._inputs, None)

    return Reader()


@contextlib.contextmanager
def _quiet_logging() -> Iterator[None]:
    """The quantiser recommends its own preparation step, which our graphs do not need."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
