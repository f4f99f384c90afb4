"""`atb predictor compare`: our predictor beside baselines, on the same rows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from atb.commands.arguments import (
    DEFAULT_DATABASE,
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
    Seed,
    TableFile,
    TargetColumn,
)
from atb.commands.output import note, print_json, print_table, progress
from atb.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from atb.predictor import TrainingSet
    from atb.predictor.baselines import PredictorScore, Regressor
    from atb.predictor.fitting import Observations

OURS = "atb"
#: As published it takes a quarter of an hour for each fit on two cores.
SLOW = ("autotinybert",)
#: Of rows to learn from, as far as there are so many.
_SIZES = (10, 20, 50, 100, 200, 500, 1000, 2000)


def compare(
    db: Database = DEFAULT_DATABASE,
    device: OneDevice = None,
    runtime: OneRuntime = None,
    precision: OnePrecision = None,
    threads: OneThreads = None,
    batch: OneBatch = None,
    sequence_length: OneSequenceLength = None,
    campaign: OneCampaign = None,
    table: TableFile = None,
    target: TargetColumn = None,
    features: Features = None,
    baselines: Annotated[
        str | None,
        typer.Option(
            "--baselines",
            metavar="a,b,c",
            help="Predictors to compare with: ridge, forest, boosting, lookup, and the published "
            "networks hat and autotinybert, whose fits take minutes.",
            show_default="all but autotinybert",
        ),
    ] = None,
    peers: Annotated[str | None, typer.Option("--peers", hidden=True)] = None,
    sizes: Annotated[
        str | None,
        typer.Option("--sizes", metavar="10,50", help="How many rows to learn from."),
    ] = None,
    splits: Annotated[int, typer.Option("--splits", min=1, help="Random draws.")] = 5,
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="The picture, PNG or SVG.")
    ] = Path("atb-runs/predictors.png"),
    force: Force = False,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Compare our predictor with baselines on measurements or on any table.

    A fifth of the rows is held out of every fit, and all predictors learn from the same others.
    """
    import numpy as np

    from atb.commands.arguments import refuse_beside, select_training_set
    from atb.files import atomic_path, prepare_output
    from atb.predictor.baselines import compare as fit_all, random_splits
    from atb.report.pictures import learning_curves

    if out.suffix not in (".png", ".svg"):
        raise InputError(f"--out is {out}: the picture is a .png or a .svg file.")
    wanted: dict[str, Any] = {
        "device": device,
        "runtime": runtime,
        "precision": precision,
        "threads": threads,
        "batch": batch,
        "sequence_length": sequence_length,
    }
    if table is not None:
        database = None if db == DEFAULT_DATABASE else db
        given = {**wanted, "campaign": campaign, "db": database, "force": force or None}
        refuse_beside("--table", given)
        observed, regressors = _of_table(table, target, features)
    else:
        refuse_beside("--db", {"target": target, "features": features})
        training_set = select_training_set(db, campaign, emulated=force, **wanted)
        observed, regressors = _of_architectures(training_set)
    chosen = {
        OURS: regressors[OURS],
        **{name: regressors[name] for name in _named(baselines or peers)},
    }
    pairs = random_splits(observed, splits, 0.2, np.random.default_rng(seed))
    counts = _counts(sizes, min(len(train) for train, _ in pairs))
    prepare_output(out)
    with progress("compare") as show:
        found = fit_all(observed, chosen, counts, pairs, seed=seed, progress=show)
    with atomic_path(out) as temporary:
        learning_curves(found).save(temporary)
    if json:
        print_json({"picture": str(out), "comparisons": [_entry(f) for f in found]})
        return
    _print(found)
    note(f"learning curve: {out}")


def _of_table(
    path: Path, target: str | None, features: str | None
) -> tuple[Observations, Mapping[str, Regressor]]:
    from atb.commands.arguments import note_reading, select_table
    from atb.predictor.baselines import BASELINES, WorkTerms
    from atb.predictor.tables import table_bases

    table = select_table(path, target, features, None)
    note_reading(table.notes, table.left_out)
    return table.observed, {OURS: WorkTerms(list(table_bases(table).values())), **BASELINES}


def _of_architectures(
    training_set: TrainingSet,
) -> tuple[Observations, Mapping[str, Regressor]]:
    from atb.predictor.baselines import WorkTerms, architecture_baselines
    from atb.predictor.fitting import architecture_basis, bases_of

    basis = architecture_basis(training_set.conditions.settings)
    return training_set.observations, {OURS: WorkTerms(bases_of(basis)), **architecture_baselines()}


def _named(baselines: str | None) -> list[str]:
    from atb.predictor.baselines import BASELINES

    if baselines is None:
        return [name for name in BASELINES if name not in SLOW]
    names = [name.strip() for name in baselines.split(",")]
    unknown = [name for name in names if name not in BASELINES]
    if unknown:
        raise InputError(
            f"There is no baseline {unknown[0]!r}: choose among {', '.join(BASELINES)}."
        )
    return list(dict.fromkeys(names))


def _counts(sizes: str | None, most: int) -> list[int]:
    from atb.commands.arguments import parse_list
    from atb.predictor import LEAST_ROWS

    counts = (
        [*(n for n in _SIZES if n < most), most]
        if sizes is None
        else sorted(parse_list(sizes, int, "--sizes"))
    )
    if counts[0] < LEAST_ROWS:
        raise InputError(
            f"{counts[0]} rows to learn from were asked for, and {LEAST_ROWS} are needed: "
            "ask for more, or measure more."
        )
    return counts


def _entry(f: PredictorScore) -> dict[str, object]:
    return {
        "predictor": f.name,
        "learned_from": f.rows,
        "split": f.split,
        **f.evaluation.to_json(),
        "fit_seconds": f.fit_seconds,
        "query_seconds": f.query_seconds,
    }


def _print(found: Sequence[PredictorScore]) -> None:
    """Means over the splits, the smallest error of each number of rows first."""
    import numpy as np

    def mean(part: Sequence[PredictorScore], name: str) -> float:
        return float(np.mean([getattr(f.evaluation, name) for f in part]))

    rows = []
    for size in sorted({f.rows for f in found}):
        groups = {
            name: [f for f in found if (f.name, f.rows) == (name, size)]
            for name in dict.fromkeys(f.name for f in found)
        }
        for name, part in sorted(groups.items(), key=lambda group: mean(group[1], "mape")):
            rows.append(
                (
                    str(size),
                    name,
                    *(f"{100 * mean(part, key):.1f}" for key in ("mape", "within_5", "within_10")),
                    *(f"{mean(part, key):.4f}" for key in ("spearman", "kendall")),
                    f"{100 * max(f.evaluation.worst for f in part):.0f}",
                    f"{np.mean([f.fit_seconds for f in part]):.2g}",
                    f"{1e6 * np.mean([f.query_seconds for f in part]):.2g}",
                )
            )
    header = ("rows", "predictor", "error %", "within 5 %", "within 10 %", "Spearman", "Kendall")
    print_table((*header, "worst %", "fit s", "query us"), rows, left=(1,))
