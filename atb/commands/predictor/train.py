"""`atb predictor train`: a predictor fitted on measurements."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from typer import Option

from atb.commands.arguments import (
    DEFAULT_PREDICTOR,
    Coverage,
    Force,
    Json,
    Order,
    PredictorOutput,
    Seed,
    SelectionOptions,
    TableOptions,
    print_reading,
    reject_conflicts,
    select_table,
    select_training_set,
    select_training_sets,
)
from atb.commands.output import print_result


def train(
    *,
    chosen: SelectionOptions,
    all_settings: Annotated[
        bool,
        Option(
            "--all-settings",
            help="Fit one predictor of all lengths, batch sizes, precisions and thread counts.",
        ),
    ] = False,
    columns: TableOptions,
    order: Order = None,
    out: PredictorOutput = DEFAULT_PREDICTOR,
    coverage: Coverage = "90%",
    force: Force = False,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Fit a predictor on the measurements of one set of conditions, or on any table.

    Example:
        atb predictor train --db atb-runs/profile.db
    """
    from atb.units import parse_percent

    share = parse_percent(coverage)
    if columns.table is not None:
        reject_conflicts("--table", **chosen.given, all_settings=all_settings, force=force)
        _train_on_table(columns.table, columns, order, out, share=share, seed=seed, json=json)
        return
    reject_conflicts("--db", target=columns.target, features=columns.features, order=order)
    document, title, quality = _fit(chosen, all_settings, out, share, seed, emulated=force)
    print_result(document, f"{out}: {title}", quality, json=json)


def _fit(
    chosen: SelectionOptions,
    all_settings: bool,
    out: Path,
    share: float,
    seed: int,
    *,
    emulated: bool,
) -> tuple[dict[str, Any], str, str]:
    """Fit and store a predictor; what is known of it, and that in words."""
    import numpy as np

    from atb.files import prepare_output
    from atb.predictor import FamilyPredictor, WorkPredictor, fit, fit_family, save

    fitted: WorkPredictor | FamilyPredictor
    rng = np.random.default_rng(seed)
    if all_settings:
        sets = select_training_sets(chosen, emulated=emulated)
        prepare_output(out)
        fitted = fit_family(sets, rng, coverage=share)
        title = f"{len(sets)} sets of conditions in {len(fitted.modes)} modes"
        conditions: Any = [one.conditions.to_json() for one in sets]
        residual, further = {}, ""
    else:
        training_set = select_training_set(chosen, emulated=emulated)
        prepare_output(out)
        fitted = fit(training_set, rng, coverage=share)
        title, conditions = str(fitted.conditions), fitted.conditions.to_json()
        residual = {"residual": fitted.model.residual is not None}
        used = "used" if residual["residual"] else "not needed"
        noise = f"{fitted.summary.noise:.1%}"
        further = f", measured to within {noise}, learned residual {used}"
    save(fitted, out)
    summary = fitted.summary
    document = {
        "predictor": str(out),
        "conditions": conditions,
        "rows": summary.rows,
        "excluded": summary.excluded,
        "noise": summary.noise,
        "cross_validated_mape": summary.cross_validated_mape,
        **residual,
    }
    quality = (
        f"fitted on {summary.rows} measurements ({summary.excluded} left out), "
        f"error on held-out ones {summary.cross_validated_mape:.1%}{further}"
    )
    return document, title, quality


def _train_on_table(
    path: Path,
    columns: TableOptions,
    order: str | None,
    out: Path,
    *,
    share: float,
    seed: int,
    json: bool,
) -> None:
    """Fit a predictor of a column, store it and say how good it is."""
    import numpy as np

    from atb.files import prepare_output
    from atb.predictor import save
    from atb.predictor.tables import fit_table

    table = select_table(path, columns, order)
    prepare_output(out)
    predictor = fit_table(table, np.random.default_rng(seed), coverage=share)
    save(predictor, out)
    print_reading(table.notes, table.left_out)
    summary, model = predictor.summary, predictor.model
    lines = [
        f"{out}: {table.target} from {', '.join(feature.name for feature in predictor.features)}",
        (
            f"fitted on {summary.rows} rows, products of up to {predictor.degree}, "
            f"error on held-out ones {summary.cross_validated_mape:.1%}, "
            f"learned residual {'used' if model.residual is not None else 'not needed'}"
        ),
    ]
    if model.drift is not None:
        low, high = float(model.drift.factors.min()), float(model.drift.factors.max())
        lines.append(
            f"the device drifted by {low - 1:+.1%} to {high - 1:+.1%} around its level; where the "
            f"time of a row is known the error is {summary.cross_validated_timed_mape:.1%}"
        )
    elif order is not None:
        lines.append("no drift of the device was seen")
    print_result(
        {
            "predictor": str(out),
            "target": table.target,
            "features": [feature.name for feature in predictor.features],
            "left_out": [one.name for one in table.left_out],
            "left_out_reasons": {one.name: one.reason for one in table.left_out},
            "degree": predictor.degree,
            "rows": summary.rows,
            "cross_validated_mape": summary.cross_validated_mape,
            "cross_validated_timed_mape": summary.cross_validated_timed_mape,
            "residual": model.residual is not None,
            "drift": model.drift is not None,
        },
        *lines,
        json=json,
    )
