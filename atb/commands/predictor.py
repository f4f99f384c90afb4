"""`atb predictor`: fit a latency predictor on measurements, and judge it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from atb.console import print_json
from atb.options import (
    DEFAULT_DATABASE,
    DEFAULT_PREDICTOR,
    Database,
    Json,
    OneBatch,
    OneCampaign,
    OneDevice,
    OnePrecision,
    OneRuntime,
    OneSequenceLength,
    OneThreads,
    PredictorFile,
    Seed,
)

if TYPE_CHECKING:
    from atb.predictor.training_set import TrainingSet

app = typer.Typer(help="Latency predictors.", no_args_is_help=True)


@app.command("train")
def train(
    db: Database = DEFAULT_DATABASE,
    out: Annotated[Path, typer.Option("--out", metavar="FILE")] = DEFAULT_PREDICTOR,
    device: OneDevice = None,
    runtime: OneRuntime = None,
    precision: OnePrecision = None,
    threads: OneThreads = None,
    batch: OneBatch = None,
    sequence_length: OneSequenceLength = None,
    campaign: OneCampaign = None,
    coverage: Annotated[
        str, typer.Option("--coverage", help="Share of new measurements within the interval.")
    ] = "90%",
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Fit a predictor on the measurements of one set of conditions."""
    import numpy as np

    from atb.files import prepare_output
    from atb.predictor.file import save
    from atb.predictor.fitting import fit
    from atb.units import parse_percent

    share = parse_percent(coverage)
    training_set = _read(
        db,
        campaign,
        device=device,
        runtime=runtime,
        precision=precision,
        threads=threads,
        batch=batch,
        sequence_length=sequence_length,
    )
    prepare_output(out)
    predictor = fit(training_set, np.random.default_rng(seed), coverage=share)
    save(predictor, out)
    summary = predictor.summary
    if json:
        print_json(
            {
                "predictor": str(out),
                "conditions": predictor.conditions.to_json(),
                "rows": summary.rows,
                "excluded": summary.excluded,
                "noise": summary.noise,
                "cross_validated_mape": summary.cross_validated_mape,
                "residual": predictor.residual is not None,
            }
        )
        return
    typer.echo(f"{out}: {predictor.conditions}")
    typer.echo(
        f"fitted on {summary.rows} measurements ({summary.excluded} flagged ones left out), "
        f"error on held-out ones {summary.cross_validated_mape:.1%}, "
        f"measured to within {summary.noise:.1%}, "
        f"learned residual {'used' if predictor.residual is not None else 'not needed'}"
    )


@app.command("evaluate")
def evaluate(
    predictor: PredictorFile = DEFAULT_PREDICTOR,
    db: Database = DEFAULT_DATABASE,
    campaign: OneCampaign = None,
    json: Json = False,
) -> None:
    """Compare a predictor with the measurements of its conditions in a database."""
    from atb.predictor.evaluation import evaluate as judge
    from atb.predictor.file import load

    fitted = load(predictor)
    wanted = fitted.conditions.to_json()
    fields = ("device", "runtime", "precision", "threads", "batch", "sequence_length")
    training_set = _read(db, campaign, least_rows=2, **{name: wanted[name] for name in fields})
    evaluation = judge(fitted, training_set)
    if json:
        print_json(evaluation.to_json())
        return
    typer.echo(
        f"{evaluation.rows} measurements: mean error {evaluation.mape:.2%}, "
        f"within 5 %: {evaluation.within_5:.1%}, within 10 %: {evaluation.within_10:.1%}, "
        f"Spearman {evaluation.spearman:.4f}, Kendall {evaluation.kendall:.4f}"
    )


def _read(
    db: str, campaign: str | None, *, least_rows: int | None = None, **wanted: Any
) -> TrainingSet:
    from atb.predictor.training_set import LEAST_ROWS, TrainingSet
    from atb.profiler.database import ProfileDatabase
    from atb.target import choose_conditions

    with ProfileDatabase(db) as database:
        conditions = choose_conditions(database, **wanted)
        return TrainingSet.from_measurements(
            database.measurements(conditions=conditions, campaign=campaign),
            least_rows=least_rows or LEAST_ROWS,
        )
