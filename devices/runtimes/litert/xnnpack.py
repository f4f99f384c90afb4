"""LiteRT on a CPU, whose kernels are those of XNNPACK: what runs TFLite models on phones."""

from __future__ import annotations

from pathlib import Path

from atb.devices import RunSettings
from atb.devices.runtimes import LibraryRuntime
from atb.models import Architecture


class LiteRtXnnpack(LibraryRuntime):
    """Serves TFLite graphs; in int8 the matrix products are dynamically quantised."""

    name = "litert"
    distributions = ("ai-edge-litert",)
    file_name = (
        "{architecture}.{settings.precision}.{settings.batch}x{settings.sequence_length}.tflite"
    )
    extra = "litert"

    def write(self, architecture: Architecture, settings: RunSettings, path: Path) -> None:
        """Write the timing graph: random weights, small vocabulary, and the shape of the settings.

        It is written directly: the converters that make such files of PyTorch models take 2 GB
        and minutes. XNNPACK wants fixed shapes, so batch and length are part of the file.
        """
        from atb.devices.runtimes import timing_sizes, timing_weights
        from atb.devices.runtimes.litert.builder import build_tflite

        content = build_tflite(
            architecture,
            timing_weights(architecture, settings),
            precision=settings.precision,
            sequence_length=settings.sequence_length,
            batch=settings.batch,
            **timing_sizes(settings),
        )
        path.write_bytes(content)
