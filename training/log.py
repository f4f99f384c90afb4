"""Metrics of a run: JSON lines always, TensorBoard's files where asked for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from atb.errors import MissingExtra

#: One JSON object a line, in the folder of the run.
LOG = "losses.jsonl"
_TENSORBOARD = "tensorboard"


class MetricsLog:
    """A log that continues where a run does; to be closed."""

    def __init__(self, folder: Path, step: int, *, tensorboard: bool = False) -> None:
        """Open it, without what is about to be repeated.

        Args:
            folder: Folder of the run.
            step: Number of steps done; later lines are dropped.
            tensorboard: Whether to write TensorBoard's files too.

        Raises:
            MissingExtra: TensorBoard is not installed.
        """
        self._writer: Any = None
        if tensorboard:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError as error:
                raise MissingExtra(
                    "TensorBoard",
                    "tensorboard",
                    wanted_for="--tensorboard",
                    instead="or leave the option out: losses.jsonl holds the same",
                ) from error
            self._writer = SummaryWriter(folder / _TENSORBOARD, purge_step=step + 1)
        self._file = _reopened(folder / LOG, step)

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """Add what is known after a step."""
        self._file.write(json.dumps({"step": step, **metrics}) + "\n")
        self._file.flush()
        if self._writer is not None:
            for name, value in metrics.items():
                self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Write what is held back."""
        self._file.close()
        if self._writer is not None:
            self._writer.close()


def _reopened(path: Path, step: int) -> TextIO:
    """The file, without lines of steps that are about to be repeated."""
    kept = []
    if path.is_file():
        for line in path.read_text("utf-8").splitlines():
            try:
                if json.loads(line)["step"] <= step:
                    kept.append(line)
            except (json.JSONDecodeError, KeyError):  # the last line of a run that was killed
                break
    path.write_text("".join(f"{line}\n" for line in kept), "utf-8")
    return path.open("a", encoding="utf-8")
