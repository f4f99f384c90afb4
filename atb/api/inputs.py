"""From what users hand over to what the stages take: measurements, tables, architectures."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atb.api.measured import measurements
from atb.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from atb.api.measured import Measurements
    from atb.models import Architecture
    from atb.predictor import TrainingSet
    from atb.profiler.statistics import Measurement


def measured_of(
    measured: Measurements | Iterable[Measurement] | pd.DataFrame | str | Path,
) -> Iterable[Measurement]:
    """Measurements, or all of a database.

    Raises:
        InputError: It is a table.
    """
    import pandas as pd

    if isinstance(measured, pd.DataFrame):
        raise InputError("Measurements or a database are wanted, and a table came.")
    return measurements(measured) if isinstance(measured, str | Path) else measured


def training_set_from(measured: Iterable[Measurement], **how: Any) -> TrainingSet:
    """Measurements of architectures; a model of the user's own has no place in a predictor."""
    from atb.models import Architecture
    from atb.predictor import TrainingSet

    shapes = [m for m in measured if isinstance(m.subject, Architecture)]
    return TrainingSet.from_measurements(shapes, **how)


def table_source_from(source: object) -> Path | pd.DataFrame:
    """A table as a frame or the path of a file.

    Raises:
        InputError: It is neither.
    """
    import pandas as pd

    if isinstance(source, pd.DataFrame):
        return source
    if isinstance(source, str | Path):
        return Path(source)
    raise InputError("A table is wanted: pass a DataFrame, or the path of a CSV or Parquet file.")


def architectures_of(what: object) -> list[Architecture]:
    """Architectures: one or several, by name, text form or as such, or those of a frame.

    Raises:
        InputError: One is unknown, or there is none.
    """
    import pandas as pd

    from atb.models import Architecture, resolve

    if isinstance(what, pd.DataFrame):
        if "architecture" not in what:
            raise InputError("The frame has no column 'architecture': name or add one.")
        what = what["architecture"].tolist()
    every = [what] if isinstance(what, str | Architecture) else what
    if not isinstance(every, Iterable):
        raise InputError(f"{what!r} is no architecture: name one, or several in a list.")
    found = [one if isinstance(one, Architecture) else resolve(str(one)) for one in every]
    if not found:
        raise InputError("There is nothing to predict: name architectures.")
    return found
