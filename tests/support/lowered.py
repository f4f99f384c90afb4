"""Programs of ExecuTorch that are lowered once for all tests: that takes half a minute each."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from filelock import FileLock

from atb.devices.contract import Artefact
from atb.devices.runtimes.artefacts import ArtefactCache, CachedRuntime
from atb.devices.runtimes.executorch.xnnpack import ExecuTorchXnnpack
from atb.devices.settings import RunSettings
from atb.models.architecture import Architecture

__all__ = ["LoweredOnce"]


class LoweredOnce(CachedRuntime):
    """The runtime with a cache that the processes of this run of tests share."""

    def __init__(self, factory: pytest.TempPathFactory) -> None:
        base = factory.getbasetemp()
        # pytest-xdist gives each of its processes a folder of its own below that of the run
        self._folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "lowered"
        self._folder.mkdir(exist_ok=True)
        cache = ArtefactCache(self._folder / "cache", limit_bytes=100_000_000, tell=pytest.fail)
        super().__init__(ExecuTorchXnnpack(), cache, worth=lambda seconds, size: True)

    def build(self, architecture: Architecture, settings: RunSettings, folder: Path) -> Artefact:
        """From the cache; where another process lowers the same now, when it has done so."""
        with FileLock(self._folder / f"{architecture}.{settings.precision}.lock"):
            return super().build(architecture, settings, folder)
