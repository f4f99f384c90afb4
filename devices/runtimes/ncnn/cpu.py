"""ncnn on a CPU: networks written directly, none of its converters needed."""

from __future__ import annotations

from pathlib import Path

from atb.devices import RunSettings
from atb.devices.runtimes import LibraryRuntime
from atb.models import Architecture


class NcnnCpu(LibraryRuntime):
    """Serves ncnn networks; in int8 the matrix products are dynamically quantised.

    ncnn has no batch: the sequences of one run one after another within an inference.
    """

    name = "ncnn"
    distributions = ("ncnn",)
    file_name = "{architecture}.{settings.precision}.ncnn"
    extra = "ncnn"

    def write(self, architecture: Architecture, settings: RunSettings, path: Path) -> None:
        """Write the network: random weights, small vocabulary, and free lengths."""
        from atb.devices.runtimes import timing_weights
        from atb.devices.runtimes.ncnn.builder import build_network, save_network

        weights = timing_weights(architecture, settings)
        save_network(build_network(architecture, weights, settings.precision), path)
