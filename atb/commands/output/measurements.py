"""How measurements are shown: tables for people, one document for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atb.commands.output.console import (
    Table,
    print_json,
    print_line,
    print_result,
    print_status,
    print_table,
)

if TYPE_CHECKING:
    from atb.profiler import Failure
    from atb.profiler.campaign import BreakDown, CampaignResult, Tokenisation
    from atb.profiler.statistics import Measurement

_ENDED = {
    "complete": "all that was planned is measured",
    "within": "the precision asked for is reached",
    "most-launches": "the precision asked for is not reached by all; more launches were not spent",
    "budget": "the budget is spent: the same command goes on",
}

#: Where the picture of operators is written.
OPERATORS_PICTURE = Path("atb-runs/operators.png")
#: Kinds of operators that a table names; the rest is summed up.
_KINDS = 8


def print_measured(
    results: Sequence[CampaignResult], extras: Mapping[str, Sequence[Any]], *, json: bool
) -> None:
    """Print what campaigns measured, one campaign for each set of conditions.

    Args:
        results: Of the campaigns, in order.
        extras: `operators` and `tokenisation`, where they were asked for.
        json: Whether to print one document.
    """
    if extras.get("operators"):
        _draw_operators(extras["operators"])
    if json:
        print_json(
            {
                "measurements": [m.to_json() for r in results for m in r.measurements],
                "failures": [f.to_json() for r in results for f in r.failures],
                **{name: [found.to_json() for found in every] for name, every in extras.items()},
            }
        )
        return
    for result in results:
        if result.measurements:
            if len(results) > 1:
                print_line()
                print_line(f"{result.measurements[0].conditions}")
            print_table(_table(result.measurements))
            _print_advice(result.measurements)
        _print_failures(result.failures)
    for found in extras.get("operators", ()):
        _print_operators(found)
    for found in extras.get("tokenisation", ()):
        _print_tokenisation(found)


def _print_advice(measurements: Sequence[Measurement]) -> None:
    """Say once what each kind of flag in a table means, and what to do."""
    from atb.profiler.statistics import advice_of

    for advice in advice_of(flag for m in measurements for flag in m.flags):
        print_status(f"flagged: {advice}")


def print_end(result: CampaignResult) -> None:
    """Say how a campaign ended, and of how many models that is not so."""
    failed = len(result.given_up)
    if failed and not result.measurements and result.ended_by != "budget":
        print_status(
            f"campaign {result.campaign}: nothing is measured, since all {failed} models failed"
        )
        return
    but = f", but for {failed} models that failed" if failed > 1 else ""
    but = ", but for one model that failed" if failed == 1 else but
    print_status(f"campaign {result.campaign}: {_ENDED[result.ended_by]}{but}")


def _print_failures(failures: Sequence[Failure]) -> None:
    """One line for all failures of a model for the same cause, with the words of the last."""
    alike: dict[tuple[str, str], list[Failure]] = {}
    for failure in failures:
        alike.setdefault((failure.name, failure.cause), []).append(failure)
    for (name, cause), found in alike.items():
        times = f" {len(found)} times" if len(found) > 1 else ""
        print_status(f"failed{times}: {name}: {cause}: {found[-1].detail}")


def _table(measurements: Sequence[Measurement]) -> Table:
    """The latency with its interval, and the wall-clock median under the load of the moment."""
    scenario = measurements[0].scenario
    header = ["architecture", "latency ms", "from", "to", "wall median ms"]
    header += {"throughput": ["requests/s"], "sustained": ["end/begin"]}.get(scenario, [])
    rows = []
    for m in measurements:
        seconds = (m.latency_seconds, *m.interval_seconds, m.wall_seconds)
        row = [str(m.subject), *(f"{1e3 * s:.4g}" for s in seconds)]
        if m.requests_per_second is not None:
            row.append(f"{m.requests_per_second:.4g}")
        if m.curve is not None:
            row.append(f"{m.curve.sustained_over_first:.3f}")
        rows.append([*row, "; ".join(m.reasons)])
    return Table([*header, "flagged"], rows, left=(0, len(header)))


def _print_operators(found: BreakDown) -> None:
    shares = list(found.by_kind().items())
    rest = sum(share for _, share in shares[_KINDS:])
    rows = [(kind, f"{share:.1%}") for kind, share in shares[:_KINDS]]
    rows += [("all others", f"{rest:.1%}")] if rest else []
    print_line()
    print_line(f"{found.subject}, by the runtime's own profiler")
    print_table(Table(("operator", "share"), rows))


def _print_tokenisation(found: Tokenisation) -> None:
    length = found.conditions.settings.sequence_length
    print_line(
        f"\ntokenisation of {length} tokens takes {1e3 * found.seconds:.4g} ms, apart from all "
        "latencies above"
    )


def _draw_operators(found: Sequence[BreakDown]) -> None:
    from atb.files import prepare_output
    from atb.report.pictures import operators

    operators(found).save(prepare_output(OPERATORS_PICTURE))
    print_status(f"picture: {OPERATORS_PICTURE}")


def print_listing(db: str, json: bool) -> None:
    """Print what a database holds, by campaign; in JSON all measurements and failures."""
    from atb.profiler import read_measurements
    from atb.profiler.database import ProfileDatabase

    with ProfileDatabase(db) as database:
        campaigns = database.campaigns()
        measured = {
            c.label: read_measurements(database, campaign=c.label, models=True) for c in campaigns
        }
        failed = {c.label: database.failures(campaign=c.label) for c in campaigns}
    rows = [
        (
            c.label,
            c.space or "-",
            str(len(measured[c.label])),
            str(sum(m.flagged for m in measured[c.label])),
            str(len(failed[c.label])),
            str(c.conditions),
        )
        for c in campaigns
    ]
    header = ("campaign", "space", "measured", "flagged", "failed", "conditions")
    print_result(
        {
            "measurements": [m.to_json() for found in measured.values() for m in found],
            "failures": [f.to_json() for found in failed.values() for f in found],
        },
        Table(header, rows, left=(0, 1, 5)),
        json=json,
    )
