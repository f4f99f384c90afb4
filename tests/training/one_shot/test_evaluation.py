from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from atb.data.corpus.shards import TokenShards
from atb.errors import InputError
from atb.models.architecture import Architecture
from atb.models.space import SearchSpace
from atb.models.superplm.superplm import SuperPLM
from atb.training.one_shot.evaluation import HeldOut, evaluate

SLICES = [Architecture(1, 8, 1, 8, 8), Architecture(2, 20, 2, 16, 28)]


def test_the_whole_has_no_distance_to_itself(
    superplm: SuperPLM, text: TokenShards, space: SearchSpace
) -> None:
    small, middle, largest = evaluate(superplm, [*SLICES, space.largest], text)
    assert largest == pytest.approx(0.0, abs=1e-5)
    assert small > largest
    assert middle > largest


def test_distances_do_not_depend_on_how_the_text_is_batched(
    superplm: SuperPLM, text: TokenShards
) -> None:
    wanted, got = (HeldOut(superplm, text, batch_size=size).loss(SLICES[1]) for size in (1, 20))
    assert got == pytest.approx(wanted, rel=1e-5)


def test_the_distance_is_relative_error_plus_cosine_distance(
    superplm: SuperPLM, text: TokenShards
) -> None:
    short = text.spread(3)
    errors, squares, cosines = 0.0, 0.0, 0.0
    for row in range(3):
        tokens = torch.from_numpy(short.batch([row])[0])
        with torch.no_grad():
            wanted = superplm.bert.projection(superplm.bert(tokens).last_hidden_state)
            model = superplm.extract(SLICES[0])
            got = model.projection(model(tokens).last_hidden_state)
        errors += float((wanted - got).square().sum())
        squares += float(wanted.square().sum())
        cosines += float(1 - torch.cosine_similarity(wanted.mean(1), got.mean(1)))
    (loss,) = evaluate(superplm, SLICES[:1], short)
    assert loss == pytest.approx(errors / squares + cosines / 3, rel=1e-4)


def test_the_same_words_are_hidden_from_every_slice_and_every_time(
    superplm: SuperPLM, text: TokenShards
) -> None:
    first, second = (evaluate(superplm, SLICES, text, proxy="mlm") for _ in range(2))
    assert first == second


def test_masked_lm_loss_of_an_ignorant_model_is_that_of_guessing(
    superplm: SuperPLM, text: TokenShards
) -> None:
    with torch.no_grad():
        for parameter in superplm.parameters():
            parameter.zero_()
    (loss,) = evaluate(superplm, SLICES[:1], text, proxy="mlm")
    assert loss == pytest.approx(torch.log(torch.tensor(1100.0)).item(), rel=1e-5)


def test_progress_is_told(superplm: SuperPLM, text: TokenShards) -> None:
    told: list[tuple[int, int]] = []
    evaluate(superplm, SLICES, text, progress=lambda *numbers: told.append(numbers))
    assert told == [(1, 2), (2, 2)]


def test_scores_that_cannot_be_had_are_refused(
    make_superplm: Callable[..., SuperPLM], text: TokenShards
) -> None:
    with pytest.raises(InputError, match="masked-LM head"):
        evaluate(make_superplm(mlm=False), SLICES, text, proxy="mlm")
    with pytest.raises(InputError, match="projection"):
        evaluate(make_superplm(projection=None), SLICES, text)
    with pytest.raises(InputError, match="does not fit"):
        evaluate(make_superplm(), [Architecture(3, 8, 1, 8, 8)], text)
