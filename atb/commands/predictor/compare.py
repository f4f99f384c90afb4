"""`atb predictor compare`: our predictor and baselines on the same rows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from atb.commands.arguments import (
    Force,
    Json,
    Options,
    Seed,
    SelectionOptions,
    TableOptions,
    option,
)
from atb.commands.output import Table, print_result, progress
from atb.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from atb.predictor import TrainingSet
    from atb.predictor.baselines import PredictorScore, Regressor
    from atb.predictor.fitting import Observations

OURS = "atb"
#: As published this one takes a quarter of an hour for each fit on two cores.
SLOW = ("autotinybert",)
#: Numbers of rows to learn from, up to how many there are.
_SIZES = (10, 20, 50, 100, 200, 500, 1000, 2000)


class LearningOptions(Options, panel="Comparison"):
    """What is compared, and on how many rows."""

    baselines: str | None = option(
        default=None,
        metavar="a,b,c",
        help="Compare with these: ridge, forest, boosting, lookup, hat and autotinybert (the last "
        "two are published networks, and the last takes minutes for each fit); by default with "
        "all but autotinybert.",
    )
    sizes: str | None = option(
        default=None,
        metavar="10,50",
        help="Learn from these numbers of rows; by default from 10, 20, 50, ... and all.",
    )
    splits: int = option(default=5, min=1, help="Repeat with this many random splits of the rows.")
    out: Path = option(
        default=Path("atb-runs/predictors.png"),
        metavar="FILE",
        help="Draw the learning curves here, as .png or .svg.",
        rich_help_panel="Output",
    )


def compare(
    chosen: SelectionOptions,
    columns: TableOptions,
    how: LearningOptions,
    force: Force = False,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Compare our predictor with baselines on measurements or on any table.

    A fifth of the rows is held out of every fit, and all predictors learn from the same rows.

    Example:
        atb predictor compare --db atb-runs/profile.db --baselines ridge,forest
    """
    import numpy as np

    from atb.commands.arguments import reject_conflicts, select_training_set
    from atb.files import atomic_path, prepare_output
    from atb.predictor.baselines import compare as fit_all, random_splits
    from atb.report.pictures import learning_curves

    out = how.out
    if out.suffix not in (".png", ".svg"):
        raise InputError(f"--out is {out}: the picture is a .png or a .svg file.")
    if columns.table is not None:
        reject_conflicts("--table", **chosen.given, force=force)
        observed, regressors = _of_table(columns.table, columns)
    else:
        reject_conflicts("--db", target=columns.target, features=columns.features)
        observed, regressors = _of_architectures(select_training_set(chosen, emulated=force))
    compared = {
        OURS: regressors[OURS],
        **{name: regressors[name] for name in _named(how.baselines)},
    }
    pairs = random_splits(observed, how.splits, 0.2, np.random.default_rng(seed))
    counts = _counts(how.sizes, min(len(train) for train, _ in pairs))
    prepare_output(out)
    with progress("compare") as show:
        found = fit_all(observed, compared, counts, pairs, seed=seed, progress=show)
    with atomic_path(out) as temporary:
        learning_curves(found).save(temporary)
    print_result(
        {"picture": str(out), "comparisons": [_entry(f) for f in found]},
        _table(found),
        json=json,
        status=[f"learning curve: {out}"],
    )


def _of_table(path: Path, columns: TableOptions) -> tuple[Observations, Mapping[str, Regressor]]:
    from atb.commands.arguments import print_reading, select_table
    from atb.predictor.baselines import BASELINES, WorkTerms
    from atb.predictor.tables import table_bases

    table = select_table(path, columns, None)
    print_reading(table.notes, table.left_out)
    return table.observed, {OURS: WorkTerms(list(table_bases(table).values())), **BASELINES}


def _of_architectures(training_set: TrainingSet) -> tuple[Observations, Mapping[str, Regressor]]:
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


def _table(found: Sequence[PredictorScore]) -> Table:
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
    return Table((*header, "worst %", "fit s", "query us"), rows, left=(1,))
