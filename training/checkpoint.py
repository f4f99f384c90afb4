"""Checkpoints of a training run: whole or not at all, and nothing in them is ever executed.

A run's folder holds `checkpoints/step-00000200/` with `superplm/` (weights and card),
`optimizer.safetensors` and `checkpoint.json`; the last file makes it whole. Format 1.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from atb.errors import BadFile, InputError
from atb.files import read_document, write_document
from atb.models.card import read_tensors
from atb.models.superplm import SuperPLM

__all__ = ["load_checkpoint", "save_checkpoint"]

KIND, FORMAT = "training-checkpoint", 1
_OPTIMIZER = "optimizer.safetensors"
_CARD = "checkpoint.json"


def save_checkpoint(
    folder: Path,
    step: int,
    superplm: SuperPLM,
    optimizer: torch.optim.Optimizer,
    run: Mapping[str, Any],
) -> None:
    """Write a checkpoint, then remove the older ones.

    Args:
        folder: Of the run.
        step: Steps done.
        superplm: The weights.
        optimizer: Its moments.
        run: What the run depends on; the same is asked for on resuming.
    """
    from safetensors.torch import save_file

    checkpoints = folder / "checkpoints"
    checkpoints.mkdir(parents=True, exist_ok=True)
    for left_over in checkpoints.glob(".partial-*"):  # of a run that was killed while writing
        shutil.rmtree(left_over)
    older = list(checkpoints.glob("step-*"))
    partial = Path(tempfile.mkdtemp(dir=checkpoints, prefix=".partial-"))
    try:
        superplm.save(partial / "superplm")
        moments = {
            f"{name}/{key}": value.contiguous()
            for name, parameter in superplm.named_parameters()
            for key, value in optimizer.state.get(parameter, {}).items()
        }
        save_file(moments, partial / _OPTIMIZER)
        write_document(partial / _CARD, {"step": step, "run": dict(run)}, kind=KIND, format=FORMAT)
        partial.rename(checkpoints / f"step-{step:08}")
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    for path in older:
        shutil.rmtree(path)


def load_checkpoint(
    folder: Path, superplm: SuperPLM, optimizer: torch.optim.Optimizer, run: Mapping[str, Any]
) -> int:
    """Take weights and moments from the newest checkpoint, if there is one.

    Returns:
        Steps done; 0 without a checkpoint.

    Raises:
        InputError: The folder holds a run with other settings.
        BadFile: The checkpoint is damaged.
    """
    found = sorted((folder / "checkpoints").glob("step-*"))
    if not found:
        return 0
    newest = found[-1]
    card = read_document(newest / _CARD, kind=KIND, format=FORMAT)
    check_same_run(card.get("run"), run, folder)
    superplm.fill(SuperPLM.load(newest / "superplm").state_dict(), newest)
    parameters = dict(superplm.named_parameters())
    for full_name, value in read_tensors(newest / _OPTIMIZER).items():
        name, _, key = full_name.partition("/")
        if name not in parameters:
            raise BadFile(f"{newest / _OPTIMIZER} holds moments of {name}, which is no parameter.")
        optimizer.state[parameters[name]][key] = _placed(value)
    return int(card["step"])


def check_same_run(found: Any, run: Mapping[str, Any], folder: Path) -> None:
    """Refuse to continue one run with the settings of another.

    Raises:
        InputError: They differ; the message says in what.
    """
    if not isinstance(found, dict):
        raise BadFile(f"{folder} holds a damaged checkpoint: choose another --out.")
    differing = sorted(
        name for name in {*found, *run} if found.get(name, None) != run.get(name, None)
    )
    if differing:
        name = differing[0]
        raise InputError(
            f"{folder} holds a run with another {name}: give the same settings to resume it, or "
            "choose another --out."
        )


def _placed(value: Tensor) -> Tensor:
    """A tensor of its own memory, since the file's mapping goes away."""
    return value.clone()
