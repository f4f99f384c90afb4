"""What every search method must do: a suite that tests subclass, one line for each method."""

from __future__ import annotations

import numpy as np
import pytest

from atb.models import SPACES, Architecture, parameter_count
from atb.search.constraints import Candidates, on_search_grid
from atb.search.contract import Factory, MethodSettings, SearchMethod
from atb.search.scoring import ExactProxy, ExactRoughProxy, Executor


def run_to_the_end(
    method: SearchMethod, fails: frozenset[Architecture] = frozenset()
) -> list[list[Architecture]]:
    """Drive a method with a score that grows with the number of parameters."""
    generations = []
    while not method.finished:
        generation = method.ask()
        generations.append(generation)
        method.tell([(a, None if a in fails else float(a.parameters())) for a in generation])
        assert len(generations) < 1000
    return generations


class SearchMethodSuite:
    """Subclass it and set `factory`."""

    factory: Factory

    @pytest.fixture
    def candidates(self) -> Candidates:
        """About a thousand architectures of similar size; a subclass may give others."""
        space = on_search_grid(SPACES["mini"])
        rows = np.concatenate(list(space.blocks(1_000_000)))
        layers, hidden, _, qkv, feed_forward = rows.astype(np.int64).T
        parameters = parameter_count(layers, hidden, qkv, feed_forward, tables=1_000)
        numbers = np.flatnonzero(abs(parameters - 2_000_000) < 40_000)
        seconds = 1e-9 * parameters[numbers]
        return Candidates(space, numbers, seconds, seconds)

    def make(self, candidates: Candidates, seed: int = 0, size: int = 7) -> SearchMethod:
        rng = np.random.default_rng(seed)
        return type(self).factory(candidates, rng, MethodSettings(size, 5))

    def test_it_asks_candidates_and_none_twice(self, candidates: Candidates) -> None:
        asked = [a for generation in run_to_the_end(self.make(candidates)) for a in generation]
        assert 0 < len(asked) <= self.make(candidates).planned
        assert len(asked) == len(set(asked))
        assert all(candidates.position(a) is not None for a in asked)

    def test_the_seed_decides(self, candidates: Candidates) -> None:
        first = run_to_the_end(self.make(candidates, seed=3))
        assert first == run_to_the_end(self.make(candidates, seed=3))
        assert first != run_to_the_end(self.make(candidates, seed=4))

    def test_asking_again_gives_the_same(self, candidates: Candidates) -> None:
        method = self.make(candidates)
        assert method.ask() == method.ask()

    def test_a_failed_candidate_does_not_end_it(self, candidates: Candidates) -> None:
        first = self.make(candidates).ask()
        whole = run_to_the_end(self.make(candidates))
        generations = run_to_the_end(self.make(candidates), fails=frozenset(first))
        assert len(generations) == len(whole)

    def test_it_goes_on_when_everything_fails(self, candidates: Candidates) -> None:
        method = self.make(candidates)
        while not method.finished:
            method.tell([(a, float("nan")) for a in method.ask()])

    def test_fewer_candidates_than_a_generation_are_all_asked(self, candidates: Candidates) -> None:
        (generation,) = run_to_the_end(self.make(candidates, size=len(candidates) + 5))
        assert len(generation) == len(set(generation))

    def test_scores_of_others_are_refused(self, candidates: Candidates) -> None:
        method = self.make(candidates)
        with pytest.raises(ValueError, match="generation"):
            method.tell([(a, 1.0) for a in method.ask()[1:]])


class ExecutorSuite:
    """Subclass it and give a fixture `executor` that scores with an `ExactRoughProxy`."""

    def test_every_architecture_gets_its_score(
        self, executor: Executor, candidates: Candidates
    ) -> None:
        asked = [candidates.architecture(place) for place in range(0, len(candidates), 40)]
        found = list(executor.scores(asked))
        scores = {architecture: score for architecture, score, _ in found}
        assert len(found) == len(asked)
        assert scores == dict(zip(asked, ExactProxy().score(asked), strict=True))
        assert all(seconds >= 0 for *_, seconds in found)

    def test_rough_scores_are_told_apart(self, executor: Executor, candidates: Candidates) -> None:
        asked = [candidates.architecture(place) for place in range(0, len(candidates), 100)]
        found = {
            architecture: score for architecture, score, _ in executor.scores(asked, rough=True)
        }
        assert found == dict(zip(asked, ExactRoughProxy().score_roughly(asked), strict=True))

    def test_it_can_be_asked_again(self, executor: Executor, candidates: Candidates) -> None:
        asked = [candidates.architecture(0)]
        assert [a for a, *_ in executor.scores(asked)] == asked
        assert [a for a, *_ in executor.scores(asked)] == asked

    def test_nothing_asked_is_nothing_told(self, executor: Executor) -> None:
        assert list(executor.scores([])) == []

    def test_closing_twice_is_harmless(self, executor: Executor) -> None:
        executor.close()
        executor.close()
