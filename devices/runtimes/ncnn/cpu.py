"""ncnn on a CPU: networks written directly, none of its converters needed."""

from __future__ import annotations

from pathlib import Path

from atb.devices import PRECISIONS, Artefact, LaunchFailure, RunSettings
from atb.devices.runtimes import describe_artefact, installed_version, timing_sizes
from atb.errors import InputError
from atb.models import Architecture

__all__ = ["NcnnCpu"]


class NcnnCpu:
    """Serves ncnn networks; in int8 the matrix products are dynamically quantised.

    ncnn has no batch: the sequences of one run one after another within an inference.
    """

    name = "ncnn"
    precisions = PRECISIONS
    distributions = ("ncnn",)
    runner = Path(__file__).resolve().with_name("runner.py")
    tells_operators = False

    @property
    def version(self) -> str:
        """Version of the installed library, read without importing it."""
        return installed_version(*self.distributions, extra="ncnn")

    def build(self, architecture: Architecture, settings: RunSettings, folder: Path) -> Artefact:
        """Write the network: random weights, small vocabulary, and free lengths."""
        from atb.devices.runtimes.ncnn.builder import build_network, save_network

        path = folder / f"{architecture}.{settings.precision}.ncnn"
        try:
            network = build_network(
                architecture, precision=settings.precision, **timing_sizes(settings)
            )
            save_network(network, path)
        except (InputError, OSError, MemoryError) as error:
            detail = f"{architecture}: {error or 'not enough memory'}"
            raise LaunchFailure("build-error", detail) from error
        return describe_artefact(path)
