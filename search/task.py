"""A request whose limit is known, and the candidates that predictions admit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from atb.errors import InputError
from atb.search.constraints import BoundReach, Candidates, LatencyLimit, feasible
from atb.search.request import SearchRequest
from atb.search.targets import LatencyResult, Target, Targets
from atb.search.verifier import Progress
from atb.units import format_duration

__all__ = ["Task"]


@dataclass(frozen=True)
class Task:
    """A request whose limit is known, and the candidates that predictions admit.

    Attributes:
        request: What is searched for.
        limit: Latency limit of the first target.
        targets: All targets.
        progress: Called with the steps done, the steps in all, and a word.
        candidates: Architectures within all limits.
    """

    request: SearchRequest
    limit: LatencyLimit
    targets: Targets
    progress: Progress | None
    candidates: Candidates

    @classmethod
    def begin(
        cls,
        request: SearchRequest,
        limit: LatencyLimit,
        targets: Sequence[Target],
        progress: Progress | None,
    ) -> Task:
        """List the candidates by predictions that nothing has corrected yet.

        Raises:
            InputError: There are none.
        """
        together = Targets(tuple(targets), limit.seconds)
        found = _feasible(request, limit, together, progress, correction=1.0)
        return cls(request, limit, together, progress, found)

    def corrected(self, correction: float) -> Task:
        """The same with candidates by predictions that are multiplied by a factor.

        Raises:
            InputError: There are none.
        """
        found = _feasible(self.request, self.limit, self.targets, self.progress, correction)
        return replace(self, candidates=found)

    def keeps_bounds(self, found: LatencyResult) -> bool:
        """Whether a measured model keeps the limits beside the latency, where it is known."""
        deployed, first = self.request.deployed(self.targets.first.predictor), found.measurements[0]
        amounts = ((bound, deployed.measured(bound, first)) for bound in self.request.bounds)
        return all(amount is None or amount <= bound.most for bound, amount in amounts)


def _feasible(
    request: SearchRequest,
    limit: LatencyLimit,
    targets: Targets,
    progress: Progress | None,
    correction: float,
) -> Candidates:
    """List the architectures within all limits, by predictions multiplied by a correction."""

    def tell(seen: int, total: int) -> None:
        if progress is not None:
            progress(seen, total, "listing the architectures that meet the limit")

    try:
        return feasible(
            request.space,
            targets,
            limit,
            largest=request.largest,
            correction=correction,
            bounds=BoundReach(request.bounds, request.deployed(targets.first.predictor)),
            layout=request.layout,
            progress=tell,
        )
    except InputError as error:
        if not targets.further:
            raise
        names = ", ".join(
            f"{target.name}={format_duration(target.limit_seconds or limit.seconds)}"
            for target in targets.further
        )
        raise InputError(
            f"With --limit {names}, told in times of the first limit: {error}"
        ) from error
