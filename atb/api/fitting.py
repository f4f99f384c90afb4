"""Where predictors come from: measurements, tables, files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atb.api.amounts import Amount, share_words
from atb.api.inputs import measured_of, table_source_from, training_set_from
from atb.api.measured import Measurements
from atb.api.predicting import DEFAULT_PREDICTOR, Predictor
from atb.errors import InputError
from atb.messages import LOG

if TYPE_CHECKING:
    import pandas as pd

    from atb.profiler.statistics import Measurement


def load_predictor(
    source: str | Path = DEFAULT_PREDICTOR,
    *,
    runtime: str | None = None,
    precision: str | None = None,
    threads: int | None = None,
    batch: int | None = None,
    sequence_length: int | None = None,
) -> Predictor:
    """Read a predictor of a file, or that of a known device.

    Args:
        source: The file, or the name of a known device.
        runtime: Of a known device, for which runtime.
        precision: Of a known device or of a predictor of many settings, for which precision.
        threads: Likewise, for how many threads.
        batch: Likewise, for how many sequences in one inference.
        sequence_length: Likewise, for how many tokens in one sequence.

    Raises:
        BadFile: There is no such file or known device, or it is damaged.
        InputError: There is no predictor of these settings, or there are several.
    """
    from atb.devices import find_known_file

    settings: dict[str, Any] = {
        "precision": precision,
        "threads": threads,
        "batch": batch,
        "sequence_length": sequence_length,
    }
    if not Path(source).exists() and find_known_file(str(source)) is not None:
        from atb.predictor.known_devices import find_known_device

        known = find_known_device(str(source))
        return Predictor(known.choose(runtime=runtime, **settings))
    if runtime is not None:
        raise InputError("A file holds predictors of one runtime: leave runtime out.")
    given = {name: value for name, value in settings.items() if value is not None}
    found = Predictor.load(source)
    return found.at(**given) if given else found


def fit(
    measured: Measurements | Iterable[Measurement] | pd.DataFrame | str | Path,
    *,
    target: str | None = None,
    features: Sequence[str] | None = None,
    order: str | None = None,
    coverage: Amount = "90%",
    all_settings: bool = False,
    force: bool = False,
    seed: int = 0,
) -> Predictor:
    """Fit a predictor of latencies, or of a column of any table.

    Args:
        measured: Measurements or a database of them; with `target` a frame, or the path of a CSV
            or Parquet file.
        target: The column of a table that is to be predicted.
        features: Columns of the table to learn from; all other numbers by default.
        order: `rows`, or the column of the table that says when each row was measured.
        coverage: Share of new measurements that the intervals are to hold.
        all_settings: Fit one predictor of every length, batch, precision and number of threads.
        force: Take latencies of an emulated processor too.
        seed: Of the folds.

    Raises:
        InputError: There are too few rows, or they are of several conditions.
    """
    import numpy as np
    import pandas as pd

    from atb.predictor import fit as fit_one, fit_family
    from atb.units import parse_percent

    rng, share = np.random.default_rng(seed), parse_percent(share_words(coverage))
    if target is not None:
        from atb.predictor.tables import fit_table, read_table

        table = read_table(
            table_source_from(measured), target=target, features=features, order=order
        )
        for note in (*table.notes, *(f"left out: {o.name} ({o.reason})" for o in table.left_out)):
            LOG.info(note)
        return Predictor(fit_table(table, rng, coverage=share))
    if isinstance(measured, pd.DataFrame) or features is not None or order is not None:
        raise InputError("A table came without target: name the column that is to be predicted.")
    found = measured_of(measured)
    db = found.db if isinstance(found, Measurements) else None
    every = tuple(found)
    if not all_settings:
        model = fit_one(training_set_from(every, emulated=force), rng, coverage=share)
        return Predictor(model, db=db, fitted_on=every)
    groups = [
        [m for m in every if m.conditions == conditions]
        for conditions in dict.fromkeys(m.conditions for m in every if m.usable)
    ]
    if not groups:
        raise InputError("There is no usable measurement: measure with atb.profile.")
    sets = [training_set_from(group, least_rows=1, emulated=force) for group in groups]
    return Predictor(fit_family(sets, rng, coverage=share), db=db, fitted_on=every)
