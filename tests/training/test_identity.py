"""What a run tells of itself, by which it is found again."""

from __future__ import annotations

from atb.data.corpus.shards import TokenShards
from atb.models.space import SearchSpace
from atb.models.superplm.superplm import SuperPLM
from atb.training.batches import TextSource
from atb.training.identity import run_identity
from atb.training.one_shot.objectives import Inheritance, RelationDistillation
from atb.training.settings import TrainingSettings
from atb.training.teacher import Teacher


def test_runs_of_before_know_inheritance_by_its_older_entry(
    superplm: SuperPLM, text: TokenShards, space: SearchSpace
) -> None:
    objective = Inheritance(RelationDistillation(Teacher.of(superplm)))
    identity = run_identity(superplm, TextSource(text), TrainingSettings(space, steps=1), objective)
    assert set(identity["objective"]) == {"name", "taught", "annealed", "mask_probability"}
    assert identity["objective"]["taught"]["name"] == "RelationDistillation"
