"""A search from the limit to the measured winner; the same call resumes it."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from atb.errors import InputError, RunError
from atb.files import prepare_output
from atb.models import Architecture
from atb.predictor import LatencyPredictor, require_conditions
from atb.search.candidate import Candidate
from atb.search.constraints import BoundReach, Candidates, Deployed, LatencyLimit, SpeedUp, feasible
from atb.search.front import front_of, spread_over
from atb.search.methods import make_method
from atb.search.request import SearchRequest, SearchState
from atb.search.result import SearchResult, read_result, write_result
from atb.search.scoring import (
    DescribedProxy,
    Proxy,
    ScoreFile,
    Scores,
    Screening,
    Workers,
    score_generation,
)
from atb.search.targets import JointPredictor, JointVerifier, Place, elsewhere, on_first
from atb.search.verification import Measured, Measures, Progress, Verification, Verifier, verify
from atb.units import format_duration

__all__ = ["RESULT", "SCORES", "search"]

#: Names in the output folder.
RESULT, SCORES = "result.json", "scores.jsonl"
#: Searches with newly corrected predictions before giving up.
MOST_ROUNDS = 3
#: A winner is good enough unless the finalists are faster than predicted by more than this: then
#: larger models meet the limit too, and the search starts over among them.
FIRST_WORTHWHILE = 0.97


def search(
    request: SearchRequest,
    predictor: LatencyPredictor,
    proxy: Proxy,
    verifier: Verifier,
    out: Path,
    *,
    places: Sequence[Place] = (),
    workers: Workers | None = None,
    progress: Progress | None = None,
) -> SearchResult:
    """Find the best architecture whose measured latency meets the limit, everywhere.

    Every score is on disk before the next is computed, and every measured block is committed, so
    that the same call after a crash goes on and ends with the same result; after the end it
    returns that result at once. Where the budget of a verifier was spent, it measures on.

    Args:
        request: What is searched for.
        predictor: Fitted under the conditions in which the verifier measures.
        proxy: Scores candidates.
        verifier: Measures finalists.
        out: Folder for `result.json`, the scores and the state of the search.
        places: Further devices or settings, each with a limit of its own.
        workers: Who computes scores by the proxy; this process by default.
        progress: Told what is done, what there is to do, and a word on what is going on.

    Raises:
        InputError: The predictor holds under other conditions, or the limit is out of reach.
        RunError: No finalist met the limit, or the device failed; what was measured stays.
    """
    for one, conditions in (
        (predictor, verifier.conditions),
        *((place.predictor, place.verifier.conditions) for place in places),
    ):
        require_conditions(one, conditions)
    key = request.key(predictor, proxy, verifier, places)
    state = SearchState.find(out, key)
    if state.finished and (out / RESULT).is_file():
        result = read_result(out / RESULT)
        if result.request == key:
            return result
    limit = request.limit_by(predictor)
    if limit is not None:  # one that is out of reach writes nothing
        task = _Task(request, limit, predictor, tuple(places), progress)
        candidates = task.feasible(1.0)
    prepare_output(out, directory=True)
    state = state.write(out)
    if isinstance(request.limit, SpeedUp):
        seconds = state.reference_seconds or _measure_reference(
            request.limit, verifier, f"search-{state.run}-reference", progress
        )
        state = state.write(out, reference_seconds=seconds)
        limit = request.limit.resolve(seconds)
        task = _Task(request, limit, predictor, tuple(places), progress)
        candidates = task.feasible(1.0)
    with ScoreFile(out / SCORES, proxy, workers) as scores:
        run = _Run(task, scores, task.measures(verifier), Screening(request.finalists))
        result = run.to_the_end(candidates, campaign=f"search-{state.run}")
    facts = proxy.facts if isinstance(proxy, DescribedProxy) else {}
    result = replace(result, proxy=proxy.name, scoring=facts, request=key)
    write_result(result, out / RESULT)
    # a result of too little time is one, but the same call goes on where it was over
    state.write(out, finished=not task.measures(verifier).is_spent)
    return result


def _measure_reference(
    speedup: SpeedUp, verifier: Verifier, campaign: str, progress: Progress | None
) -> float:
    """Latency of the reference, which is measured once for a search."""
    measured = verifier.measure([speedup.architecture], campaign, progress)
    if speedup.architecture not in measured:
        raise RunError(
            f"{speedup.name} could not be measured: see the failures with `atb profile --list`, "
            "or give the limit with --latency."
        )
    return measured[speedup.architecture].latency_seconds


@dataclass(frozen=True)
class _Task:
    """What a search is about, once the limit is known."""

    request: SearchRequest
    limit: LatencyLimit
    first: LatencyPredictor
    places: tuple[Place, ...]
    progress: Progress | None

    @property
    def predictor(self) -> LatencyPredictor:
        """Tells what is held against the limit."""
        if not self.places:
            return self.first
        return JointPredictor(self.first, self.limit.seconds, self.places)

    @property
    def deployed(self) -> Deployed:
        """Tells what is held against the limits beside the latency."""
        return self.request.deployed(self.first)

    def measures(self, verifier: Verifier) -> Measures:
        """Measures what is held against the limit."""
        if not self.places:
            return verifier
        return JointVerifier(verifier, self.limit.seconds, self.places)

    def feasible(self, correction: float) -> Candidates:
        """The candidates, by corrected predictions."""

        def tell(seen: int, total: int) -> None:
            if self.progress is not None:
                self.progress(seen, total, "listing the architectures that meet the limit")

        try:
            return feasible(
                self.request.space,
                self.predictor,
                self.limit,
                largest=self.request.largest,
                correction=correction,
                bounds=BoundReach(self.request.bounds, self.deployed),
                layout=self.request.layout,
                progress=tell,
            )
        except InputError as error:
            if not self.places:
                raise
            names = ", ".join(f"{p.name}={format_duration(p.limit_seconds)}" for p in self.places)
            raise InputError(
                f"With --limit {names}, told in times of the first limit: {error}"
            ) from error


@dataclass
class _Run:
    """One search while it goes on."""

    task: _Task
    scores: ScoreFile
    verifier: Measures
    screening: Screening
    scored: dict[Architecture, Candidate] = field(default_factory=dict)
    generations: int = 0
    verification: Verification = field(default_factory=Verification)

    def to_the_end(self, candidates: Candidates, *, campaign: str) -> SearchResult:
        """Propose, score, measure; start over with corrected predictions until they hold."""
        correction = 1.0
        for round_number in range(MOST_ROUNDS):
            ended_by = self._explore(candidates, round_number)
            ranking = self._ranking(correction)
            if not ranking:
                break
            self.verification = verify(
                ranking,
                self.task.limit.seconds,
                self.verifier,
                campaign=campaign,
                finalists=self.task.request.finalists,
                known=self.verification,
                meets=self._meets_bounds,
                progress=self.task.progress,
            )
            before = correction
            correction = self.verification.correction(
                lambda architecture: self.scored[architecture].predicted_seconds
            )
            settled = (
                correction > FIRST_WORTHWHILE * before
                or round_number == MOST_ROUNDS - 1
                or self.verifier.is_spent
            )
            if self.verification.winner is not None and settled:
                self._measure_front(f"{campaign}-front")
                return self._result(candidates, before, ended_by)
            if self.verifier.is_spent:
                break
            try:
                candidates = self.task.feasible(correction)
            except InputError as error:
                if self.verification.winner is not None:
                    return self._result(candidates, before, ended_by)
                raise self._failure(correction) from error
        raise self._failure(correction)

    def _meets_bounds(self, measured: Measured) -> bool:
        """Whether a measured model keeps the limits beside the latency, as far as it told."""
        found = on_first(measured)
        told = ((b, self.task.deployed.measured(b, found)) for b in self.task.request.bounds)
        return all(value is None or value <= bound.most for bound, value in told)

    def _measure_front(self, campaign: str) -> None:
        """Where the whole front is asked for, measure as many of it as there are finalists."""
        if self.task.request.method != "pareto":
            return
        front = spread_over(front_of(self._ranking(1.0)), self.task.request.finalists)
        unknown = [
            c.architecture for c in front if c.architecture not in self.verification.measured
        ]
        if unknown:
            measured = self.verifier.measure(unknown, campaign, self.task.progress)
            self.verification.measured |= {a: measured.get(a) for a in unknown}
            self.verification.campaigns.append(campaign)

    def _explore(self, candidates: Candidates, round_number: int) -> str:
        """Let the method search among the candidates; returns what ended it."""
        rng = np.random.default_rng([self.task.request.seed, round_number])
        method = make_method(self.task.request.method, candidates, rng, self.task.request.settings)
        screens = method.screens and self.task.request.screen and self.scores.has_rough
        self.screening.begin()
        asked = 0

        def tell(architecture: Architecture, done: int) -> None:
            if self.task.progress is not None:
                word = f"generation {self.generations}: scored {architecture}"
                self.task.progress(asked + done, method.planned, word)

        while not method.finished:
            generation = method.ask()
            self.generations += 1
            told, hopeless = score_generation(
                generation,
                self.scores,
                self.screening if screens else None,
                keep=lambda a: a in self.scored and not self.scored[a].hopeless,
                tell=tell,
            )
            asked += len(told)
            self._remember(told, hopeless)
            method.tell(list(told.items()))
        exhausted = asked == len(candidates) or asked < self.task.request.settings.generation_size
        return "candidates" if exhausted else "generations"

    def _remember(self, told: Scores, hopeless: Container[Architecture]) -> None:
        """Keep scored candidates, with their uncorrected predictions."""
        new = {
            a: score
            for a, score in told.items()
            if a not in self.scored or (self.scored[a].hopeless and a not in hopeless)
        }
        if not new:
            return
        prediction = self.task.predictor.predict_architectures(list(new))
        for place, (architecture, score) in enumerate(new.items()):
            self.scored[architecture] = Candidate(
                architecture,
                float(prediction.latency_seconds[place]),
                float(prediction.upper_seconds[place]),
                score,
                self.generations,
                hopeless=architecture in hopeless,
            )

    def _ranking(self, correction: float) -> list[Candidate]:
        """Scored candidates, the best first, with corrected predictions; no hopeless ones."""
        best_first = sorted(
            (c for c in self.scored.values() if c.proxy is not None and not c.hopeless),
            key=lambda c: (-(c.proxy or 0.0), c.architecture),
        )
        return [c.corrected(correction) for c in best_first]

    def _result(self, candidates: Candidates, correction: float, ended_by: str) -> SearchResult:
        ranked = [self._measured(candidate) for candidate in self._on_first(self._ranking(1.0))]
        hopeless = sorted(
            (c for c in self.scored.values() if c.hopeless),
            key=lambda c: (-(c.proxy or 0.0), c.architecture),
        )
        failed = [c for c in self.scored.values() if c.proxy is None]
        rest = self._on_first([*hopeless, *failed])
        winner = next(c for c in ranked if c.architecture == self.verification.winner)
        return SearchResult(
            constraint_seconds=self.task.limit.seconds,
            basis=self.task.limit.basis,
            window=self.task.limit.window,
            winner=winner,
            candidates=(*ranked, *rest),
            conditions=self.verifier.conditions,
            space=self.task.request.space.name,
            feasible=len(candidates),
            method=self.task.request.method,
            proxy="",
            seed=self.task.request.seed,
            generations=self.generations,
            evaluations=len(self.scored),
            correction=correction,
            campaigns=tuple(self.verification.campaigns),
            ended_by=ended_by,
            bounds=tuple(str(bound) for bound in self.task.request.bounds),
        )

    def _measured(self, candidate: Candidate) -> Candidate:
        measured = self.verification.measured.get(candidate.architecture)
        if measured is None:
            return candidate
        first = on_first(measured)
        return replace(
            candidate,
            measured_seconds=first.latency_seconds,
            interval_seconds=first.interval_seconds,
            flagged=measured.reasons,
            campaign=measured.campaign,
            elsewhere=elsewhere(self.task.places, candidate.architecture, measured),
        )

    def _on_first(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """The same with what is predicted for the first device, where there are several."""
        if not self.task.places or not candidates:
            return list(candidates)
        found = self.task.first.predict_architectures([c.architecture for c in candidates])
        return [
            replace(c, predicted_seconds=float(latency), predicted_upper_seconds=float(upper))
            for c, latency, upper in zip(
                candidates, found.latency_seconds, found.upper_seconds, strict=True
            )
        ]

    def _failure(self, correction: float) -> RunError:
        measured = [m for m in self.verification.measured.values() if m is not None]
        if not self.scored or all(c.proxy is None for c in self.scored.values()):
            return RunError(
                f"None of {len(self.scored)} candidates could be scored: see scores.jsonl, and "
                "remove it before searching again."
            )
        if self.verifier.is_spent:
            return RunError(
                f"The budget was spent before a finalist was known to meet the limit of "
                f"{format_duration(self.task.limit.seconds)} ({len(measured)} measured): the same "
                "command goes on, a longer --budget goes on for longer."
            )
        if not measured:
            return RunError(
                "No finalist could be measured: see the failures with `atb profile --list`, then "
                "search again; the scores are kept."
            )
        if any(m.latency_seconds <= self.task.limit.seconds for m in measured):
            bounds = ", ".join(str(bound) for bound in self.task.request.bounds)
            return RunError(
                f"Of {len(measured)} measured finalists none that meets the latency limit keeps "
                f"{bounds} as measured: raise it (scores and measurements are kept)."
            )
        fastest = min(measured, key=lambda measurement: measurement.latency_seconds)
        limit = self.task.limit.seconds
        takes = f"takes {format_duration(fastest.latency_seconds)}"
        if self.task.places:
            share = fastest.latency_seconds / limit
            takes = f"takes {share:.2f} times what one of the limits allows"
        return RunError(
            f"None of {len(measured)} measured finalists meets the limit of "
            f"{format_duration(limit)}: the fastest, {fastest.architecture}, {takes}, and the "
            f"predictor is off by a factor of {correction:.2f}; fit it again on new measurements, "
            "or raise the limit (scores and measurements are kept)."
        )
