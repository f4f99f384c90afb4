"""`atb predictor evaluate`: a predictor against measurements."""

from __future__ import annotations

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
)


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
    from atb.commands.arguments import reject_conflicts, select_training_set
    from atb.commands.predictor.on_tables import evaluate_on_table, print_evaluation
    from atb.predictor import evaluate as compare_with, load
    from atb.predictor.fitting import architecture_at

    if table is not None:
        reject_conflicts("--table", {"force": force or None})
        evaluate_on_table(predictor, table, order, json=json)
        return
    reject_conflicts("--db", {"order": order})
    fitted = load(predictor)
    held = fitted.conditions.to_json()
    wanted = {name: held[name] for name in SelectionOptions().wanted}
    training_set = select_training_set(
        SelectionOptions(db=db, campaign=campaign, **wanted), least_rows=2, emulated=force
    )
    evaluation = compare_with(fitted, training_set)
    worst = str(architecture_at(training_set.rows[evaluation.worst_row]))
    print_evaluation(evaluation, {"worst_architecture": worst}, json=json)
