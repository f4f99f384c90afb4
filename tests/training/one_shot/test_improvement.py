"""A model that learns on from its teacher for a given time."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from atb.data.corpus.shards import Shard, TokenShards
from atb.errors import BadFile, InputError
from atb.models.architecture import Architecture
from atb.models.superplm.superplm import SuperPLM
from atb.training.batches import TextSource
from atb.training.contract import outcome
from atb.training.one_shot.improvement import improve, slice_alone
from atb.training.one_shot.objectives import Distillation
from atb.training.teacher import Teacher

SLICE = Architecture(1, 16, 2, 16, 24)


@pytest.fixture
def sentences() -> TokenShards:
    rng = np.random.default_rng(0)
    lengths = rng.integers(5, 17, size=600).astype(np.uint16)
    rows = [[101, *rng.integers(1000, 1100, length - 2), 102] for length in lengths]
    shard = Shard(np.concatenate(rows).astype(np.uint16), lengths)
    return TokenShards((shard,), 16, 1100, "vocabulary", "sentences")


@pytest.fixture
def whole(make_superplm: Callable[..., SuperPLM]) -> SuperPLM:
    made = make_superplm(mlm=False)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.manual_seed(1)) * 0.1)
    return made


def loss_of(model: SuperPLM, teacher: Teacher, text: TokenShards) -> float:
    objective = Distillation.of_sentences(teacher)
    batch = TextSource(text).batch_of(np.arange(len(text)), 0.0, np.random.default_rng(0))
    with torch.no_grad():
        found = outcome(objective, model, model.architecture, batch, objective.prepare(batch))
    return float(found.loss)


def test_a_model_learns_for_as_long_as_it_is_given_and_the_same_call_reads_it(
    whole: SuperPLM, sentences: TokenShards, tmp_path: Path
) -> None:
    teacher, model = Teacher.of(whole), slice_alone(whole, SLICE)
    words: list[str] = []
    improved = improve(
        model, sentences, teacher, tmp_path, seconds=3.0, progress=lambda *now: words.append(now[2])
    )
    assert loss_of(improved, teacher, sentences) < 0.9 * loss_of(model, teacher, sentences)
    assert words[0] == "asking the teacher about sentences"
    assert words[-1].startswith("improving the model, loss ")
    plan = json.loads((tmp_path / "plan.json").read_text("utf-8"))
    assert plan["sentences"] == 600
    assert plan["steps"] == sum(word.startswith("improving") for word in words)
    again = improve(model, sentences, teacher, tmp_path, seconds=3.0)
    for name, parameter in again.named_parameters():
        assert torch.equal(parameter, improved.get_parameter(name))


def test_a_stopped_run_goes_on_by_its_plan(
    whole: SuperPLM, sentences: TokenShards, tmp_path: Path
) -> None:
    teacher, model, steps = Teacher.of(whole), slice_alone(whole, SLICE), []

    def stop(done: int, total: int, word: str) -> None:
        if word.startswith("improving") and done == 2:
            steps.append(total)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        improve(model, sentences, teacher, tmp_path, seconds=1.0, progress=stop)
    for name in ("sentences.npy", "done.npy"):
        assert (tmp_path / "teacher" / name).is_file()
    improve(
        model, sentences, teacher, tmp_path, seconds=1.0, progress=lambda *now: steps.append(now[1])
    )
    assert steps[-1] == steps[0]


def test_what_does_not_fit_is_refused(
    whole: SuperPLM, sentences: TokenShards, text: TokenShards, tmp_path: Path
) -> None:
    teacher, model = Teacher.of(whole), slice_alone(whole, SLICE)
    with pytest.raises(InputError, match="43 sentences"):
        improve(model, text, teacher, tmp_path / "few", seconds=1.0)
    improve(model, sentences, teacher, tmp_path / "run", seconds=0.5)
    with pytest.raises(InputError, match="another model"):
        improve(model, sentences, teacher, tmp_path / "run", seconds=0.6)
    (tmp_path / "run" / "plan.json").write_text('{"format": 1, "kind": "improvement"}', "utf-8")
    with pytest.raises(BadFile, match="damaged"):
        improve(model, sentences, teacher, tmp_path / "run", seconds=0.5)


def test_a_slice_alone_computes_what_it_did_in_the_superplm(whole: SuperPLM) -> None:
    alone = slice_alone(whole, SLICE)
    tokens = torch.randint(1000, 1100, (2, 9), generator=torch.manual_seed(0))
    with torch.no_grad():
        one, other = whole.hidden_states(SLICE, tokens), alone.hidden_states(SLICE, tokens)
        assert torch.allclose(one, other, atol=1e-6)
        assert torch.allclose(whole.projected(SLICE, one), alone.projected(SLICE, other), atol=1e-6)
    assert alone.architecture == SLICE
