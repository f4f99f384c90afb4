"""From the words of the command line to the limits of a search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from atb.commands.arguments import completion
from atb.commands.arguments.groups import Options, option
from atb.errors import InputError

if TYPE_CHECKING:
    from atb.commands.arguments.target import MeasuringTarget
    from atb.devices.runtimes import ArtefactCache
    from atb.predictor import LatencyPredictor, WorkPredictor
    from atb.search import SearchRequest
    from atb.search.constraints import Bound, LatencyLimit, Percentile, SpeedUp


class LimitOptions(Options, panel="Limit"):
    """The limit of a search, as a time or as a speed-up."""

    latency: str | None = option(
        default=None,
        metavar="10ms",
        help="Keep below this latency: a time, or the share of the space that is to remain, "
        "such as 30%; by default --speedup says the limit.",
    )
    speedup: float | None = option(
        default=None,
        metavar="7",
        help="Be this many times as fast as --reference; by default --latency says the limit.",
    )
    reference: str = option(
        default="bert-base",
        metavar="ARCH",
        help="Compare --speedup with this architecture, measured first on the same device.",
        autocompletion=completion.architectures,
    )

    def parse(self, window: tuple[float, float]) -> LatencyLimit | SpeedUp | Percentile:
        """The limit from its words: `10ms`, `30%` of the space, or a speed-up.

        Raises:
            InputError: Neither or both were given, or one is impossible.
        """
        from atb.models import resolve
        from atb.search.constraints import LatencyLimit, Percentile, SpeedUp
        from atb.units import parse_duration, parse_percent

        if (self.latency is None) == (self.speedup is None):
            raise InputError("Give the limit either as --latency 10ms or as --speedup 7.")
        if self.speedup is not None:
            return SpeedUp(self.speedup, resolve(self.reference), self.reference, window)
        assert self.latency is not None
        if self.latency.endswith("%"):
            return Percentile(parse_percent(self.latency), window)
        return LatencyLimit(parse_duration(self.latency), window)


class SearchLimitOptions(LimitOptions, panel="Limit"):
    """All limits of a search, and the settings that it may choose among."""

    limits: list[str] | None = option(
        "--limit",
        default=None,
        metavar="NAME=AMOUNT",
        help="Keep a further limit of what is deployed: parameters=10M, size=20MB, "
        "memory=50MB, energy=30mJ, or a latency elsewhere such as pi4=40ms, with pi4.json "
        "beside --predictor; repeatable.",
    )
    alternatives: list[str] | None = option(
        "--alternative",
        default=None,
        metavar="NAME",
        help="Search also under another precision or sequence length, such as int8, with "
        "int8.json beside --predictor; slices are scored as they would run, and the best one "
        "wins; repeatable.",
    )
    window: str | None = option(
        default=None,
        help="Search among predicted latencies between these fractions of the limit; by "
        "default 0.85,1.00, and 0.01,1.00 for pareto.",
    )

    def parse_within(self, method: str) -> LatencyLimit | SpeedUp | Percentile:
        """The limit with its window, by default that of a method.

        Raises:
            InputError: It is impossible.
        """
        from atb.search.constraints import WHOLE, WINDOW
        from atb.units import parse_window

        default = WHOLE if method == "pareto" else WINDOW
        return self.parse(default if self.window is None else parse_window(self.window))


def parse_limits(texts: Sequence[str]) -> tuple[tuple[Bound, ...], dict[str, float]]:
    """Further limits: on what is deployed, and seconds by the name of a place.

    Raises:
        InputError: One is of no known form, or was given twice.
    """
    from atb.search.constraints import BOUNDS, parse_bound
    from atb.units import parse_duration

    bounds: dict[str, Bound] = {}
    latencies: dict[str, float] = {}
    for text in texts:
        name, equals, amount = text.partition("=")
        name = name.strip()
        if name in bounds or name in latencies:
            raise InputError(f"--limit {name} was given twice: give the tighter one.")
        if name in BOUNDS or not equals:
            bounds[name] = parse_bound(text)
        else:
            latencies[name] = parse_duration(amount)
    return tuple(bounds.values()), latencies


def find_place(
    name: str, predictor: Path, option: str = "--limit", *, cache: ArtefactCache | None = None
) -> tuple[WorkPredictor, MeasuringTarget]:
    """The predictor of a further place, and where it was fitted.

    Args:
        name: A predictor file, or its name without .json beside the first one.
        predictor: The first one.
        option: Which named it.
        cache: Where what is built is kept.

    Raises:
        InputError: There is no such file, or its conditions are not to be had here.
    """
    from atb.commands.arguments.target import find_target
    from atb.predictor import load, require_conditions
    from atb.search.constraints import BOUNDS

    path = Path(name) if name.endswith(".json") else predictor.with_name(f"{name}.json")
    if not path.is_file():
        other = f" is none of {', '.join(BOUNDS)}, and" if option == "--limit" else ":"
        raise InputError(
            f"{option} {name}{other} there is no predictor {path}: fit one there with "
            "`atb predictor train --out`."
        )
    known = load(path)
    conditions = known.conditions
    target = find_target(conditions.device, conditions.runtime, conditions.settings, cache)
    require_conditions(known, target.conditions)
    return known, target


def find_alternatives(
    names: Sequence[str],
    predictor: Path,
    limit: LatencyLimit | SpeedUp | Percentile,
    latencies: Mapping[str, float],
    *,
    cache: ArtefactCache | None = None,
) -> dict[str, tuple[WorkPredictor, MeasuringTarget]]:
    """Predictors of other settings, and where they were fitted, by name.

    Args:
        names: Predictor files, or their names without .json beside the first one.
        predictor: The first one.
        limit: Of the latency.
        latencies: Limits in further places.
        cache: Where what is built is kept.

    Raises:
        InputError: One is not to be had, was given twice, or does not go with other limits.
    """
    from atb.search.constraints import SpeedUp

    if not names:
        return {}
    if latencies:
        raise InputError("--alternative does not go with --limit of a latency elsewhere: give one.")
    if isinstance(limit, SpeedUp):
        raise InputError(
            "--alternative wants the limit as --latency: a speed-up is over what is measured under "
            "one setting."
        )
    found: dict[str, tuple[WorkPredictor, MeasuringTarget]] = {}
    for name in names:
        stem = Path(name).stem if name.endswith(".json") else name
        if stem in found or stem == predictor.stem:
            raise InputError(f"--alternative {name} was given twice: leave one out.")
        found[stem] = find_place(name, predictor, "--alternative", cache=cache)
    return found


def require_reach(request: SearchRequest, predictors: Sequence[LatencyPredictor]) -> None:
    """See that the limits can be met under the conditions of one of the predictors at least.

    Raises:
        InputError: They cannot; what the first of them says.
    """
    from atb.search.constraints import BoundReach, feasible

    refused: InputError | None = None
    known = request.limit_by(predictors[0])
    if known is None:
        return
    for predictor in predictors:
        try:
            reach = BoundReach(request.bounds, request.deployed(predictor))
            feasible(
                request.space,
                predictor,
                known,
                largest=request.largest,
                bounds=reach,
                layout=request.layout,
            )
        except InputError as error:
            refused = refused or error
        else:
            return
    assert refused is not None
    raise refused
