"""How a model came about: a list of stages that travels from folder to folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from atb.errors import BadFile
from atb.files import read_document, write_document

HISTORY = "history.json"
#: Format history: 1, the first.
_KIND, _FORMAT = "model-history", 1

StageName = Literal["import", "extract", "improve", "train", "finetune"]


@dataclass(frozen=True, slots=True)
class Stage:
    """One thing that was done to a model.

    Attributes:
        name: What was done, a word of the command line.
        facts: Inputs and results of the stage by name; plain JSON values.
    """

    name: StageName
    facts: Mapping[str, Any] = field(default_factory=dict)


def read_history(folder: Path) -> tuple[Stage, ...]:
    """The stages that a folder tells, the first one first; none where it tells nothing.

    Raises:
        BadFile: The file is damaged or of another format.
    """
    path = folder / HISTORY
    if not path.is_file():
        return ()
    document = read_document(path, kind=_KIND, format=_FORMAT)
    try:
        return tuple(Stage(stage["name"], dict(stage["facts"])) for stage in document["stages"])
    except (KeyError, TypeError, ValueError) as error:
        raise BadFile(f"{path} is damaged: remove it, and the model keeps working.") from error


def write_history(folder: Path, stages: tuple[Stage, ...]) -> None:
    """Write the stages into a model's folder, whole or not at all."""
    content = {"stages": [{"name": stage.name, "facts": dict(stage.facts)} for stage in stages]}
    write_document(folder / HISTORY, content, kind=_KIND, format=_FORMAT)


def last_stage(stages: tuple[Stage, ...], name: StageName) -> Mapping[str, Any] | None:
    """Facts of the latest stage of a name; None where there was none."""
    return next((stage.facts for stage in reversed(stages) if stage.name == name), None)
