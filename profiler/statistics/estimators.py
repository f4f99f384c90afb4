"""From raw blocks to a latency with an interval: iteration < block < launch, never pooled.

Four launches of one model say little about how far its launches differ, and Student's quantile
makes its interval pay for that. Twenty models of a campaign say more: their variances are taken as
drawn from one distribution, and each is moved towards its middle by as much as the others agree.
The interval then has the freedom of both. This is the moderated t of Smyth (2004, Linear models and
empirical Bayes methods for assessing differential expression, section 6).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from atb.profiler import BlockRecord
from atb.profiler.statistics.readings import BlockValue, block_value, quantile_of
from atb.profiler.statistics.sentinel import SHARE_DEVIATION, CacheContention, sentinel_seconds

#: Fewer models say nothing about how their variances differ.
_FEWEST_MODELS = 5
#: Freedom that others lend at most: beyond it Student's quantile no longer moves.
_MOST_FREEDOM = 60.0
#: Of logarithms of seconds; no clock and no cache repeats better.
_SMALLEST_VARIANCE = 1e-8


@dataclass(frozen=True, slots=True)
class PooledVariance:
    """What other models tell about the variance of a launch.

    Attributes:
        variance: Of the logarithm of a launch's value; the middle of their distribution.
        freedom: Degrees of freedom that this is worth.
    """

    variance: float
    freedom: float

    def moderate(self, values: npt.NDArray[np.float64]) -> tuple[float, float]:
        """Variance and freedom of these values, with what the others tell.

        Args:
            values: Logarithms, one for each launch; at least two.
        """
        own = len(values) - 1
        freedom = own + self.freedom
        total = own * float(values.var(ddof=1)) + self.freedom * self.variance
        return total / freedom, freedom


def pool_variances(models: Sequence[npt.NDArray[np.float64]]) -> PooledVariance | None:
    """Learn from the launches of many models; None of too few.

    Args:
        models: For each model the logarithms of its launches.
    """
    from scipy.special import digamma, polygamma

    used = [values for values in models if len(values) > 1]
    if len(used) < _FEWEST_MODELS:
        return None
    freedom = np.array([len(values) - 1 for values in used], dtype=float)
    variance = np.array([max(values.var(ddof=1), _SMALLEST_VARIANCE) for values in used])
    centred = np.log(variance) - digamma(freedom / 2) + np.log(freedom / 2)
    mean = float(centred.mean())
    # what the logarithms of variances differ by beyond what few launches explain
    excess = float(centred.var(ddof=1) - polygamma(1, freedom / 2).mean())
    lent = min(2 * _inverse_trigamma(excess), _MOST_FREEDOM) if excess > 0 else _MOST_FREEDOM
    return PooledVariance(math.exp(mean + float(digamma(lent / 2)) - math.log(lent / 2)), lent)


def _inverse_trigamma(value: float) -> float:
    """Where the trigamma function has this value, by Newton's method on its inverse."""
    from scipy.special import polygamma

    x = 0.5 + 1 / value
    for _ in range(50):
        trigamma = float(polygamma(1, x))
        step = trigamma * (1 - trigamma / value) / float(polygamma(2, x))
        x += step
        if abs(step) < 1e-9 * x:
            break
    return x


#: Of the intervals that are shown.
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Estimate:
    """A latency and its confidence interval, in seconds.

    Attributes:
        seconds: The latency.
        low: Lower end of the interval.
        high: Upper end.
        correction_half_width: Of the interval's half width, as a share of the latency, what comes
            from how far corrections may be off: more launches in the same state do not shrink it.
    """

    seconds: float
    low: float
    high: float
    correction_half_width: float = 0.0

    @property
    def relative_half_width(self) -> float:
        """Half the interval's width as a share of the latency."""
        return (self.high - self.low) / 2 / self.seconds


class Estimator(Protocol):
    """A way from the blocks of one subject to its latency; the record says which was used."""

    @property
    def name(self) -> str:
        """What the record says."""

    def estimate(
        self,
        blocks: Sequence[BlockRecord],
        *,
        threads: int,
        reference: float | None,
        confidence: float,
        pooled_variance: PooledVariance | None = None,
        cache: CacheContention | None = None,
    ) -> Estimate:
        """Estimate from at least one block.

        Args:
            blocks: Of one subject in one campaign.
            threads: That computed an inference.
            reference: The sentinel's undisturbed level in seconds; None where unknown.
            confidence: Of the interval, such as 0.95.
            pooled_variance: What other models of the campaign tell about how launches differ.
            cache: How much other tenants slowed the shared cache; None where it is not known.
        """

    def launch_values(
        self,
        blocks: Sequence[BlockRecord],
        *,
        threads: int,
        reference: float | None,
        cache: CacheContention | None = None,
    ) -> npt.NDArray[np.float64]:
        """Logarithm of the latency that each launch shows, float64 [launches]."""

    def disturbed_share(self, blocks: Sequence[BlockRecord], *, threads: int) -> tuple[int, int]:
        """How many blocks had too few undisturbed iterations, and how many there are."""


def _by_launch(blocks: Sequence[BlockRecord]) -> Mapping[int, list[BlockRecord]]:
    launches: dict[int, list[BlockRecord]] = {}
    for record in sorted(blocks, key=lambda record: (record.launch, record.block)):
        launches.setdefault(record.launch, []).append(record)
    return launches


@dataclass(frozen=True, slots=True)
class LaunchEstimator:
    """A quantile in a block, a quantile of the blocks in a launch, the mean of the launches.

    Disturbances only ever add time, so that a low quantile of the iterations lies nearer to the
    undisturbed device. Launches differ by where memory happens to lie: that is part of the latency,
    and their mean is taken, in which those that needed little correction count more (`_weights`).
    The interval is Student's over launches, whose values hold the spread of what is below them; of
    a single launch it is Student's over blocks, which leaves out how launches differ. Corrections
    widen it by how far models differ in what they need. All on logarithms, since disturbances
    multiply.

    Attributes:
        name: What the record says.
        iteration_quantile: Of the undisturbed iterations of a block.
        block_quantile: Of the blocks of a launch.
        sentinel_exponent: Power of (reference / sentinel) that multiplies a block; 0 leaves it.
        exponent_spread: How far the exponents of models differ, as a standard deviation.
        waits_count: Whether waiting for a CPU is part of the latency; see `waits_for_itself`.
    """

    name: str
    iteration_quantile: float = 0.5
    block_quantile: float = 0.5
    sentinel_exponent: float = 0.0
    exponent_spread: float = 0.0
    waits_count: bool = False

    def estimate(
        self,
        blocks: Sequence[BlockRecord],
        *,
        threads: int,
        reference: float | None,
        confidence: float,
        pooled_variance: PooledVariance | None = None,
        cache: CacheContention | None = None,
    ) -> Estimate:
        """See `Estimator`."""
        values = self.launch_values(blocks, threads=threads, reference=reference, cache=cache)
        if len(values) > 1:
            doubts = self._doubts(blocks, threads, reference, cache)
        else:
            values, pooled_variance = self._logs(blocks, threads, reference, cache), None
            doubts = np.zeros((1, len(values)))
        if len(values) > 1:
            variance, freedom = _variance(values, pooled_variance)
            weights = _weights(variance, doubts)
            center = float(weights @ values)
            corrections = _normal_quantile(confidence) * float(np.linalg.norm(doubts @ weights))
            half = math.hypot(
                _student_quantile(confidence, freedom) * math.sqrt(variance * weights @ weights),
                corrections,
            )
            ends = math.exp(center - half), math.exp(center + half)
            return Estimate(math.exp(center), *ends, correction_half_width=corrections)
        wall = blocks[0].readings.wall_seconds
        seconds = math.exp(float(values[0]))
        return Estimate(seconds, min(seconds, *wall), max(seconds, *wall))

    def launch_values(
        self,
        blocks: Sequence[BlockRecord],
        *,
        threads: int,
        reference: float | None,
        cache: CacheContention | None = None,
    ) -> npt.NDArray[np.float64]:
        """See `Estimator`."""
        launches = (
            self._logs(part, threads, reference, cache) for part in _by_launch(blocks).values()
        )
        return np.array([quantile_of(logs, self.block_quantile) for logs in launches])

    def _doubts(
        self,
        blocks: Sequence[BlockRecord],
        threads: int,
        reference: float | None,
        cache: CacheContention | None,
    ) -> npt.NDArray[np.float64]:
        """How far each correction of a launch may be off, as standard deviations of its logarithm.

        Returns:
            float64 [corrections, launches]; of one correction all are off by the same share.
        """
        launches = _by_launch(blocks).values()
        return np.array(
            [
                [
                    self.exponent_spread * float(np.median(_slowness(part, threads, reference)))
                    for part in launches
                ],
                [
                    SHARE_DEVIATION * float(np.median(self._pressed(part, cache)))
                    for part in launches
                ],
            ]
        )

    def _pressed(
        self, blocks: Sequence[BlockRecord], cache: CacheContention | None
    ) -> npt.NDArray[np.float64]:
        """Logarithm of what pressure on the shared cache made of each block; 0 uncorrected."""
        corrects = cache is not None and self.sentinel_exponent
        return np.array([cache.of(b) if cache is not None and corrects else 0.0 for b in blocks])

    def _logs(
        self,
        launch: Sequence[BlockRecord],
        threads: int,
        reference: float | None,
        cache: CacheContention | None,
    ) -> npt.NDArray[np.float64]:
        """Logarithms of the corrected values, of the undisturbed blocks where there are any."""
        values = self._values(launch, threads)
        logs = np.log([value.seconds for value in values])
        if self.sentinel_exponent:
            logs -= self.sentinel_exponent * _slowness(launch, threads, reference)
        logs -= self._pressed(launch, cache)
        disturbed = np.array([value.disturbed for value in values])
        return logs if disturbed.all() else logs[~disturbed]

    def _values(self, blocks: Sequence[BlockRecord], threads: int) -> list[BlockValue]:
        return [
            block_value(
                record.readings,
                threads=threads,
                quantile=self.iteration_quantile,
                waits_count=self.waits_count,
            )
            for record in blocks
        ]

    def disturbed_share(self, blocks: Sequence[BlockRecord], *, threads: int) -> tuple[int, int]:
        """See `Estimator`."""
        return sum(value.disturbed for value in self._values(blocks, threads)), len(blocks)


def _slowness(
    launch: Sequence[BlockRecord], threads: int, reference: float | None
) -> npt.NDArray[np.float64]:
    """Logarithm of the sentinel beside each block over its level; 0 where it is not known."""
    around = [sentinel_seconds(record, threads=threads) for record in launch]
    return np.array(
        [0.0 if s is None or reference is None else math.log(s / reference) for s in around]
    )


def _normal_quantile(confidence: float) -> float:
    from scipy.special import ndtri

    return float(ndtri((1 + confidence) / 2))


def _student_quantile(confidence: float, freedom: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + confidence) / 2))


def _variance(
    values: npt.NDArray[np.float64], pooled_variance: PooledVariance | None
) -> tuple[float, float]:
    """Of a launch, and the degrees of freedom that it is known with."""
    if pooled_variance is None:
        return float(values.var(ddof=1)), float(len(values) - 1)
    return pooled_variance.moderate(values)


def _weights(variance: float, doubts: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """What each launch counts, so that the whole is known best: none negatively, in all one.

    Generalised least squares (Aitken, 1936): launches in which the machine was near its level, or
    on both sides of it, say more than those that had to be corrected much in one direction.

    Args:
        variance: Of the logarithm of a launch's value.
        doubts: float64 [corrections, launches].
    """
    launches = doubts.shape[1]
    covariance = max(variance, _SMALLEST_VARIANCE) * np.eye(launches) + doubts.T @ doubts
    weights = np.zeros(launches)
    left = np.arange(launches)
    while True:
        solved = np.linalg.solve(covariance[np.ix_(left, left)], np.ones(len(left)))
        if (solved > 0).all():
            weights[left] = solved / solved.sum()
            return weights
        left = left[solved > 0]  # never empty: they sum to something positive


#: How well each repeats, and with other exponents: benchmarks/measuring/repeatability.py.
ESTIMATORS: dict[str, Estimator] = {
    estimator.name: estimator
    for estimator in (
        LaunchEstimator("quartile-sentinel", 0.25, 0.5, 1.0, exponent_spread=0.15),
        LaunchEstimator("median-sentinel-0.6", 0.5, 0.5, sentinel_exponent=0.6),
        LaunchEstimator("minimum", 0.0, 0.0),
        LaunchEstimator("median", 0.5, 0.5),
        LaunchEstimator(
            "quartile-sentinel-with-waits", 0.25, 0.5, 1.0, exponent_spread=0.15, waits_count=True
        ),
        LaunchEstimator("median-with-waits", 0.5, 0.5, waits_count=True),
    )
}
DEFAULT_ESTIMATOR: Estimator = ESTIMATORS["quartile-sentinel"]


def wall_latency(blocks: Sequence[BlockRecord]) -> float:
    """The latency under the load that there was: median over blocks of their median wall time."""
    return float(np.median([np.median(record.readings.wall_seconds) for record in blocks]))
