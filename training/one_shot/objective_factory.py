"""Objectives by name, with their teachers, as the command line and recipes say them."""

from __future__ import annotations

from pathlib import Path

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

__all__ = ["load_teacher", "objective_of", "open_text"]


def objective_of(
    name: ObjectiveName,
    superplm: SuperPLM,
    vocabulary: Vocabulary,
    teacher: str | None,
    *,
    attention_weight: float | None = None,
    relation_heads: int | None = None,
    annealed: float | None = None,
    cache: tuple[TokenShards, Path] | None = None,
) -> Objective:
    """An objective by name.

    Args:
        name: Which one.
        superplm: What is to be trained.
        vocabulary: Of the SuperPLM.
        teacher: See `load_teacher`; the SuperPLM itself as it starts when None.
        attention_weight: Of `kd`'s attention term; 1 when None.
        relation_heads: The most of `relations`; 12 when None.
        annealed: Share of the run in which the teacher of `inherit` fades; all when None.
        cache: The text and a folder, to keep there what the teacher of `kd` and `relations` says.

    Raises:
        InputError: Something was given that the objective has no use for, or the teacher does not
            fit the SuperPLM.
    """
    unused = {
        "--teacher": name == "mlm" and teacher is not None,
        "--attention-weight": name != "kd" and attention_weight is not None,
        "--relation-heads": name not in ("relations", "inherit") and relation_heads is not None,
        "--annealed": name != "inherit" and annealed is not None,
        "--teacher-cache": name not in ("kd", "relations") and cache is not None,
    }
    for option, is_unused in unused.items():
        if is_unused:
            raise InputError(f"--objective {name} has no use for {option}: leave it out.")
    if name == "mlm":
        superplm.check_mlm_head()
        return MaskedLanguageModelling()
    loaded = Teacher.of(superplm) if teacher is None else load_teacher(teacher)
    if loaded.vocabulary_sha256 not in (None, vocabulary.sha256):
        raise InputError(
            f"The teacher {teacher} has another vocabulary than the SuperPLM: choose one with "
            "the same words in the same order."
        )
    if cache is not None:
        loaded = CachedTeacher(loaded, *cache)
    if name == "kd":
        return Distillation(
            loaded, attention_weight=1.0 if attention_weight is None else attention_weight
        )
    if name == "inherit" and loaded.has_head:
        if relation_heads is not None:
            raise InputError(
                f"The teacher {teacher} has a masked-LM head to inherit from: leave "
                "--relation-heads out."
            )
        return Inheritance(LogitDistillation(loaded), 1.0 if annealed is None else annealed)
    relations = RelationDistillation(loaded, relation_heads or 12)
    if name == "relations":
        return relations
    return Inheritance(relations, 1.0 if annealed is None else annealed)


def open_text(folder: Path, model: TextModel) -> TokenShards:
    """Token shards for a model.

    Args:
        folder: Of the shards.
        model: What is to read them.

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
        name: Of the one, the folder of the other, or the name of the third on the hub.
        download: Whether what is not on this machine may be fetched from the hub.

    Raises:
        InputError: There is no such teacher.
        BadFile: It is damaged, or of another kind.
    """
    if name in BUNDLED or (Path(name) / CARD).is_file():
        return Teacher.of(load_superplm(name))
    return Teacher.load(name, download=download)
