"""A search from the limit to the measured winner; the same call resumes it."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from atb.errors import InputError, RunError
from atb.files import prepare_output
from atb.models import Architecture
from atb.predictor import require_conditions
from atb.search.candidate import Candidate, front_of, spread_over
from atb.search.constraints import LatencyLimit, SpeedUp
from atb.search.methods import make_method
from atb.search.request import SearchRequest, SearchState, Task
from atb.search.result import SearchResult, read_result, write_result
from atb.search.scoring import (
    DescribedProxy,
    Executor,
    Proxy,
    Pruning,
    ScoreFile,
    Scores,
    score_generation,
)
from atb.search.targets import Target, Targets
from atb.search.verification import Verification, verify
from atb.search.verifier import Progress
from atb.units import format_duration

#: Names in the output folder.
RESULT, SCORES = "result.json", "scores.jsonl"
#: Searches with newly corrected predictions before giving up.
MOST_ROUNDS = 3
#: A winner is good enough unless the finalists are faster than predicted by more than this: then
#: larger models meet the limit too, and the search starts over among them.
FIRST_WORTHWHILE = 0.97


def search(
    request: SearchRequest,
    targets: Sequence[Target],
    proxy: Proxy,
    out: Path,
    *,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> SearchResult:
    """Find the best architecture whose measured latency meets the limit of every target.

    Every score is on disk before the next is computed, and every measured block is committed, so
    that the same call after a crash goes on and ends with the same result; after the end it
    returns that result at once. Where the budget of a verifier was spent, it measures on.

    Args:
        request: Space, limit, method and what else decides the result.
        targets: Where the model has to be fast; the limit of the first is that of the request.
        proxy: Scores candidates.
        out: Folder for `result.json`, the scores and the state of the search.
        executor: Computes the scores of the proxy; this process by default.
        progress: Called with the steps done, the steps in all, and a word on what is going on.

    Raises:
        InputError: A predictor holds under other conditions, or the limit is out of reach.
        RunError: No finalist met the limit, or the device failed; what was measured stays.
    """
    for target in targets:
        require_conditions(target.predictor, target.verifier.conditions)
    key = request.key(targets, proxy)
    state = SearchState.find(out, key)
    if state.finished and (out / RESULT).is_file():
        result = read_result(out / RESULT)
        if result.request == key:
            return result
    limit = request.limit_by(targets[0].predictor)
    # a limit that is out of reach leaves no file behind
    task = (
        None
        if limit is None
        else Task.begin(request, limit, Targets(tuple(targets), limit.seconds), progress)
    )
    prepare_output(out, directory=True)
    state = state.write(out)
    if task is None:
        state, limit = _measure_reference(request.limit, targets[0], state, out, progress)
        task = Task.begin(request, limit, Targets(tuple(targets), limit.seconds), progress)
    with ScoreFile(out / SCORES, proxy, executor) as scores:
        result = _Run(task, scores).to_the_end(campaign=f"search-{state.run}")
    facts = proxy.facts if isinstance(proxy, DescribedProxy) else {}
    result = replace(result, proxy=proxy.name, scoring=facts, request=key)
    write_result(result, out / RESULT)
    # a result of too little time is one, but the same call measures on
    state.write(out, finished=not task.targets.is_spent)
    return result


def _measure_reference(
    speedup: object, target: Target, state: SearchState, out: Path, progress: Progress | None
) -> tuple[SearchState, LatencyLimit]:
    """Measure the reference of a speed-up once for a search; returns the limit that follows."""
    assert isinstance(speedup, SpeedUp)
    seconds = state.reference_seconds
    if not seconds:
        campaign = f"search-{state.run}-reference"
        measured = target.verifier.measure([speedup.architecture], campaign, progress)
        if speedup.architecture not in measured:
            raise RunError(
                f"{speedup.name} could not be measured: see the failures with `atb profile "
                "--list`, or give the limit with --latency."
            )
        seconds = measured[speedup.architecture].latency_seconds
    return state.write(out, reference_seconds=seconds), speedup.resolve(seconds)


@dataclass
class _Run:
    """One search while it goes on.

    Attributes:
        task: What is searched for, and among which candidates now.
        scores: Knows or computes scores.
        pruning: What is known of rough scores.
        scored: All scored candidates, with predictions that are not corrected.
        generations: Generations scored.
        verification: What measuring finalists has shown.
    """

    task: Task
    scores: ScoreFile
    pruning: Pruning = field(init=False)
    scored: dict[Architecture, Candidate] = field(default_factory=dict)
    generations: int = 0
    verification: Verification = field(default_factory=Verification)

    def __post_init__(self) -> None:
        self.pruning = Pruning(self.task.request.finalists)

    def to_the_end(self, *, campaign: str) -> SearchResult:
        """Propose, score, measure; start over with corrected predictions until they hold."""
        targets, correction = self.task.targets, 1.0
        for round_number in range(MOST_ROUNDS):
            ended_by = self._explore(round_number)
            ranking = self._ranking(correction)
            if not ranking:
                break
            self.verification = verify(
                ranking,
                self.task.limit.seconds,
                targets,
                campaign=campaign,
                finalists=self.task.request.finalists,
                known=self.verification,
                meets=self.task.keeps_bounds,
                progress=self.task.progress,
            )
            before = correction
            correction = self.verification.correction(
                lambda architecture: self.scored[architecture].predicted_seconds
            )
            settled = (
                correction > FIRST_WORTHWHILE * before
                or round_number == MOST_ROUNDS - 1
                or targets.is_spent
            )
            if self.verification.winner is not None and settled:
                self._measure_front(f"{campaign}-front")
                return self._result(before, ended_by)
            if targets.is_spent:
                break
            try:
                self.task = self.task.corrected(correction)
            except InputError as error:
                if self.verification.winner is not None:
                    return self._result(before, ended_by)
                raise self._failure(correction) from error
        raise self._failure(correction)

    def _measure_front(self, campaign: str) -> None:
        """Where the whole front is asked for, measure as many of it as there are finalists."""
        if self.task.request.method != "pareto":
            return
        front = spread_over(front_of(self._ranking(1.0)), self.task.request.finalists)
        unknown = [
            c.architecture for c in front if c.architecture not in self.verification.measured
        ]
        if unknown:
            measured = self.task.targets.measure(unknown, campaign, self.task.progress)
            self.verification.measured |= {a: measured.get(a) for a in unknown}
            self.verification.campaigns.append(campaign)

    def _explore(self, round_number: int) -> str:
        """Let the method search among the candidates; returns what ended it."""
        request, candidates = self.task.request, self.task.candidates
        rng = np.random.default_rng([request.seed, round_number])
        method = make_method(request.method, candidates, rng, request.settings)
        prunes = method.prunes and request.prune and self.scores.has_rough
        self.pruning.begin()
        asked = 0

        def tell(architecture: Architecture, done: int) -> None:
            if self.task.progress is not None:
                word = f"generation {self.generations}: scored {architecture}"
                self.task.progress(asked + done, method.planned, word)

        while not method.finished:
            generation = method.ask()
            self.generations += 1
            scores, pruned = score_generation(
                generation,
                self.scores,
                self.pruning if prunes else None,
                keep=lambda a: a in self.scored and not self.scored[a].pruned,
                tell=tell,
            )
            asked += len(scores)
            self._remember(scores, pruned)
            method.tell(list(scores.items()))
        exhausted = asked == len(candidates) or asked < request.settings.generation_size
        return "candidates" if exhausted else "generations"

    def _remember(self, scores: Scores, pruned: Container[Architecture]) -> None:
        """Keep scored candidates, with their uncorrected predictions."""
        new = {
            a: score
            for a, score in scores.items()
            if a not in self.scored or (self.scored[a].pruned and a not in pruned)
        }
        if not new:
            return
        prediction = self.task.targets.predict_architectures(list(new))
        for number, (architecture, score) in enumerate(new.items()):
            self.scored[architecture] = Candidate(
                architecture,
                float(prediction.latency_seconds[number]),
                float(prediction.upper_seconds[number]),
                score,
                self.generations,
                pruned=architecture in pruned,
            )

    def _ranking(self, correction: float) -> list[Candidate]:
        """Scored candidates but pruned ones, the best first, with corrected predictions."""
        return [c.corrected(correction) for c in self._best_first(pruned=False)]

    def _best_first(self, *, pruned: bool) -> list[Candidate]:
        found = [c for c in self.scored.values() if c.proxy is not None and c.pruned is pruned]
        return sorted(found, key=lambda c: (-(c.proxy or 0.0), c.architecture))

    def _result(self, correction: float, ended_by: str) -> SearchResult:
        """Put together what was found; the winner is known."""
        task, verification = self.task, self.verification
        failed = [c for c in self.scored.values() if c.proxy is None]
        candidates = [*self._ranking(1.0), *self._best_first(pruned=True), *failed]
        ranked = [self._measured(c) for c in task.targets.predicted_on_first(candidates)]
        return SearchResult(
            constraint_seconds=task.limit.seconds,
            basis=task.limit.basis,
            window=task.limit.window,
            winner=next(c for c in ranked if c.architecture == verification.winner),
            candidates=tuple(ranked),
            conditions=task.targets.conditions,
            space=task.request.space.name,
            feasible=len(task.candidates),
            method=task.request.method,
            proxy="",
            seed=task.request.seed,
            generations=self.generations,
            evaluations=len(self.scored),
            correction=correction,
            campaigns=tuple(verification.campaigns),
            ended_by=ended_by,
            bounds=tuple(str(bound) for bound in task.request.bounds),
        )

    def _measured(self, candidate: Candidate) -> Candidate:
        found = self.verification.measured.get(candidate.architecture)
        return candidate if found is None else self.task.targets.with_measurements(candidate, found)

    def _failure(self, correction: float) -> RunError:
        """What to say where there is no winner."""
        limit = format_duration(self.task.limit.seconds)
        found = self.verification.measured
        seconds = {a: m.latency_seconds for a, m in found.items() if m is not None}
        if not self.scored or all(c.proxy is None for c in self.scored.values()):
            return RunError(
                f"None of {len(self.scored)} candidates could be scored: see scores.jsonl, and "
                "remove it before searching again."
            )
        if self.task.targets.is_spent:
            return RunError(
                f"The budget was spent before a finalist was known to meet the limit of {limit} "
                f"({len(seconds)} measured): the same command goes on, a longer --budget goes on "
                "for longer."
            )
        if not seconds:
            return RunError(
                "No finalist could be measured: see the failures with `atb profile --list`, then "
                "search again; the scores are kept."
            )
        fastest = min(seconds, key=seconds.__getitem__)
        if seconds[fastest] <= self.task.limit.seconds:
            bounds = ", ".join(str(bound) for bound in self.task.request.bounds)
            return RunError(
                f"Of {len(seconds)} measured finalists none that meets the latency limit keeps "
                f"{bounds} as measured: raise it (scores and measurements are kept)."
            )
        takes = f"takes {format_duration(seconds[fastest])}"
        if self.task.targets.further:
            share = seconds[fastest] / self.task.limit.seconds
            takes = f"takes {share:.2f} times what one of the limits allows"
        return RunError(
            f"None of {len(seconds)} measured finalists meets the limit of {limit}: the fastest, "
            f"{fastest}, {takes}, and the predictor is off by a factor of {correction:.2f}; fit it "
            "again on new measurements, or raise the limit (scores and measurements are kept)."
        )
