"""A fitted predictor of any kind."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from atb.api.inputs import architectures_of, measured_of, table_source_from, training_set_from
from atb.api.predictions import LATENCY, Predictions
from atb.errors import InputError
from atb.messages import LOG

if TYPE_CHECKING:
    import pandas as pd

    from atb.api.measured import Measurements
    from atb.models import Architecture
    from atb.predictor import Evaluation, FamilyPredictor, WorkPredictor
    from atb.predictor.tables import TablePredictor
    from atb.profiler import Conditions
    from atb.profiler.statistics import Measurement
    from atb.report.pictures import Picture

DEFAULT_PREDICTOR = Path("atb-runs/predictor.json")


@dataclass(frozen=True, repr=False)
class Predictor:
    """Predicts latencies of architectures, or a column of a table.

    Attributes:
        model: What was fitted: for one set of conditions, for many settings, or on a table.
        path: The file that it was read from or last written to.
        db: The database of the measurements that it was fitted on, where it is known.
        fitted_on: Those measurements, where it was fitted on some just now.
    """

    model: WorkPredictor | FamilyPredictor | TablePredictor
    path: Path | None = field(default=None, compare=False)
    db: str | None = field(default=None, compare=False)
    fitted_on: tuple[Measurement, ...] = field(default=(), compare=False)

    @property
    def conditions(self) -> Conditions | None:
        """Under which its latencies hold; None of a table, and of many settings."""
        from atb.predictor import WorkPredictor

        return self.model.conditions if isinstance(self.model, WorkPredictor) else None

    @property
    def error(self) -> float:
        """Mean absolute relative error on rows held out in turn."""
        return self.model.summary.cross_validated_mape

    def __repr__(self) -> str:
        from atb.predictor import FamilyPredictor
        from atb.predictor.tables import TablePredictor

        if isinstance(self.model, TablePredictor):
            what = f"the column {self.model.target}"
        elif isinstance(self.model, FamilyPredictor):
            settings = f"{len(self.model.modes)} modes of {self.model.conditions.runtime}"
            what = f"{settings} on {self.model.conditions.device}"
        else:
            what = str(self.model.conditions)
        rows = self.model.summary.rows
        return f"<Predictor of {what}: {rows} rows, error on held-out ones {self.error:.1%}>"

    def _repr_html_(self) -> str:
        from atb.api.showing import as_html

        return as_html(repr(self)[1:-1], self._picture(), self.to_frame())

    def _picture(self) -> Picture | None:
        """Predicted against measured, or what the first that it learnt from is made of."""
        from atb.predictor import WorkPredictor
        from atb.report import unseen
        from atb.report.pictures import pictures

        if not isinstance(self.model, WorkPredictor):
            return None
        fits = unseen(self.model, self.fitted_on)
        if fits:
            return pictures.predictions(fits)
        learnt = self.model.summary.architectures
        return pictures.work(self.explain(learnt[0])) if learnt else None

    def to_frame(self) -> pd.DataFrame:
        """What it was fitted on and how well, a row for each fact."""
        import pandas as pd

        from atb.plain import to_plain

        facts = to_plain(self.model.summary)
        facts.pop("architectures", None)
        return pd.DataFrame({"fact": list(facts), "value": list(map(str, facts.values()))})

    def at(
        self,
        *,
        precision: str = "fp32",
        threads: int = 1,
        batch: int = 1,
        sequence_length: int = 128,
    ) -> Predictor:
        """The part of a predictor of many settings that holds under these.

        Args:
            precision: `fp32` or `int8`.
            threads: Threads that compute one inference.
            batch: Sequences in one inference.
            sequence_length: Tokens in one sequence.

        Raises:
            InputError: It is no such predictor, or does not know these settings.
        """
        from atb.devices import RunSettings
        from atb.predictor import FamilyPredictor

        if not isinstance(self.model, FamilyPredictor):
            raise InputError(
                "The predictor holds under one set of conditions: fit one of many settings with "
                "all_settings=True."
            )
        settings = RunSettings(
            precision=precision, threads=threads, batch=batch, sequence_length=sequence_length
        )
        return replace(self, model=self.model.at(settings), fitted_on=())

    def predict(
        self,
        what: str | Path | Architecture | Iterable[str | Architecture] | pd.DataFrame,
        *,
        order: str | None = None,
    ) -> Predictions:
        """Predict latencies of architectures, or the column of a table.

        Args:
            what: Architectures by name, text form or as such, one or several, or a frame with a
                column `architecture`; of a table's predictor a frame, or the path of a table.
            order: Of a table, `rows` or the column that says when each row was measured.

        Raises:
            InputError: It cannot be predicted by this predictor.
        """
        from atb.predictor.tables import TablePredictor

        if isinstance(self.model, TablePredictor):
            return _predict_table(self.model, what, order)
        if order is not None:
            raise InputError("order says nothing about architectures: leave one of the two out.")
        return _predict_architectures(self.of_one_setting(), architectures_of(what))

    def of_one_setting(self) -> WorkPredictor:
        """The predictor of latencies; of many settings, that of the default ones.

        Raises:
            InputError: It predicts a table.
        """
        from atb.predictor import WorkPredictor
        from atb.predictor.tables import TablePredictor

        if isinstance(self.model, TablePredictor):
            raise InputError(
                f"The predictor is of the column {self.model.target}, and one of latencies is "
                "wanted: fit one on measurements."
            )
        found = self.model if isinstance(self.model, WorkPredictor) else self.at().model
        assert isinstance(found, WorkPredictor)
        return found

    def explain(self, architecture: str | Architecture) -> dict[str, float]:
        """Split the predicted latency of an architecture: seconds by part, the largest first."""
        from atb.predictor import explain

        (shape,) = architectures_of(architecture)
        return explain(self.of_one_setting(), shape)

    def evaluate(
        self, measured: Measurements | Iterable[Measurement] | pd.DataFrame | str | Path
    ) -> Evaluation:
        """Compare with measurements; what it learnt from is predicted by fits without it.

        Args:
            measured: Measurements under its conditions, a database of them, or for a table's
                predictor a table.

        Raises:
            InputError: They are of other conditions, or too few.
        """
        from atb.predictor import evaluate, evaluate_rows
        from atb.predictor.tables import TablePredictor, read_judged_table

        if isinstance(self.model, TablePredictor):
            goal, unit = self.model.target, self.model.target_unit
            table = read_judged_table(table_source_from(measured), self.model.units, goal, unit)
            return evaluate_rows(self.model, table.observed)
        model = self.of_one_setting()
        kept = [m for m in measured_of(measured) if m.conditions == model.conditions]
        return evaluate(model, training_set_from(kept, least_rows=2))

    def save(self, path: str | Path) -> None:
        """Write it as JSON; `load` gives one that predicts the same to the last bit."""
        from atb.files import prepare_output
        from atb.predictor import save

        save(self.model, prepare_output(Path(path)))

    @classmethod
    def load(cls, path: str | Path) -> Predictor:
        """Read a predictor of any kind from its file.

        Raises:
            BadFile: It is missing, damaged or something else.
        """
        from atb.predictor import kind_of, load, load_family, load_table_predictor

        file = Path(path)
        match kind_of(file):
            case "settings-predictor":
                return cls(load_family(file), path=file)
            case "table-predictor":
                return cls(load_table_predictor(file), path=file)
        return cls(load(file), path=file)


def _predict_architectures(model: WorkPredictor, shapes: Sequence[Architecture]) -> Predictions:
    from atb.predictor.fitting import rows_of

    found = model.predict_architectures(shapes)
    further = model.predict_further(rows_of(shapes))
    return Predictions(
        target=LATENCY,
        names=tuple(map(str, shapes)),
        values=tuple(found.latency_seconds.tolist()),
        low=tuple(found.lower_seconds.tolist()),
        high=tuple(found.upper_seconds.tolist()),
        supported=tuple(found.supported.tolist()),
        coverage=model.coverage,
        further={name: tuple(estimates.values.tolist()) for name, estimates in further.items()},
        conditions=str(model.conditions),
    )


def _predict_table(model: TablePredictor, source: object, order: str | None) -> Predictions:
    from atb.predictor.tables import read_rows

    rows = read_rows(table_source_from(source), model.units, order)
    for sentence in rows.notes:
        LOG.info(sentence)
    found = model.predict(rows.rows, rows.order)
    return Predictions(
        target=model.target,
        names=tuple(f"row {number}" for number in range(1, len(found) + 1)),
        values=tuple(found.values.tolist()),
        low=tuple(found.lower.tolist()),
        high=tuple(found.upper.tolist()),
        supported=tuple(found.supported.tolist()),
        coverage=model.model.coverage,
    )
