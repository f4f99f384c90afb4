"""From the words of the command line to the rows that a predictor learns from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atb.commands.arguments import completion
from atb.commands.arguments.groups import Options, option
from atb.commands.arguments.options import (
    DEFAULT_DATABASE,
    Database,
    OneCampaign,
    OneDevice,
    TableFile,
)
from atb.errors import InputError
from atb.messages import LOG

if TYPE_CHECKING:
    from atb.predictor import TrainingSet
    from atb.predictor.tables import LeftOut, Table, TablePredictor


class ConditionOptions(Options, panel="Conditions"):
    """Which of the conditions that a file holds; what is None is left open."""

    device: OneDevice = None
    runtime: str | None = option(
        default=None,
        metavar="NAME",
        help="Choose conditions with this runtime; by default with any.",
        autocompletion=completion.runtimes,
    )
    precision: str | None = option(
        default=None,
        metavar="fp32|int8",
        help="Choose conditions in this numeric precision; by default in any.",
        autocompletion=completion.precisions,
    )
    threads: int | None = option(
        default=None, help="Choose conditions with this many threads; by default with any number."
    )
    batch: int | None = option(
        default=None,
        help="Choose conditions with this many sequences in one inference; by default with any.",
    )
    sequence_length: int | None = option(
        default=None,
        help="Choose conditions with sequences of this many tokens; by default with any.",
    )

    @property
    def wanted(self) -> dict[str, Any]:
        """Fields of `Conditions` by name; None leaves one open."""
        return {field.name: getattr(self, field.name) for field in fields(ConditionOptions)}


class SelectionOptions(ConditionOptions, panel="Which measurements"):
    """Which measurements of a database."""

    db: Database = DEFAULT_DATABASE
    campaign: OneCampaign = None

    @property
    def given(self) -> dict[str, Any]:
        """What is not as it is by default, by name; None elsewhere."""
        db = None if self.db == DEFAULT_DATABASE else self.db
        return {**self.wanted, "campaign": self.campaign, "db": db}


class TableOptions(Options, panel="Table"):
    """A table of measurements in place of a database, and its columns."""

    table: TableFile = None
    target: str | None = option(
        default=None, metavar="COLUMN", help="Predict this column of --table, which has no default."
    )
    features: str | None = option(
        default=None,
        metavar="a,b,c",
        help="Predict from these columns of --table; by default from all others with numbers.",
    )


def reject_conflicts(source: str, **given: object) -> None:
    """Make sure that no word is given that means nothing beside this source of rows.

    Raises:
        InputError: One is.
    """
    for name, value in given.items():
        if value is not None and value is not False:
            option = f"--{name.replace('_', '-')}"
            raise InputError(f"{option} says nothing about {source}: leave one of the two out.")


def select_training_set(
    chosen: SelectionOptions, *, least_rows: int | None = None, emulated: bool = False
) -> TrainingSet:
    """Measurements of one set of conditions.

    Args:
        chosen: The options that choose it.
        least_rows: How many architectures there must be; as many as a fit needs by default.
        emulated: Whether to take those of an emulated processor too.

    Raises:
        InputError: There are too few, the conditions are not told apart, or the processor is
            emulated.
    """
    from atb.commands.arguments.target import choose_conditions
    from atb.predictor import LEAST_ROWS, TrainingSet
    from atb.profiler import read_measurements
    from atb.profiler.database import ProfileDatabase

    with ProfileDatabase(chosen.db) as database:
        conditions = choose_conditions(database, chosen.campaign, **chosen.wanted)
        return TrainingSet.from_measurements(
            read_measurements(database, conditions=conditions, campaign=chosen.campaign),
            least_rows=least_rows or LEAST_ROWS,
            emulated=emulated,
        )


def select_training_sets(chosen: SelectionOptions, *, emulated: bool = False) -> list[TrainingSet]:
    """Measurements of every set of conditions that agrees with what is wanted.

    Raises:
        InputError: None has a usable measurement, or the processor of one is emulated.
    """
    from atb.commands.arguments.target import agreeing_conditions
    from atb.predictor import TrainingSet
    from atb.profiler import read_measurements
    from atb.profiler.database import ProfileDatabase

    found = []
    with ProfileDatabase(chosen.db) as database:
        for conditions in agreeing_conditions(database, chosen.campaign, **chosen.wanted):
            measured = read_measurements(database, conditions=conditions, campaign=chosen.campaign)
            if any(measurement.usable for measurement in measured):
                found.append(
                    TrainingSet.from_measurements(measured, least_rows=1, emulated=emulated)
                )
    if not found:
        raise InputError("There is no usable measurement: measure with `atb profile`.")
    return found


def select_table(path: Path, chosen: TableOptions, order: str | None) -> Table:
    """Rows of a table.

    Args:
        path: Delimited text or Parquet.
        chosen: Which column to predict, and from which.
        order: `rows`, a column, or None.

    Raises:
        InputError: A column is missing or impossible.
    """
    from atb.predictor.tables import read_table

    if chosen.target is None:
        raise InputError("--table came without --target: name the column that is to be predicted.")
    names = None if chosen.features is None else [n.strip() for n in chosen.features.split(",")]
    return read_table(path, target=chosen.target, features=names, order=order)


def print_reading(notes: Sequence[str], left_out: Sequence[LeftOut] = ()) -> None:
    """Say how a table was read, and which of its columns were left out and why."""
    for sentence in notes:
        LOG.info(sentence)
    if left_out:
        LOG.info("left out: " + ", ".join(f"{one.name} ({one.reason})" for one in left_out))


def require_same_order(predictor: TablePredictor, order: str | None) -> None:
    """Refuse another order of rows than that which a predictor was fitted by.

    Raises:
        InputError: It is another.
    """
    if order is not None and order != predictor.summary.order:
        known = predictor.summary.order
        raise InputError(
            f"--order is {order}, and the predictor "
            f"{'knows no order' if known is None else f'was fitted by {known}'}: "
            "give the same one to both, or leave it out to compare with the device's level."
        )
