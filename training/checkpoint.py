"""Checkpoints of a training run: whole or not at all, and nothing in them is ever executed.

A run's folder holds `checkpoints/step-00000200/` with `superplm/` (weights and card),
`optimizer.safetensors` and `checkpoint.json`; the last file makes it whole. Format 1.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from atb.errors import BadFile
from atb.files import read_document, write_document
from atb.models.superplm import SuperPLM, read_tensors, write_tensors
from atb.training.identity import check_same_run

KIND, FORMAT = "training-checkpoint", 1
_OPTIMIZER = "optimizer.safetensors"
_CARD = "checkpoint.json"


def save_checkpoint(
    folder: Path,
    superplm: SuperPLM,
    optimizer: torch.optim.Optimizer,
    *,
    step: int,
    tokens: int,
    run: Mapping[str, Any],
) -> None:
    """Write a checkpoint, then remove the older ones.

    Args:
        folder: Folder of the run.
        superplm: The model that is trained.
        optimizer: Its moments are stored.
        step: Number of steps done.
        tokens: Number of tokens seen.
        run: What the run depends on; the same is asked for on resuming.
    """
    checkpoints = folder / "checkpoints"
    checkpoints.mkdir(parents=True, exist_ok=True)
    for left_over in checkpoints.glob(".partial-*"):  # of a run that was killed while writing
        shutil.rmtree(left_over)
    older = list(checkpoints.glob("step-*"))
    partial = checkpoints / f".partial-{step:08}"
    partial.mkdir()  # with the user's umask, unlike a temporary folder
    try:
        superplm.save(partial / "superplm")
        moments = {
            f"{name}/{key}": value
            for name, parameter in superplm.named_parameters()
            for key, value in optimizer.state.get(parameter, {}).items()
        }
        write_tensors(moments, partial / _OPTIMIZER)
        card = {"step": step, "tokens": tokens, "run": dict(run)}
        write_document(partial / _CARD, card, kind=KIND, format=FORMAT)
        partial.rename(checkpoints / f"step-{step:08}")
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    for path in older:
        shutil.rmtree(path)


def load_checkpoint(
    folder: Path, superplm: SuperPLM, optimizer: torch.optim.Optimizer, run: Mapping[str, Any]
) -> tuple[int, int]:
    """Take weights and moments from the newest checkpoint, if there is one.

    Returns:
        Steps done and tokens seen; zeros without a checkpoint.

    Raises:
        InputError: The folder holds a run with other settings.
        BadFile: The checkpoint is damaged.
    """
    found = sorted((folder / "checkpoints").glob("step-*"))
    if not found:
        return 0, 0
    newest = found[-1]
    card = read_document(newest / _CARD, kind=KIND, format=FORMAT)
    check_same_run(card.get("run"), run, folder)
    superplm.fill(SuperPLM.load(newest / "superplm").state_dict(), newest)
    parameters = dict(superplm.named_parameters())
    for full_name, value in read_tensors(newest / _OPTIMIZER).items():
        name, _, key = full_name.partition("/")
        if name not in parameters:
            raise BadFile(f"{newest / _OPTIMIZER} holds moments of {name}, which is no parameter.")
        optimizer.state[parameters[name]][key] = value.to(parameters[name].device)
    return int(card["step"]), int(card["tokens"])
