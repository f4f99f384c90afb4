"""What was measured, as a database holds it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

if TYPE_CHECKING:
    import pandas as pd

    from atb.profiler import Failure
    from atb.profiler.campaign import CampaignResult
    from atb.profiler.statistics import Measurement

DEFAULT_DATABASE = "atb-runs/profile.db"


@dataclass(frozen=True, repr=False)
class Measurements(Sequence["Measurement"]):
    """What was measured: a sequence of `Measurement`, which stays in its database.

    Attributes:
        found: The measurements.
        failures: What could not be measured, and why.
        db: File or URL of the database.
        results: Of the campaigns that were just run; empty where a database was read.
    """

    found: tuple[Measurement, ...]
    failures: tuple[Failure, ...] = ()
    db: str = DEFAULT_DATABASE
    results: tuple[CampaignResult, ...] = field(default=(), compare=False)

    @classmethod
    def load(cls, db: str | Path = DEFAULT_DATABASE) -> Measurements:
        """Read all measurements of a database; `atb.measurements` chooses among them.

        Raises:
            BadFile: There is none, or it is damaged.
        """
        return measurements(db)

    @overload
    def __getitem__(self, index: int) -> Measurement: ...
    @overload
    def __getitem__(self, index: slice) -> Measurements: ...
    def __getitem__(self, index: int | slice) -> Measurement | Measurements:
        """One measurement, or some of them."""
        return (
            replace(self, found=self.found[index])
            if isinstance(index, slice)
            else self.found[index]
        )

    def __len__(self) -> int:
        return len(self.found)

    def __iter__(self) -> Iterator[Measurement]:
        return iter(self.found)

    def __repr__(self) -> str:
        conditions = list(dict.fromkeys(str(m.conditions) for m in self.found))
        where = conditions[0] if len(conditions) == 1 else f"{len(conditions)} sets of conditions"
        flagged = sum(m.flagged for m in self.found)
        counts = f"{len(self)} ({flagged} flagged, {len(self.failures)} failures)"
        return f"<Measurements: {counts}, {where}, in {self.db}>"

    def _repr_html_(self) -> str:
        from atb.api.showing import as_html
        from atb.models import Architecture
        from atb.report.pictures import pictures

        drawn = [m for m in self.found if isinstance(m.subject, Architecture)]
        columns = ["architecture", "latency_seconds", "latency_low_seconds"]
        columns += ["latency_high_seconds", "wall_seconds", "reasons"]
        picture = pictures.latencies(drawn) if drawn else None
        return as_html(repr(self)[1:-1], picture, self.to_frame().reindex(columns=columns))

    def to_frame(self) -> pd.DataFrame:
        """A row for each measurement: what was timed, its conditions, seconds with interval."""
        import pandas as pd

        from atb.profiler.maintenance import measurement_rows

        return pd.DataFrame(measurement_rows(self.found)).drop(columns="format", errors="ignore")

    def save(self, path: str | Path) -> None:
        """Write a table (`.csv`, `.parquet`), or another database with all raw readings.

        Args:
            path: Of the table; any other ending is a database, to which the campaigns are added.

        Raises:
            InputError: It cannot be written.
        """
        from atb.files import prepare_output
        from atb.profiler.database import ProfileDatabase, ProfileReader
        from atb.profiler.maintenance import (
            add_campaigns,
            check_output,
            measurement_rows,
            read_campaigns,
            write_table,
        )

        target = Path(path)
        if target.suffix in (".csv", ".parquet"):
            check_output(target)
            write_table(prepare_output(target), measurement_rows(self.found), raw=False)
            return
        labels = list(dict.fromkeys(m.campaign for m in self.found))
        with ProfileReader(self.db) as source, ProfileDatabase(target, create=True) as database:
            add_campaigns(database, list(read_campaigns(source, labels)), lambda _: None)


def measurements(
    db: str | Path = DEFAULT_DATABASE,
    *,
    campaign: str | None = None,
    device: str | None = None,
    runtime: str | None = None,
    precision: str | None = None,
    threads: int | None = None,
    batch: int | None = None,
    sequence_length: int | None = None,
) -> Measurements:
    """Read measurements of a database.

    Args:
        db: File or URL.
        campaign: Only those of one, such as `profile` or `profile-2`.
        device: Only those of one; None takes all, as of the others.
        runtime: Such as `onnxruntime`.
        precision: `fp32` or `int8`.
        threads: Threads that compute one inference.
        batch: Sequences in one inference.
        sequence_length: Tokens in one sequence.

    Raises:
        BadFile: There is no such database, or it is damaged.
        InputError: It holds none such.
    """
    from atb.commands.arguments import agreeing_conditions
    from atb.profiler import read_measurements
    from atb.profiler.database import ProfileReader

    wanted = {
        "device": device,
        "runtime": runtime,
        "precision": precision,
        "threads": threads,
        "batch": batch,
        "sequence_length": sequence_length,
    }
    with ProfileReader(str(db)) as database:
        found: list[Measurement] = []
        failures: list[Failure] = []
        for conditions in agreeing_conditions(database, campaign, **wanted):
            chosen: dict[str, Any] = {"conditions": conditions, "campaign": campaign}
            found += read_measurements(database, **chosen, models=True)
            failures += database.failures(**chosen)
    return Measurements(tuple(found), tuple(failures), str(db))
