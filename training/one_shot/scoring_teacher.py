"""The target of the distillation score: the teacher that a SuperPLM learnt from.

A SuperPLM's card names that teacher, with a hash of its weights. Where it cannot be had, slices are
held against the whole SuperPLM, which ranks them otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atb.errors import BadFile, InputError
from atb.models.superplm import CARD, SuperPLM, read_card
from atb.training import Objective, Teacher, fingerprint
from atb.training.one_shot.objective_factory import load_teacher
from atb.training.one_shot.objectives import Distillation

_WHOLE = "the whole SuperPLM"


@dataclass(frozen=True, slots=True)
class ScoreTeacher:
    """The target that slices are scored against.

    Attributes:
        teacher: The teacher; None for the whole SuperPLM.
        description: The same in words, with the reason where it is not that of training.
    """

    teacher: Teacher | None
    description: str

    @classmethod
    def given(cls, teacher: Teacher) -> ScoreTeacher:
        """A teacher that is there already."""
        return cls(teacher, teacher.name or "a given teacher")


def described_teacher(objective: Objective) -> dict[str, Any]:
    """What a card says of the teacher of a training run, by the name of the entry.

    Empty where a SuperPLM does not learn to put out what a teacher puts out: relations and
    vocabulary logits are no states that a slice can be held against.
    """
    if not isinstance(objective, Distillation):
        return {}
    teacher = objective.teacher
    return {"teacher": {"name": teacher.name, "sha256": fingerprint(teacher.encoder)}}


def score_teacher(superplm: SuperPLM, name: str | None = None) -> ScoreTeacher:
    """Find the teacher that a SuperPLM learnt from.

    Args:
        superplm: The SuperPLM whose slices are to be scored.
        name: Name or folder of the teacher, as for `load_teacher`; the card's when None.

    Raises:
        InputError: A name was given, and there is no such teacher or it is another one.
        BadFile: A name was given, and what is there is damaged or of another kind.
    """
    learnt_from = _learnt_from(superplm.folder)
    if name is not None:
        teacher = load_teacher(name)
        if learnt_from is not None and fingerprint(teacher.encoder) != learnt_from["sha256"]:
            raise InputError(
                f"{name} holds other weights than the teacher that the SuperPLM learnt from: give "
                "that one with --teacher, or leave the option out."
            )
        return ScoreTeacher.given(teacher)
    if learnt_from is None:
        return ScoreTeacher(None, _WHOLE)
    known = learnt_from.get("name")
    if known is None:
        return _instead("its card does not say where the teacher is that it learnt from")
    try:
        teacher = load_teacher(known, download=False)
    except (InputError, BadFile):
        return _instead(f"the teacher {known} that it learnt from cannot be read")
    if fingerprint(teacher.encoder) != learnt_from["sha256"]:
        return _instead(f"{known} holds other weights than the teacher that it learnt from")
    return ScoreTeacher.given(teacher)


def _instead(reason: str) -> ScoreTeacher:
    return ScoreTeacher(None, f"{_WHOLE}, since {reason} (name it with --teacher)")


def _learnt_from(folder: Path | None) -> Mapping[str, Any] | None:
    """Name and hash of the teacher, by the card; None where there was none."""
    if folder is None or not (folder / CARD).is_file():
        return None
    facts = read_card(folder).facts
    try:
        if "teacher" in facts:
            return {"name": facts["teacher"]["name"], "sha256": str(facts["teacher"]["sha256"])}
        objective = facts.get("run", {}).get("objective", {})
        # cards of before tell the hash alone
        is_taught = objective.get("name") == "Distillation"
        return {"sha256": str(objective["teacher"])} if is_taught else None
    except (KeyError, TypeError, AttributeError) as error:
        raise BadFile(
            f"{folder / CARD} is damaged ({error}): take the folder from its source again."
        ) from error
