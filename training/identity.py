"""What a training run depends on, so that one run is never continued as another."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from atb.errors import BadFile, InputError
from atb.models.superplm import SuperPLM
from atb.training.batches import Source
from atb.training.contract import Objective
from atb.training.settings import TrainingSettings
from atb.training.teacher import Teacher

# Fields of objectives that cards and checkpoints call otherwise than the code does.
_WRITTEN_AS = {"distillation": "taught"}


def run_identity(
    superplm: SuperPLM, source: Source, settings: TrainingSettings, objective: Objective
) -> dict[str, Any]:
    """Settings, text, objective and starting weights, as JSON reads them back."""
    identity = {
        "settings": settings.to_json(),
        "text": source.sha256,
        "objective": _described(objective),
        "starting_point": fingerprint(superplm),
    }
    if superplm.slice_layers != "bottom":  # told where it is so, so that older runs go on
        identity["slice_layers"] = superplm.slice_layers
    read_back: dict[str, Any] = json.loads(json.dumps(identity))
    return read_back


def check_same_run(found: Any, run: Mapping[str, Any], folder: Path) -> None:
    """Refuse to continue one run with the settings of another.

    Args:
        found: Identity of the run that the folder holds.
        run: Identity of the run that is asked for.
        folder: Folder of the run, for messages.

    Raises:
        InputError: They differ; the message says in what.
        BadFile: The folder does not say.
    """
    if not isinstance(found, dict):
        raise BadFile(f"{folder} does not tell its run: choose another --out.")
    for name, wanted in run.items():
        if found.get(name) != wanted:
            other = "other" if name.endswith("s") else "another"
            raise InputError(
                f"{folder} holds a run with {other} {name.replace('_', ' ')}: give the same to "
                "resume it, or choose another --out."
            )


def _described(objective: Any) -> dict[str, Any]:
    """An objective's numbers, and the fingerprint of its teacher."""
    described: dict[str, Any] = {"name": type(objective).__name__}
    for field in fields(objective) if is_dataclass(objective) else ():
        value = getattr(objective, field.name)
        if "told" in field.metadata and value == field.default:
            continue  # came later: older runs go on
        if isinstance(value, Teacher):
            value = fingerprint(value.encoder)
        elif is_dataclass(value):
            value = _described(value)
        described[_WRITTEN_AS.get(field.name, field.name)] = value
    return described


def fingerprint(module: nn.Module) -> str:
    """Hash over all weights."""
    digest = hashlib.sha256()
    for name, parameter in sorted(module.named_parameters()):
        digest.update(name.encode())
        # as bytes: NumPy has no bfloat16
        flat = parameter.detach().cpu().contiguous().view(-1)
        digest.update(flat.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
