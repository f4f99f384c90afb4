"""`atb predictor train`: a predictor fitted on measurements."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
)
from atb.commands.output import print_result

if TYPE_CHECKING:
    from collections.abc import Sequence

    from atb.predictor import TrainingSet


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
    from atb.commands.arguments import reject_conflicts, select_training_set, select_training_sets
    from atb.units import parse_percent

    share = parse_percent(coverage)
    if columns.table is not None:
        from atb.commands.predictor.on_tables import train_on_table

        chosen.reject_beside_table(all_settings=all_settings, force=force)
        train_on_table(columns.table, columns, order, out, share=share, seed=seed, json=json)
        return
    reject_conflicts(
        "--db", {"target": columns.target, "features": columns.features, "order": order}
    )
    if all_settings:
        sets = select_training_sets(chosen, emulated=force)
        _train_family(sets, out, share=share, seed=seed, json=json)
    else:
        one = select_training_set(chosen, emulated=force)
        _train_one(one, out, share=share, seed=seed, json=json)


def _train_one(
    training_set: TrainingSet, out: Path, *, share: float, seed: int, json: bool
) -> None:
    import numpy as np

    from atb.files import prepare_output
    from atb.predictor import fit, save

    prepare_output(out)
    predictor = fit(training_set, np.random.default_rng(seed), coverage=share)
    save(predictor, out)
    summary, has_residual = predictor.summary, predictor.model.residual is not None
    print_result(
        {
            "predictor": str(out),
            "conditions": predictor.conditions.to_json(),
            "rows": summary.rows,
            "excluded": summary.excluded,
            "noise": summary.noise,
            "cross_validated_mape": summary.cross_validated_mape,
            "residual": has_residual,
        },
        f"{out}: {predictor.conditions}",
        f"fitted on {summary.rows} measurements ({summary.excluded} left out), "
        f"error on held-out ones {summary.cross_validated_mape:.1%}, "
        f"measured to within {summary.noise:.1%}, "
        f"learned residual {'used' if has_residual else 'not needed'}",
        json=json,
    )


def _train_family(
    sets: Sequence[TrainingSet], out: Path, *, share: float, seed: int, json: bool
) -> None:
    import numpy as np

    from atb.files import prepare_output
    from atb.predictor import fit_family, save

    prepare_output(out)
    family = fit_family(sets, np.random.default_rng(seed), coverage=share)
    save(family, out)
    summary = family.summary
    print_result(
        {
            "predictor": str(out),
            "conditions": [one.conditions.to_json() for one in sets],
            "rows": summary.rows,
            "excluded": summary.excluded,
            "noise": summary.noise,
            "cross_validated_mape": summary.cross_validated_mape,
        },
        f"{out}: {len(sets)} sets of conditions in {len(family.modes)} modes",
        f"fitted on {summary.rows} measurements ({summary.excluded} left out), "
        f"error on held-out ones {summary.cross_validated_mape:.1%}",
        json=json,
    )
