"""When a comparison may stop, and what it may then say: a t interval with its error spent by looks.

Who looks at an interval again and again, and stops when it pleases, errs more often than the
interval says. Group-sequential designs spend the error over the looks (Lan and DeMets 1983,
Discrete sequential boundaries for clinical trials, Biometrika 70; Jennison and Turnbull 2000,
Group Sequential Methods with Applications to Clinical Trials). Here the spending is the plainest:
at look k the error is a/(k(k+1)), whose sum over any number of looks never exceeds a (Bonferroni).
It holds whatever the looks have to do with each other, needs no last look planned beforehand, and
loses little, since looks are few: each comes when there are a third more values than at the one
before. Student's interval is exact for normal values and cautious for symmetric ones with heavy
tails; two things that are the same, placed in random order, have symmetric ratios by construction.
Values of few modes are its weak spot: that is why the first look is not earlier.
`benchmarks/measuring/comparing.py` shows it on noise of a real machine.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

#: That no interval of all the looks misses the truth; its complement bounds the false alarms.
CONFIDENCE = 0.99

#: Values at the first look: fewer, where they have two modes, too often agree by accident.
FIRST_ANALYSIS = 6
#: How many times the values of the look before each look has.
_GROWTH = 4 / 3
#: Fewest values that have a spread.
FEWEST_VALUES = 2

NO_DIFFERENCE, SLOWER, FASTER, UNDECIDED = "no difference", "slower", "faster", "undecided"


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean of logarithms of ratios with the interval that a look allows.

    Attributes:
        centre: The mean.
        low: Lower end.
        high: Upper end.
    """

    centre: float
    low: float
    high: float


def interim_analyses() -> Iterator[int]:
    """How many values there are at each look, without end."""
    count = FIRST_ANALYSIS
    while True:
        yield count
        count = math.ceil(count * _GROWTH)


def analysis_of(values: int) -> int:
    """The interim analysis, counted from 1, at which this many values are known.

    Between two looks it is the later one: an end that the values did not choose, such as a spent
    budget, is the next look come early.
    """
    return 1 + sum(1 for _ in itertools.takewhile(lambda count: count < values, interim_analyses()))


def confidence_at_analysis(look: int, confidence: float = CONFIDENCE) -> float:
    """Confidence of the interval at one look, so that all together keep `confidence`."""
    return 1 - (1 - confidence) / (look * (look + 1))


def interval_at_analysis(
    values: Sequence[float], look: int, confidence: float = CONFIDENCE
) -> Interval:
    """Student's interval of the mean at a look.

    Args:
        values: Independent, such as one logarithm of a ratio for each launch; at least two.
        look: From 1.
        confidence: Over all looks together.
    """
    from scipy.special import stdtrit

    array = np.asarray(values, dtype=float)
    if len(array) < FEWEST_VALUES:
        raise ValueError(f"{len(array)} values have no spread: give at least {FEWEST_VALUES}.")
    quantile = float(stdtrit(len(array) - 1, (1 + confidence_at_analysis(look, confidence)) / 2))
    centre = float(array.mean())
    half = quantile * float(array.std(ddof=1)) / math.sqrt(len(array))
    return Interval(centre, centre - half, centre + half)


def verdict_of(interval: Interval, within: float) -> str:
    """The verdict on the second that an interval of the log ratio allows.

    Args:
        interval: Of log(second / first).
        within: Two that differ by less than this share count as equal.
    """
    margin = math.log1p(within)
    if -margin < interval.low and interval.high < margin:
        return NO_DIFFERENCE
    if interval.low > 0:
        return SLOWER
    if interval.high < 0:
        return FASTER
    return UNDECIDED
