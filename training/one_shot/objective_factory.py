"""Objectives and their teachers, by the names of the command line and of recipes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from atb.data import TextModel
from atb.data.corpus import TokenShards
from atb.data.tokenizer import Vocabulary
from atb.errors import InputError
from atb.models.superplm import BUNDLED, CARD, SuperPLM, load_superplm
from atb.training import Objective, ObjectiveName, Teacher
from atb.training.one_shot.objectives import (
    Distillation,
    Inheritance,
    LogitDistillation,
    MaskedLanguageModelling,
    RelationDistillation,
)
from atb.training.one_shot.teacher_cache import CachedTeacher


def objective_of(
    name: ObjectiveName,
    superplm: SuperPLM,
    vocabulary: Vocabulary,
    teacher: str | None,
    *,
    weights: Mapping[str, float] = MappingProxyType({}),
    relation_heads: int | None = None,
    annealed: float | None = None,
    cache: tuple[TokenShards, Path] | None = None,
) -> Objective:
    """An objective by name.

    Args:
        name: Name of the objective.
        superplm: The model to be trained.
        vocabulary: Vocabulary of the SuperPLM.
        teacher: As for `load_teacher`; the SuperPLM itself as it starts when None.
        weights: Weights of terms of `kd` and `sentences` that are not as usual, by `hidden`,
            `attention`, `sentence` and `similarity`; see `Distillation`.
        relation_heads: Most relation heads of `relations`; 12 when None.
        annealed: Share of the run in which the distillation weight of `inherit` falls to zero; all
            of it when None.
        cache: A text and a folder in which outputs of the teacher are kept.

    Raises:
        InputError: Something was given that the objective has no use for, or the teacher does not
            fit the SuperPLM.
    """
    _check_options(
        name,
        {
            "--teacher": (teacher, ("kd", "sentences", "relations", "inherit")),
            **{f"--{term}-weight": (w, ("kd", "sentences")) for term, w in weights.items()},
            "--relation-heads": (relation_heads, ("relations", "inherit")),
            "--annealed": (annealed, ("inherit",)),
            "--teacher-cache": (cache, ("kd", "sentences", "relations")),
        },
    )
    if name == "mlm":
        superplm.check_mlm_head()
        return MaskedLanguageModelling()
    loaded = _load_for(superplm, vocabulary, teacher)
    if name in ("kd", "sentences"):
        plain = Distillation(loaded) if name == "kd" else Distillation.of_sentences(loaded)
        changes: Any = {f"{term}_weight": weight for term, weight in weights.items()}
        objective = replace(plain, **changes)
        if cache is not None:
            loaded = CachedTeacher(loaded, *cache, only_sentences=not objective.wants_tokens)
        return replace(objective, teacher=loaded)
    loaded = loaded if cache is None else CachedTeacher(loaded, *cache)
    share = 1.0 if annealed is None else annealed
    if name == "inherit" and loaded.has_head:
        if relation_heads is not None:
            raise InputError(
                f"The teacher {teacher} has a masked-LM head: leave --relation-heads out."
            )
        return Inheritance(LogitDistillation(loaded), share)
    relations = RelationDistillation(loaded, relation_heads or 12)
    return relations if name == "relations" else Inheritance(relations, share)


def _check_options(name: ObjectiveName, options: Mapping[str, tuple[Any, Sequence[str]]]) -> None:
    """Refuse an option that an objective has no use for.

    Args:
        name: Which objective.
        options: Of each option what was given, and the objectives that read it.
    """
    for option, (given, readers) in options.items():
        if given is not None and name not in readers:
            raise InputError(f"--objective {name} has no use for {option}: leave it out.")


def _load_for(superplm: SuperPLM, vocabulary: Vocabulary, name: str | None) -> Teacher:
    """The teacher of a SuperPLM, with the same vocabulary."""
    loaded = Teacher.of(superplm) if name is None else load_teacher(name)
    if loaded.vocabulary_sha256 not in (None, vocabulary.sha256):
        raise InputError(
            f"The teacher {name} has another vocabulary than the SuperPLM: choose one with "
            "the same words in the same order."
        )
    return loaded


def open_text(folder: Path, model: TextModel) -> TokenShards:
    """Token shards for a model.

    Args:
        folder: Folder of the shards.
        model: The model that is to read them.

    Raises:
        BadFile: There are no shards, or damaged ones.
        InputError: They were prepared with another vocabulary, or with longer sequences.
    """
    shards = TokenShards.open(folder)
    model.check_text(shards, folder)
    return shards


def load_teacher(name: str, *, download: bool = True) -> Teacher:
    """A bundled SuperPLM, one from a folder, or a transformers model.

    Args:
        name: Name of a bundled SuperPLM, a folder, or the name of a model on the hub.
        download: Whether what is not on this machine may be fetched from the hub.

    Raises:
        InputError: There is no such teacher.
        BadFile: It is damaged, or of another kind.
    """
    if name in BUNDLED or (Path(name) / CARD).is_file():
        return Teacher.of(load_superplm(name))
    return Teacher.load(name, download=download)
