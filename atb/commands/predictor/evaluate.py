"""`atb predictor evaluate`: a predictor against measurements."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from atb.commands.arguments import (
    DEFAULT_DATABASE,
    DEFAULT_PREDICTOR,
    Database,
    Force,
    Json,
    OneCampaign,
    Order,
    PredictorFile,
    SelectionOptions,
    TableFile,
    print_reading,
    reject_conflicts,
    require_same_order,
    select_training_set,
)
from atb.commands.output import print_result

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from atb.predictor import Evaluation


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

    Example:
        atb predictor evaluate --db atb-runs/profile.db --predictor atb-runs/predictor.json
    """
    from atb.predictor import evaluate as compare_with, load
    from atb.predictor.fitting import architecture_at

    if table is not None:
        reject_conflicts("--table", force=force)
        _evaluate_on_table(predictor, table, order, json=json)
        return
    reject_conflicts("--db", order=order)
    fitted = load(predictor)
    wanted = {**fitted.conditions.to_json(), "db": db, "campaign": campaign}
    chosen = SelectionOptions.of(wanted)
    training_set = select_training_set(chosen, least_rows=2, emulated=force)
    evaluation = compare_with(fitted, training_set)
    worst = str(architecture_at(training_set.rows[evaluation.worst_row]))
    _print(evaluation, {"worst_architecture": worst}, json=json)


def _evaluate_on_table(predictor: Path, path: Path, order: str | None, *, json: bool) -> None:
    """Compare a predictor of a column with the rows of a table."""
    from atb.predictor import evaluate_rows, load_table_predictor
    from atb.predictor.tables import read_judged_table

    fitted = load_table_predictor(predictor)
    require_same_order(fitted, order)
    table = read_judged_table(path, fitted.units, fitted.target, fitted.target_unit, order)
    print_reading(table.notes, table.left_out)
    evaluation = evaluate_rows(fitted, table.observed)
    found = fitted.predict(table.observed.rows)
    outside = len(found) - int(found.supported.sum())
    further = [f"{outside} of {len(found)} rows lie outside the range that was fitted"]
    worst = {"worst_row": evaluation.worst_row + 1}
    _print(evaluation, worst, json=json, status=further if outside else ())


def _print(
    evaluation: Evaluation, worst: Mapping[str, Any], *, json: bool, status: Sequence[str] = ()
) -> None:
    """Print how good a predictor is, with what it predicted worst."""
    held_out = (
        f"{evaluation.held_out_rows} of them are of what the predictor learnt from: fits without "
        "them, in ten folds, predicted those"
    )
    left_out = (
        f"{evaluation.left_out_rows} more are left out, since the predictor learnt from them and "
        "they are too few to be held out in turn"
    )
    print_result(
        {**evaluation.to_json(), **worst},
        f"{evaluation.rows} measurements: mean error {evaluation.mape:.2%}, "
        f"within 5 %: {evaluation.within_5:.1%}, within 10 %: {evaluation.within_10:.1%}, "
        f"Spearman {evaluation.spearman:.4f}, Kendall {evaluation.kendall:.4f}",
        json=json,
        status=[
            *([held_out] if evaluation.held_out_rows else []),
            *([left_out] if evaluation.left_out_rows else []),
            *status,
        ],
    )
