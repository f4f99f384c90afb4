"""PyTorch on a CPU, operator by operator as Python calls them (eager)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from atb.devices.artefact import describe_artefact
from atb.devices.contract import Artefact, LaunchFailure
from atb.devices.installed import installed_version
from atb.devices.reference import TIMING_VOCABULARY, timing_positions
from atb.devices.settings import RunSettings
from atb.devices.worker import ENCODER_KEY, VOCABULARY_KEY
from atb.errors import InputError
from atb.files import atomic_path
from atb.models.architecture import Architecture
from atb.models.weights import random_weights

__all__ = ["TorchCpu"]


class TorchCpu:
    """Serves weights as safetensors; the worker calls PyTorch's operators on them."""

    name = "torch"
    precisions = ("fp32",)

    @property
    def version(self) -> str:
        """Version of the installed library, read without importing it."""
        return installed_version("torch")

    def build(self, architecture: Architecture, settings: RunSettings, folder: Path) -> Artefact:
        """Write random weights with a small vocabulary, and how many layers and heads they are."""
        from safetensors.numpy import save_file

        path = folder / f"{architecture}.{settings.precision}.safetensors"
        try:
            weights = random_weights(
                architecture,
                np.random.default_rng(0),
                vocabulary_size=TIMING_VOCABULARY,
                positions=timing_positions(settings),
            )
            sizes = {
                "layers": architecture.layers,
                "heads": architecture.heads,
                VOCABULARY_KEY: TIMING_VOCABULARY,
            }
            # safetensors writes memory as it lies
            arrays = {name: np.ascontiguousarray(values) for name, values in weights.items()}
            with atomic_path(path) as temporary:
                # one entry, since several would come in a random order
                save_file(arrays, temporary, {ENCODER_KEY: json.dumps(sizes)})
        except (InputError, OSError, MemoryError, ValueError) as error:
            detail = f"{architecture}: {error or 'not enough memory'}"
            raise LaunchFailure("build-error", detail) from error
        return describe_artefact(path)
