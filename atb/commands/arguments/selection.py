"""From the words of the command line to the rows that a predictor learns from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from atb.commands.output import note
from atb.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from atb.predictor import TrainingSet
    from atb.predictor.tables import LeftOut, Table

__all__ = [
    "note_reading",
    "refuse_beside",
    "select_table",
    "select_training_set",
    "select_training_sets",
]


def refuse_beside(source: str, given: Mapping[str, Any]) -> None:
    """Make sure that no word is given that means nothing beside this source of rows.

    Raises:
        InputError: One is.
    """
    for name, value in given.items():
        if value is not None:
            option = f"--{name.replace('_', '-')}"
            raise InputError(f"{option} says nothing about {source}: leave one of the two out.")


def select_training_set(
    db: str,
    campaign: str | None,
    *,
    least_rows: int | None = None,
    emulated: bool = False,
    **wanted: Any,
) -> TrainingSet:
    """Measurements of one set of conditions.

    Args:
        db: File or URL of the database.
        campaign: Only those of one.
        least_rows: How many architectures there must be; as many as a fit needs by default.
        emulated: Whether to take those of an emulated processor too.
        wanted: Fields of the conditions by name; None leaves one open.

    Raises:
        InputError: There are too few, the conditions are not told apart, or the processor is
            emulated.
    """
    from atb.commands.arguments.target import choose_conditions
    from atb.predictor import LEAST_ROWS, TrainingSet
    from atb.profiler.database import ProfileDatabase

    with ProfileDatabase(db) as database:
        conditions = choose_conditions(database, campaign, **wanted)
        return TrainingSet.from_measurements(
            database.measurements(conditions=conditions, campaign=campaign),
            least_rows=least_rows or LEAST_ROWS,
            emulated=emulated,
        )


def select_training_sets(
    db: str, campaign: str | None, *, emulated: bool = False, **wanted: Any
) -> list[TrainingSet]:
    """Measurements of every set of conditions that agrees with what is wanted.

    Raises:
        InputError: None has a usable measurement, or the processor of one is emulated.
    """
    from atb.commands.arguments.target import agreeing_conditions
    from atb.predictor import TrainingSet
    from atb.profiler.database import ProfileDatabase

    found = []
    with ProfileDatabase(db) as database:
        for conditions in agreeing_conditions(database, campaign, **wanted):
            measured = database.measurements(conditions=conditions, campaign=campaign)
            if any(measurement.usable for measurement in measured):
                found.append(
                    TrainingSet.from_measurements(measured, least_rows=1, emulated=emulated)
                )
    if not found:
        raise InputError("There is no usable measurement: measure with `atb profile`.")
    return found


def select_table(path: Path, target: str | None, features: str | None, order: str | None) -> Table:
    """Rows of a table.

    Args:
        path: Delimited text or Parquet.
        target: The column to predict.
        features: Names of columns with commas between them; None takes all numbers.
        order: `rows`, a column, or None.

    Raises:
        InputError: A column is missing or impossible.
    """
    from atb.predictor.tables import read_table

    if target is None:
        raise InputError("--table came without --target: name the column that is to be predicted.")
    names = None if features is None else [name.strip() for name in features.split(",")]
    return read_table(path, target=target, features=names, order=order)


def note_reading(notes: Sequence[str], left_out: Sequence[LeftOut] = ()) -> None:
    """Say how a table was read, and which of its columns were left out and why."""
    for sentence in notes:
        note(sentence)
    if left_out:
        note("left out: " + ", ".join(f"{one.name} ({one.reason})" for one in left_out))
