"""What slices keep of a teacher's judgement of sentences."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch.nn.functional import normalize

from atb.data.corpus.sentence_pairs import SentencePairs
from atb.data.tokenizer.tokenizer_files import read_vocabulary
from atb.errors import InputError
from atb.models.architecture import Architecture
from atb.models.superplm.superplm import SuperPLM
from atb.training.one_shot.agreement import NEAREST, AgreementScorer

WORDS = ("dog", "cat", "house", "river", "man", "child", "runs", "sleeps", "old", "green", "water")
WHOLE, SLICE = Architecture(2, 32, 2, 32, 64), Architecture(1, 16, 1, 16, 32)


def invented_pairs(*, scores: bool = True) -> SentencePairs:
    rng = np.random.default_rng(0)
    first, second = (
        tuple(" ".join(rng.choice(WORDS, rng.integers(3, 9))) for _ in range(25)) for _ in range(2)
    )
    graded = tuple(float(n) for n in rng.integers(0, 6, 25)) if scores else None
    return SentencePairs(first, second, graded, "invented")


@pytest.fixture(scope="module")
def superplm() -> SuperPLM:
    torch.manual_seed(0)
    made = SuperPLM.from_architecture(WHOLE, positions=32, projection_size=32)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn(parameter.shape) * 0.2)
    return made.eval()


def vectors_of(superplm: SuperPLM, shape: Architecture, sentences: tuple[str, ...]) -> torch.Tensor:
    """One sentence at a time, by the extracted model."""
    model, found = superplm.extract(shape), []
    for sentence in sentences:
        ids = torch.tensor([read_vocabulary().tokenizer().encode(sentence).ids])
        with torch.no_grad():
            found.append(model.projection(model(ids).last_hidden_state).mean(1))
    return normalize(torch.cat(found), dim=-1)


def test_a_slice_is_scored_by_what_the_extracted_model_says(superplm: SuperPLM) -> None:
    pairs = invented_pairs()
    scorer = AgreementScorer(superplm, read_vocabulary(), pairs, batch_size=7)
    found = scorer.score(SLICE)
    vectors, cosines, nearest = [], [], []
    for shape in (SLICE, WHOLE):
        both = vectors_of(superplm, shape, pairs.first + pairs.second)
        alike = both @ both.T - 2 * torch.eye(len(both))
        vectors.append(both)
        cosines.append((both[:25] * both[25:]).sum(1))
        nearest.append(alike.topk(NEAREST).indices.tolist())
    kept = [len(set(one) & set(other)) / NEAREST for one, other in zip(*nearest, strict=True)]
    assert found.ranking == pytest.approx(spearmanr(*cosines).statistic, abs=1e-3)
    assert found.nearest == pytest.approx(np.mean(kept), abs=0.01)
    assert found.scores == pytest.approx(spearmanr(cosines[0], pairs.scores).statistic, abs=1e-3)
    assert found.teacher_scores == pytest.approx(
        spearmanr(cosines[1], pairs.scores).statistic, abs=1e-3
    )


def test_the_whole_agrees_with_itself_entirely(superplm: SuperPLM) -> None:
    scorer = AgreementScorer(superplm, read_vocabulary(), invented_pairs(scores=False))
    found = scorer.score(WHOLE)
    assert (found.ranking, found.nearest) == (pytest.approx(1.0), pytest.approx(1.0))
    assert found.scores is found.teacher_scores is None
    assert scorer.teacher_description == "the whole SuperPLM"


def test_a_rough_ranking_is_that_of_a_fourth_of_the_pairs(superplm: SuperPLM) -> None:
    scorer = AgreementScorer(superplm, read_vocabulary(), invented_pairs())
    rough, rest = (scorer.cosines(SLICE, rough=rough) for rough in (True, False))
    assert (len(rough), len(rest)) == (7, 18)
    assert scorer.ranking(rough, rest) == scorer.score(SLICE).ranking
    assert scorer.ranking(rough) != scorer.ranking(rough, rest)


def test_without_a_projection_there_are_no_vectors() -> None:
    bare = SuperPLM.from_architecture(WHOLE, positions=32)
    with pytest.raises(InputError, match="no projection"):
        AgreementScorer(bare, read_vocabulary(), invented_pairs())
