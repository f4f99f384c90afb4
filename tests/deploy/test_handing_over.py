"""The winner of a search as it is handed over: how good it is, improved or as it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from search_world import result_of

from atb.data.corpus.sentence_pairs import SentencePairs
from atb.data.tokenizer.tokenizer_files import read_vocabulary
from atb.deploy import handing_over
from atb.deploy.handing_over import Improvement, hand_over
from atb.errors import InputError
from atb.models.architecture import Architecture
from atb.models.superplm.superplm import SuperPLM
from atb.search.result import SearchResult, read_result

LARGEST, SLICE = Architecture(2, 48, 4, 64, 96), Architecture(1, 40, 4, 32, 64)


@pytest.fixture(scope="module")
def superplm() -> SuperPLM:
    torch.manual_seed(0)
    made = SuperPLM.from_architecture(
        LARGEST, projection_size=48, positions=128, slice_layers="even"
    )
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn(parameter.shape) * 0.05)
    return made.eval()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "superplm"
    folder.mkdir()
    read_vocabulary().save(folder)
    return folder


@pytest.fixture
def found(world: Any) -> SearchResult:
    return result_of(world, SLICE)


def test_the_result_and_the_card_tell_what_the_winner_keeps(
    superplm: SuperPLM, source: Path, found: SearchResult, tmp_path: Path
) -> None:
    out = tmp_path / "search"
    out.mkdir()
    handed = hand_over(found, superplm, out, source=source, teacher_seconds=0.008)
    quality = handed.quality
    assert quality is not None
    assert (quality.count, quality.pairs) == (600, "the shipped sentence pairs")
    assert quality.teacher_seconds == 0.008
    assert 0 < quality.ranking < 1
    assert quality.improved_seconds == 0
    assert quality.slice_ranking is None
    assert read_result(out / "result.json") == handed
    card = (out / "model" / "README.md").read_text("utf-8")
    assert f"**{quality.ranking:.1%}**" in card
    assert "600 sentence pairs" in card


@pytest.mark.slow
def test_an_improved_winner_is_what_is_written_and_the_same_call_makes_nothing_again(
    superplm: SuperPLM,
    source: Path,
    found: SearchResult,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / "search"
    out.mkdir()
    plain = hand_over(found, superplm, out, source=source)
    before = (out / "model" / "model.safetensors").read_bytes()
    improvement = Improvement(5.0)
    handed = hand_over(plain, superplm, out, source=source, improvement=improvement)
    assert handed.quality is not None
    assert plain.quality is not None
    assert handed.quality.slice_ranking == plain.quality.ranking
    assert handed.quality.ranking > plain.quality.ranking
    assert (out / "model" / "model.safetensors").read_bytes() != before
    stages = json.loads((out / "model" / "history.json").read_text("utf-8"))["stages"]
    assert [stage["name"] for stage in stages] == ["extract", "improve"]
    assert stages[1]["facts"]["seconds"] == 5.0
    monkeypatch.setattr(handing_over, "export_model", None)
    assert hand_over(handed, superplm, out, source=source, improvement=improvement) == handed


def test_own_pairs_are_told_in_place_of_the_shipped_ones(
    superplm: SuperPLM, source: Path, found: SearchResult, tmp_path: Path
) -> None:
    out = tmp_path / "search"
    out.mkdir()
    first = tuple(f"the house number {n} is old" for n in range(12))
    pairs = SentencePairs(first, tuple(reversed(first)), None, "mine.csv")
    handed = hand_over(found, superplm, out, source=source, pairs=pairs)
    assert handed.quality is not None
    assert (handed.quality.count, handed.quality.pairs) == (12, "mine.csv")
    assert handed.quality.scores is None


def test_what_would_fail_after_the_search_is_refused_before_it(superplm: SuperPLM) -> None:
    few = SentencePairs(("one house",) * 20, ("two trees",) * 20, None, "few")
    with pytest.raises(InputError, match="40 sentences"):
        Improvement(1.0, few.tokens(read_vocabulary(), 16)).check(superplm)
    Improvement(1.0).check(superplm)
    with pytest.raises(InputError, match="without a task"):
        Improvement(1.0).check(superplm.with_task_head("classification", 2, dropout=0.0))


def test_what_tells_no_vectors_is_handed_over_without_quality_and_not_improved(
    source: Path, found: SearchResult, tmp_path: Path
) -> None:
    out = tmp_path / "search"
    out.mkdir()
    bare = SuperPLM.from_architecture(LARGEST, positions=128, with_mlm_head=True).eval()
    with pytest.raises(InputError, match="projection"):
        hand_over(found, bare, out, source=source, improvement=Improvement(1.0))
    assert hand_over(found, bare, out, source=source).quality is None
    assert (out / "model" / "model.onnx").is_file()
