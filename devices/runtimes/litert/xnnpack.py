"""LiteRT on a CPU, whose kernels are those of XNNPACK: what runs TFLite models on phones."""

from __future__ import annotations

from pathlib import Path

from atb.devices import Artefact, RunSettings
from atb.devices.runtimes import (
    LibraryRuntime,
    describe_artefact,
    timing_sizes,
    timing_weights,
    translate_build_errors,
)
from atb.files import atomic_path
from atb.models import Architecture

__all__ = ["LiteRtXnnpack"]


class LiteRtXnnpack(LibraryRuntime):
    """Serves TFLite graphs; in int8 the matrix products are dynamically quantised."""

    name = "litert"
    distributions = ("ai-edge-litert",)
    extra = "litert"

    def build(self, architecture: Architecture, settings: RunSettings, folder: Path) -> Artefact:
        """Write the timing graph: random weights, small vocabulary, and the shape of the settings.

        It is written directly: the converters that make such files of PyTorch models take 2 GB
        and minutes. XNNPACK wants fixed shapes, so batch and length are part of the file.
        """
        from atb.devices.runtimes.litert.builder import build_tflite

        size = f"{settings.batch}x{settings.sequence_length}"
        path = folder / f"{architecture}.{settings.precision}.{size}.tflite"
        with translate_build_errors(architecture):
            content = build_tflite(
                architecture,
                timing_weights(architecture, settings),
                precision=settings.precision,
                sequence_length=settings.sequence_length,
                batch=settings.batch,
                **timing_sizes(settings),
            )
            with atomic_path(path) as temporary:
                temporary.write_bytes(content)
        return describe_artefact(path)
