"""ExecuTorch on a CPU, with XNNPACK for all matrix products."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from atb.devices import LaunchFailure, RunSettings
from atb.devices.runtimes import LibraryRuntime
from atb.devices.runtimes.torch import TorchCpu
from atb.models import Architecture

_DETAIL_CHARACTERS = 600  # of the last words of a lowering that failed


class ExecuTorchXnnpack(LibraryRuntime):
    """Serves programs of ExecuTorch, which are lowered in a process of its own, for fixed shapes.

    In int8 the linear layers are dynamically quantised, by PyTorch's own quantiser for XNNPACK.
    What XNNPACK does not take (embeddings, norms) runs in ExecuTorch's own kernels.

    Args:
        longest_seconds: A lowering that takes longer counts as hung; small models take half a
            minute, bert-base a few.
    """

    name = "executorch"
    distributions = ("executorch",)
    file_name = (
        "{architecture}.B{settings.batch}-S{settings.sequence_length}.{settings.precision}.pte"
    )
    extra = "executorch"

    def __init__(self, longest_seconds: float = 1800.0) -> None:
        self._longest_seconds = longest_seconds

    def write(self, architecture: Architecture, settings: RunSettings, path: Path) -> None:
        """Lower random weights with a small vocabulary, for the batch and length of the settings.

        It takes half a minute and more, most of it in ExecuTorch itself.
        """
        with tempfile.TemporaryDirectory(dir=path.parent) as temporary:
            # the same weights that PyTorch is timed with, whatever the precision
            weights = Path(temporary) / "weights.safetensors"
            TorchCpu().write(architecture, settings, weights)
            request = {
                "weights": str(weights.resolve()),
                "target": str(path.resolve()),
                "batch": settings.batch,
                "sequence_length": settings.sequence_length,
                "precision": settings.precision,
            }
            _lower(request, self._longest_seconds)


def _lower(request: Mapping[str, Any], longest_seconds: float) -> None:
    """Lower in a child that ends with this process.

    Raises:
        LaunchFailure: The child failed, with its last words.
    """
    script = Path(__file__).resolve().with_name("lowering.py")
    with tempfile.TemporaryFile() as errors:
        # a session of its own, so that Ctrl-C reaches this process alone, which then ends it
        child = subprocess.Popen(
            # -P: the script's folder stays off its path, so that no file there shadows a library
            [sys.executable, "-P", "-W", "ignore", str(script)],
            stdin=subprocess.PIPE,
            stdout=errors,
            stderr=errors,
            start_new_session=True,
        )
        assert child.stdin is not None
        try:
            with contextlib.suppress(BrokenPipeError):  # then it says itself why it died
                child.stdin.write(json.dumps(request).encode() + b"\n")
                child.stdin.flush()  # and left open: the child ends when it is closed
            code = child.wait(longest_seconds)
        except subprocess.TimeoutExpired as error:
            detail = f"the lowering did not end within {longest_seconds:.3g} s"
            raise LaunchFailure("build-error", detail) from error
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            with contextlib.suppress(BrokenPipeError):
                child.stdin.close()
        if code != 0:
            raise LaunchFailure("build-error", f"{_way(code)}; {_last_words(errors)}")


def _way(code: int) -> str:
    """How a child ended."""
    if code == -signal.SIGKILL:
        return "the lowering was killed, as the system does where memory runs out"
    if code < 0:
        return f"the lowering ended with signal {signal.Signals(-code).name}"
    return f"the lowering ended with exit code {code}"


def _last_words(errors: IO[bytes]) -> str:
    """The end of what a child wrote."""
    size = errors.seek(0, os.SEEK_END)
    errors.seek(max(0, size - _DETAIL_CHARACTERS))
    text = errors.read().decode("utf-8", errors="replace").strip()
    return text or "it wrote nothing to stderr"
