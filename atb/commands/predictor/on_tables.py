"""What `atb predictor` and `atb predict` do with a table of any measurements."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atb.commands.arguments import print_reading, select_table
from atb.commands.output import print_result, print_status
from atb.errors import InputError
from atb.text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from typing import Any

    from atb.commands.arguments import TableOptions
    from atb.predictor import Evaluation
    from atb.predictor.tables import TablePredictor


def train_on_table(
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


def evaluate_on_table(predictor: Path, path: Path, order: str | None, *, json: bool) -> None:
    """Compare a predictor of a column with the rows of a table."""
    from atb.predictor import evaluate_rows, load_table_predictor
    from atb.predictor.tables import read_judged_table

    fitted = load_table_predictor(predictor)
    _require_same_order(fitted, order)
    table = read_judged_table(path, fitted.units, fitted.target, fitted.target_unit, order)
    print_reading(table.notes, table.left_out)
    evaluation = evaluate_rows(fitted, table.observed)
    found = fitted.predict(table.observed.rows)
    outside = len(found) - int(found.supported.sum())
    further = [f"{outside} of {len(found)} rows lie outside the range that was fitted"]
    worst = {"worst_row": evaluation.worst_row + 1}
    print_evaluation(evaluation, worst, json=json, status=further if outside else ())


def predict_table(predictor: Path, path: Path, order: str | None, *, json: bool) -> None:
    """Print what a predictor of a column says of the rows of a table, as CSV or one document."""
    import csv
    import sys

    from atb.predictor import load_table_predictor
    from atb.predictor.tables import read_rows

    fitted = load_table_predictor(predictor)
    _require_same_order(fitted, order)
    names = [feature.name for feature in fitted.features]
    read = read_rows(path, fitted.units, order)
    print_reading(read.notes)
    found = fitted.predict(read.rows, read.order)
    columns = {
        fitted.target: found.values.tolist(),
        "lower": found.lower.tolist(),
        "upper": found.upper.tolist(),
        "supported": found.supported.tolist(),
    }
    entries = [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]
    if json:
        print_result({"target": fitted.target, "predictions": entries}, json=True)
        return
    writer = csv.DictWriter(sys.stdout, fieldnames=[*names, *columns], lineterminator="\n")
    writer.writerow({name: printable(name) for name in writer.fieldnames})
    for row, entry in zip(read.rows.tolist(), entries, strict=True):
        writer.writerow({**dict(zip(names, row, strict=True)), **entry})
    print_status(f"{fitted.model.coverage:.0%} of measurements lie within the interval")


def _require_same_order(predictor: TablePredictor, order: str | None) -> None:
    if order is not None and order != predictor.summary.order:
        known = predictor.summary.order
        raise InputError(
            f"--order is {order}, and the predictor "
            f"{'knows no order' if known is None else f'was fitted by {known}'}: "
            "give the same one to both, or leave it out to compare with the device's level."
        )


def print_evaluation(
    evaluation: Evaluation, worst: Mapping[str, Any], *, json: bool, status: Sequence[str] = ()
) -> None:
    """Print how good a predictor is.

    Args:
        evaluation: The errors.
        worst: What was predicted worst, for --json.
        json: Whether to print one document.
        status: Further lines on stderr.
    """
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
