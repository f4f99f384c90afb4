"""`atb predictor`: fit a latency predictor on measurements, and judge it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from atb.commands.arguments import (
    DEFAULT_DATABASE,
    DEFAULT_PREDICTOR,
    Database,
    Features,
    Force,
    Json,
    OneBatch,
    OneCampaign,
    OneDevice,
    OnePrecision,
    OneRuntime,
    OneSequenceLength,
    OneThreads,
    Order,
    PredictorFile,
    Seed,
    TableFile,
    TargetColumn,
)
from atb.commands.output import print_json, print_line
from atb.commands.predictor.compare import compare
from atb.commands.predictor.transfer import transfer

if TYPE_CHECKING:
    from atb.predictor import TrainingSet

app = typer.Typer(help="Latency predictors.", no_args_is_help=True)
app.command("compare")(compare)
app.command("transfer")(transfer)


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
    all_settings: Annotated[
        bool,
        typer.Option(
            "--all-settings",
            help="One predictor of every length, batch, precision and number of threads there is.",
        ),
    ] = False,
    table: TableFile = None,
    target: TargetColumn = None,
    features: Features = None,
    order: Order = None,
    force: Force = False,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Fit a predictor on the measurements of one set of conditions, or on any table."""
    import numpy as np

    from atb.commands.arguments import refuse_beside, select_training_set, select_training_sets
    from atb.files import prepare_output
    from atb.predictor import fit, save
    from atb.units import parse_percent

    share = parse_percent(coverage)
    wanted: dict[str, Any] = {
        "device": device,
        "runtime": runtime,
        "precision": precision,
        "threads": threads,
        "batch": batch,
        "sequence_length": sequence_length,
    }
    if table is not None:
        from atb.commands.predictor.tables import train_on_table

        database = None if db == DEFAULT_DATABASE else db
        switches = {"all_settings": all_settings or None, "force": force or None}
        refuse_beside("--table", {**wanted, "campaign": campaign, "db": database, **switches})
        train_on_table(table, target, features, order, out, share=share, seed=seed, json=json)
        return
    refuse_beside("--db", {"target": target, "features": features, "order": order})
    if all_settings:
        sets = select_training_sets(db, campaign, emulated=force, **wanted)
        _train_family(sets, out, share=share, seed=seed, json=json)
        return
    training_set = select_training_set(db, campaign, emulated=force, **wanted)
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
                "residual": predictor.model.residual is not None,
            }
        )
        return
    print_line(f"{out}: {predictor.conditions}")
    print_line(
        f"fitted on {summary.rows} measurements ({summary.excluded} left out), "
        f"error on held-out ones {summary.cross_validated_mape:.1%}, "
        f"measured to within {summary.noise:.1%}, "
        f"learned residual {'used' if predictor.model.residual is not None else 'not needed'}"
    )


@app.command("evaluate")
def evaluate(
    predictor: PredictorFile = DEFAULT_PREDICTOR,
    db: Database = DEFAULT_DATABASE,
    campaign: OneCampaign = None,
    table: TableFile = None,
    order: Order = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Compare a predictor with the measurements of its conditions, or with the rows of a table.

    Each architecture that it learnt from is predicted by fits without it.
    """
    from atb.commands.arguments import refuse_beside, select_training_set
    from atb.commands.predictor.tables import evaluate_on_table, print_evaluation
    from atb.predictor import load
    from atb.predictor.evaluation import evaluate as judge
    from atb.predictor.fitting import architecture_at

    if table is not None:
        refuse_beside("--table", {"force": force or None})
        evaluate_on_table(predictor, table, order, json=json)
        return
    refuse_beside("--db", {"order": order})
    fitted = load(predictor)
    wanted = fitted.conditions.to_json()
    fields = ("device", "runtime", "precision", "threads", "batch", "sequence_length")
    training_set = select_training_set(
        db, campaign, least_rows=2, emulated=force, **{name: wanted[name] for name in fields}
    )
    evaluation = judge(fitted, training_set)
    if json:
        worst = str(architecture_at(training_set.rows[evaluation.worst_row]))
        print_json({**evaluation.to_json(), "worst_architecture": worst})
        return
    print_evaluation(evaluation)


def _train_family(
    sets: Sequence[TrainingSet], out: Path, *, share: float, seed: int, json: bool
) -> None:
    import numpy as np

    from atb.files import prepare_output
    from atb.predictor import fit_family, save

    prepare_output(out)
    family = fit_family(sets, np.random.default_rng(seed), coverage=share)
    save(family, out)
    if json:
        print_json(
            {
                "predictor": str(out),
                "conditions": [s.conditions.to_json() for s in sets],
                "rows": family.summary.rows,
                "excluded": family.summary.excluded,
                "noise": family.summary.noise,
                "cross_validated_mape": family.summary.cross_validated_mape,
            }
        )
        return
    print_line(f"{out}: {len(sets)} sets of conditions in {len(family.modes)} modes")
    print_line(
        f"fitted on {family.summary.rows} measurements ({family.summary.excluded} "
        f"left out), error on held-out ones {family.summary.cross_validated_mape:.1%}"
    )
