from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from atb.data.corpus.shards import TokenShards
from atb.errors import BadFile, InputError
from atb.models.space import SearchSpace
from atb.models.superplm.superplm import SuperPLM
from atb.training.batches import TextSource
from atb.training.one_shot.objectives import Distillation
from atb.training.one_shot.teacher_cache import CachedTeacher
from atb.training.one_shot.trainer import train_superplm
from atb.training.settings import TrainingSettings
from atb.training.teacher import Teacher

Make = Callable[..., SuperPLM]


def _asked(teacher: CachedTeacher) -> list[int]:
    """How many sequences each of the encoder's calls had."""
    counts: list[int] = []
    teacher.encoder.register_forward_pre_hook(
        lambda _m, _a, known: counts.append(len(known["input_ids"])), with_kwargs=True
    )
    return counts


def test_it_says_the_same_and_is_asked_once(
    superplm: SuperPLM, text: TokenShards, tmp_path: Path
) -> None:
    teacher = Teacher.of(superplm)
    cached = CachedTeacher(teacher, text, tmp_path)
    counts = _asked(cached)
    source, rng = TextSource(text), np.random.default_rng(0)
    for rows in ([3, 1, 40], [1, 2], [40, 3, 2, 1]):
        batch = source.batch_of(np.array(rows), 0.0, rng)
        one = teacher(batch, attention=True)
        counts.pop()
        other = cached(batch, attention=True)
        for left, right in ((one.hidden, other.hidden),
                            (one.attention.logits, other.attention.logits)):  # fmt: skip
            assert torch.allclose(left, right, atol=2e-3)
    assert counts == [3, 1]
    again = CachedTeacher(teacher, text, tmp_path)
    batch = source.batch_of(np.array([40, 3, 2, 1]), 0.0, rng)
    assert torch.equal(again(batch).hidden, cached(batch).hidden)
    assert counts == [3, 1]


def test_of_sentences_their_vectors_alone_are_kept(
    superplm: SuperPLM, text: TokenShards, tmp_path: Path
) -> None:
    teacher = Teacher.of(superplm)
    cached = CachedTeacher(teacher, text, tmp_path, only_sentences=True)
    counts = _asked(cached)
    source, rng = TextSource(text), np.random.default_rng(0)
    for rows in ([3, 1, 40], [40, 3, 2, 1]):
        batch = source.batch_of(np.array(rows), 0.0, rng)
        wanted = teacher.sentences(batch)
        counts.pop()
        assert torch.allclose(cached.sentences(batch), wanted, atol=2e-3)
    assert counts == [3, 1]
    assert np.load(tmp_path / "sentences.npy").shape == (len(text), teacher.hidden_size)
    assert not (tmp_path / "hidden.npy").exists()
    masked = source.batch_of(np.array([3, 1]), 0.5, rng)
    assert not torch.allclose(
        cached.sentences(masked), cached.sentences(replace(masked, labels=None))
    )
    with pytest.raises(InputError, match="another teacher"):
        CachedTeacher(teacher, text, tmp_path)


def test_where_words_are_hidden_it_is_asked_anew(
    superplm: SuperPLM, text: TokenShards, tmp_path: Path
) -> None:
    cached = CachedTeacher(Teacher.of(superplm), text, tmp_path)
    batch = TextSource(text).batch_of(np.array([0, 1]), 0.5, np.random.default_rng(0))
    assert torch.equal(cached(batch).hidden, Teacher.of(superplm)(batch).hidden)
    assert not np.load(tmp_path / "done.npy").any()


@pytest.mark.slow
def test_training_ends_as_without_it_and_survives_a_stop(
    make_superplm: Make, text: TokenShards, space: SearchSpace, tmp_path: Path
) -> None:
    settings = TrainingSettings(
        space, steps=24, batch_size=4, learning_rate=1e-3, checkpoint_steps=5, log_steps=1
    )  # over two epochs of 43 sequences

    def run(name: str, cache: str | None, stop: int = 0) -> dict[str, torch.Tensor]:
        start = make_superplm()
        teacher = Teacher.of(start)
        if cache is not None:
            teacher = CachedTeacher(teacher, text, tmp_path / cache)

        def progress(step: object) -> None:
            if step.number == stop:
                raise KeyboardInterrupt

        trained = train_superplm(
            start, text, settings, tmp_path / name, objective=Distillation(teacher),
            progress=progress,
        )  # fmt: skip
        return trained.state_dict()

    plain, cached = run("plain", None), run("cached", "cache")
    assert all(torch.allclose(plain[name], cached[name], atol=5e-3) for name in plain)
    with pytest.raises(KeyboardInterrupt):
        run("stopped", "other cache", stop=13)
    stopped = run("stopped", "other cache")
    assert all(torch.equal(cached[name], stopped[name]) for name in cached)


def test_what_does_not_belong_together_is_told(
    make_superplm: Make, text: TokenShards, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher = Teacher.of(make_superplm())
    CachedTeacher(teacher, text, tmp_path / "cache")
    with pytest.raises(InputError, match="or of another text"):
        CachedTeacher(teacher, replace(text, sha256="other"), tmp_path / "cache")
    (tmp_path / "cache" / "key.npy").write_bytes(b"torn")
    with pytest.raises(BadFile, match="remove it"):
        CachedTeacher(teacher, text, tmp_path / "cache")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(InputError, match=r"takes 0\.0 GB"):
        CachedTeacher(teacher, text, tmp_path / "full")
