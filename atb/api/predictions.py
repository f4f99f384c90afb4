"""What a predictor says of rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

#: What is predicted of architectures.
LATENCY = "latency_seconds"
_KIND, _FORMAT = "predictions", 1


@dataclass(frozen=True, repr=False)
class Predictions:
    """Predicted values of n rows, each with the interval that is to hold a measurement.

    Attributes:
        target: What is predicted: `latency_seconds`, or a column of a table.
        names: Architectures in text form, or `row 1` and so on.
        values: n predicted values, in the target's unit.
        low: Lower ends of the intervals.
        high: Upper ends.
        supported: Whether a row lies in the range of what was learnt from; elsewhere the interval
            is wider, and its coverage is not promised.
        coverage: Share of new measurements that the intervals are to hold.
        further: What else was predicted, by name with its unit, n values each.
        conditions: Under which the values hold, in words; empty for a table.
    """

    target: str
    names: tuple[str, ...]
    values: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    supported: tuple[bool, ...]
    coverage: float
    further: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    conditions: str = ""

    def __len__(self) -> int:
        return len(self.values)

    def __repr__(self) -> str:
        where = f", {self.conditions}" if self.conditions else ""
        return f"<Predictions: {self.target} of {len(self)} rows{where}>"

    def _repr_html_(self) -> str:
        from atb.api.showing import as_html
        from atb.report.pictures import intervals

        picture = intervals(self.target, self.names, self.values, self.low, self.high)
        return as_html(repr(self)[1:-1], picture, self.to_frame())

    def to_frame(self) -> pd.DataFrame:
        """A row for each value: name, value, ends of the interval, whether it is supported."""
        import pandas as pd

        what, ends = "row", ("lower", "upper")
        if self.target == LATENCY:
            what, ends = "architecture", ("latency_low_seconds", "latency_high_seconds")
        columns = {what: self.names, self.target: self.values, ends[0]: self.low}
        columns |= {ends[1]: self.high, "supported": self.supported, **self.further}
        return pd.DataFrame(columns)

    def save(self, path: str | Path) -> None:
        """Write them as JSON, which `load` reads back to the last bit."""
        from atb.files import prepare_output, write_document
        from atb.plain import to_plain

        write_document(prepare_output(Path(path)), to_plain(self), kind=_KIND, format=_FORMAT)

    @classmethod
    def load(cls, path: str | Path) -> Predictions:
        """Read what `save` wrote.

        Raises:
            BadFile: It is missing, damaged or something else.
        """
        from atb.errors import BadFile
        from atb.files import read_document
        from atb.plain import from_plain

        try:
            return from_plain(cls, read_document(Path(path), kind=_KIND, format=_FORMAT))
        except ValueError as error:
            if isinstance(error, BadFile):
                raise
            raise BadFile(f"{path} is damaged ({error}): predict again.") from error
