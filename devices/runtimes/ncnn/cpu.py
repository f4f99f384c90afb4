"""ncnn on a CPU: networks written directly, none of its converters needed."""

from __future__ import annotations

from pathlib import Path

from atb.devices import Artefact, RunSettings
from atb.devices.runtimes import (
    LibraryRuntime,
    describe_artefact,
    timing_sizes,
    translate_build_errors,
)
from atb.models import Architecture

__all__ = ["NcnnCpu"]


class NcnnCpu(LibraryRuntime):
    """Serves ncnn networks; in int8 the matrix products are dynamically quantised.

    ncnn has no batch: the sequences of one run one after another within an inference.
    """

    name = "ncnn"
    distributions = ("ncnn",)
    extra = "ncnn"

    def build(self, architecture: Architecture, settings: RunSettings, folder: Path) -> Artefact:
        """Write the network: random weights, small vocabulary, and free lengths."""
        from atb.devices.runtimes.ncnn.builder import build_network, save_network

        path = folder / f"{architecture}.{settings.precision}.ncnn"
        with translate_build_errors(architecture):
            network = build_network(
                architecture, precision=settings.precision, **timing_sizes(settings)
            )
            save_network(network, path)
        return describe_artefact(path)
