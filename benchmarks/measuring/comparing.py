"""How often `atb compare` errs: false alarms between equals, and two per cent that it must find.

Four parts; the same command goes on where it was interrupted. A part that is run alone prints its
tables, all of them together write the result.

- `simulated`: whole comparisons on recorded noise (`noise/trace.npz`), between equals and at a
  true ratio of 1.02, within the default budget;
- `equal`: real ones of the same model twice;
- `long-run`: the ratio of a pair that differs little, from many launches of several sessions;
- `different`: real comparisons of that pair, in both orders.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import beta

from atb.devices.fake.device import FakeRuntime
from atb.devices.registry import find_device, find_runtime
from atb.devices.settings import RunSettings
from atb.models.published import resolve
from atb.profiler.comparison.comparison import ComparisonPlan, ComparisonResult, Side
from atb.profiler.comparison.runner import compare
from benchmarks.noise.replay import BLOCK_SECONDS, ReplayDevice, Trace, load_trace
from benchmarks.shared.paths import NOISE_TRACE
from benchmarks.shared.record import machine, write_result

TRUE_RATIO = 1.02
#: Of the same model twice: from half a millisecond to ten, vector widths that fit and that do not.
EQUAL = ("bert-tiny", "L2-H256-A4-Q256-F512", "bert-mini", "tinybert-4", "kd-s3", "s4")
#: Differ by a twenty-fourth of the feed-forward size.
PAIR = ("minilm-6", "L6-H384-A12-Q384-F1600")
PARTS = ("simulated", "equal", "long-run", "different")
ALARMS = ("slower", "faster")


class Ledger:
    """What was done, one JSON line each; the same command goes on after the last."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder

    def fill(
        self, name: str, count: int, make: Callable[[int], dict[str, Any]]
    ) -> list[dict[str, Any]]:
        """The first `count` rows, of which the missing ones are made now."""
        path = self._folder / f"{name}.jsonl"
        lines = path.read_text("utf-8").splitlines() if path.exists() else []
        rows = [json.loads(line) for line in lines]
        with path.open("a", encoding="utf-8") as file:
            for number in range(len(rows), count):
                rows.append(make(number))
                file.write(json.dumps(rows[-1]) + "\n")
                file.flush()
                show(name, rows, count)
        return rows[:count]


def show(name: str, rows: Sequence[dict[str, Any]], count: int) -> None:
    """A line now and then."""
    if len(rows) % max(1, count // 20) == 0:
        verdicts = ", ".join(f"{k} {n}" for k, n in Counter(r["verdict"] for r in rows).items())
        print(f"{name} {len(rows)}/{count}: {verdicts}", flush=True)


def row(found: ComparisonResult, **facts: Any) -> dict[str, Any]:
    """What is kept of a comparison."""
    return {
        **facts,
        "verdict": found.verdict,
        "ratio": found.ratio,
        "interval": found.ratio_interval,
        "launches": len(found.launches),
        "seconds": round(found.seconds, 3),
        "flagged": bool(found.reasons),
        "log_ratios": [round(value, 6) for value in found.log_ratios],
    }


def upper_bound(hits: int, of: int) -> float:
    """Clopper and Pearson's one-sided upper bound of a share, at 95 %."""
    return 1.0 if hits == of else float(beta.ppf(0.95, hits + 1, of - hits))


def summary(rows: Sequence[dict[str, Any]], right: Sequence[str]) -> dict[str, Any]:
    """Shares of verdicts, and what they cost.

    Args:
        rows: Comparisons.
        right: The verdicts that are not wrong, for each of them.
    """
    count = len(rows)
    verdicts = Counter(r["verdict"] for r in rows)
    alarms = sum(verdicts[verdict] for verdict in ALARMS)
    wrong = sum(
        r["verdict"] not in (good, "undecided") for r, good in zip(rows, right, strict=True)
    )
    hit = sum(r["verdict"] == good for r, good in zip(rows, right, strict=True))
    return {
        "comparisons": count,
        "verdicts": dict(verdicts),
        "called_different": alarms / count,
        "wrong": wrong,
        "wrong_share": wrong / count,
        "wrong_share_upper_95": upper_bound(wrong, count),
        "right_share": hit / count,
        "seconds_median": float(np.median([r["seconds"] for r in rows])),
        "seconds_percentile_95": float(np.quantile([r["seconds"] for r in rows], 0.95)),
        "launches_median": float(np.median([r["launches"] for r in rows])),
        "launch_spread": float(np.median([np.std(r["log_ratios"], ddof=1) for r in rows])),
        "flagged": sum(r["flagged"] for r in rows),
    }


def table(title: str, rows: dict[str, dict[str, Any]]) -> None:
    """A plain table of summaries."""
    columns = f"{'n':>5s} {'wrong':>7s} {'(<95%)':>7s} {'right':>7s} {'median s':>8s} spread"
    print(f"\n{title:44s} {columns}")
    for name, s in rows.items():
        print(
            f"{name:44s} {s['comparisons']:5d} {s['wrong_share']:7.2%} "
            f"{s['wrong_share_upper_95']:7.2%} {s['right_share']:7.2%} "
            f"{s['seconds_median']:8.1f} {s['launch_spread']:6.2%}"
        )


def simulated(ledger: Ledger, trace: Trace, count: int) -> dict[str, Any]:
    """Comparisons on recorded noise: equal ones, and two per cent apart."""
    same = [(model, model) for model in trace.models]
    two = list(itertools.permutations(trace.models, 2))
    runtime, settings = FakeRuntime(), RunSettings()
    cases = {
        "the same model twice": (1.0, same, "no difference"),
        f"the same model, ratio {TRUE_RATIO}": (TRUE_RATIO, same, "slower"),
        # their ratio itself moves from minute to minute: no alarm is false of that minute
        "two models of equal long-run latency": (1.0, two, "no difference"),
        f"two models, ratio {TRUE_RATIO}": (TRUE_RATIO, two, "slower"),
    }

    def make(number: int, ratio: float, pairs: Sequence[tuple[str, str]]) -> dict[str, Any]:
        models = pairs[number % len(pairs)]
        rng = np.random.default_rng([number, round(1e6 * ratio), len(pairs)])
        device = ReplayDevice(trace, models, ratio, rng)
        side = Side(resolve("bert-tiny"), runtime, settings)
        # blocks as long as the recorded ones, whose noise they have
        plan = ComparisonPlan(seed=number, block_seconds=BLOCK_SECONDS)
        return row(compare(device, side, side, plan), models=models)

    figures: dict[str, Any] = {}
    for case, (ratio, pairs, right) in cases.items():
        name = f"simulated-{'same' if pairs is same else 'two'}-{ratio}"
        rows = ledger.fill(name, count, lambda n, r=ratio, p=pairs: make(n, r, p))
        named = {
            " ".join(models): summary(chosen, [right] * len(chosen))
            for models in dict.fromkeys(tuple(sorted(set(pair))) for pair in pairs)
            if (chosen := [r for r in rows if set(r["models"]) == set(models)])
        }
        table(f"simulated: {case}", {"all": summary(rows, [right] * len(rows)), **named})
        figures[case] = {**summary(rows, [right] * len(rows)), "by_models": named}
    return figures


def sides(names: Sequence[str]) -> list[Side]:
    """On this machine, by default settings."""
    device = find_device("local")
    return [Side(resolve(name), find_runtime(device), RunSettings()) for name in names]


def equal(ledger: Ledger, count: int, budget_seconds: float) -> dict[str, Any]:
    """Real comparisons of the same model twice; of every third, the sides have a worker each."""
    device = find_device("local")
    # pinned to all CPUs: another setting, and so a worker of its own, under which nothing changes
    everywhere = RunSettings(affinity=tuple(sorted(os.sched_getaffinity(0))))

    def make(number: int) -> dict[str, Any]:
        name = EQUAL[number % len(EQUAL)]
        one, other = sides((name, name))
        if number // len(EQUAL) % 3 == 2:
            other = replace(other, settings=everywhere)
        plan = ComparisonPlan(seed=number, budget_seconds=budget_seconds)
        found = compare(device, one, other, plan)
        return row(found, model=name, workers=found.workers, at=time.time())

    rows = ledger.fill("equal", count, make)
    by_model = {
        name: summary(chosen, ["no difference"] * len(chosen))
        for name in EQUAL
        if (chosen := [r for r in rows if r["model"] == name])
    }
    by_workers = {
        f"workers: {workers}": summary(chosen, ["no difference"] * len(chosen))
        for workers in (1, 2)
        if (chosen := [r for r in rows if r["workers"] == workers])
    }
    whole = summary(rows, ["no difference"] * len(rows))
    table("real: the same model twice", {"all": whole, **by_workers, **by_model})
    return {"budget_seconds": budget_seconds, **whole, **by_workers, "by_model": by_model}


def long_run(ledger: Ledger, sessions: int, launches: int) -> dict[str, Any]:
    """The ratio of the pair from many launches, no verdict ending them."""
    device = find_device("local")

    def make(number: int) -> dict[str, Any]:
        plan = ComparisonPlan(
            seed=1000 + number, most_launches=launches, until_verdict=False, budget_seconds=3600
        )
        return row(compare(device, *sides(PAIR), plan), at=time.time())

    rows = ledger.fill("long-run", sessions, make)
    logs = np.concatenate([r["log_ratios"] for r in rows])
    error = float(logs.std(ddof=1) / math.sqrt(len(logs)))
    figures = {
        "pair": PAIR,
        "sessions": [math.exp(float(np.mean(r["log_ratios"]))) for r in rows],
        "launches": len(logs),
        "launch_spread": float(logs.std(ddof=1)),
        "ratio": math.exp(float(logs.mean())),
        "standard_error": error,
    }
    print(f"\nlong run: {' and '.join(PAIR)}: {figures['ratio']:.4f} +- {2 * error:.4f}")
    return figures


def different(ledger: Ledger, count: int) -> dict[str, Any]:
    """Real comparisons of the pair, in both orders."""
    device = find_device("local")

    def make(number: int) -> dict[str, Any]:
        names = PAIR if number % 2 == 0 else PAIR[::-1]
        found = compare(device, *sides(names), ComparisonPlan(seed=number))
        return row(found, names=names, at=time.time())

    rows = ledger.fill("different", count, make)
    right = ["slower" if tuple(r["names"]) == PAIR else "faster" for r in rows]
    whole = summary(rows, right)
    table("real: 2 to 3 per cent apart", {"all": whole})
    return {"pair": PAIR, **whole}


def parts(arguments: argparse.Namespace, ledger: Ledger) -> Iterator[tuple[str, dict[str, Any]]]:
    """The chosen parts, one after the other."""
    if "simulated" in arguments.part:
        trace = load_trace(arguments.trace)
        yield "simulated", simulated(ledger, trace, arguments.simulated)
    if "equal" in arguments.part:
        yield "equal", equal(ledger, arguments.equal, arguments.equal_budget)
    if "long-run" in arguments.part:
        yield "long_run", long_run(ledger, arguments.sessions, arguments.launches)
    if "different" in arguments.part:
        yield "different", different(ledger, arguments.different)


def main() -> None:
    """Run the chosen parts and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--part", choices=PARTS, action="append", help="Part to run; all of them by default."
    )
    parser.add_argument(
        "--simulated", type=int, default=2100, help="Simulated comparisons of each kind."
    )
    parser.add_argument("--equal", type=int, default=300)
    parser.add_argument(
        "--equal-budget",
        type=float,
        default=60.0,
        help="Budget of a comparison of equals, in seconds.",
    )
    parser.add_argument("--sessions", type=int, default=3)
    parser.add_argument("--launches", type=int, default=60)
    parser.add_argument("--different", type=int, default=20)
    parser.add_argument("--trace", type=Path, default=NOISE_TRACE)
    parser.add_argument("--out", type=Path, default=Path("atb-runs/comparing"))
    arguments = parser.parse_args()
    arguments.part = arguments.part or PARTS
    started = machine()
    figures = dict(parts(arguments, Ledger(arguments.out)))
    if set(arguments.part) == set(PARTS):
        print(f"written: {write_result('comparing', figures, started)}")


if __name__ == "__main__":
    main()
