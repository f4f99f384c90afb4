"""Which of two models is faster, by how much, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atb.api.amounts import Amount, duration_words, share_words

if TYPE_CHECKING:
    import pandas as pd

    from atb.models import Architecture

_KIND, _FORMAT = "comparison", 1


@dataclass(frozen=True, repr=False)
class Comparison:
    """The ratio of two latencies, and what it says.

    Attributes:
        document: Everything that is known, as `atb compare --json` writes it.
    """

    document: Mapping[str, Any] = field(hash=False)

    @property
    def verdict(self) -> str:
        """What the second is: `slower`, `faster`, `no difference` or `undecided`."""
        return str(self.document["verdict"])

    @property
    def ratio(self) -> float | None:
        """Latency of the second over that of the first; None where nothing is known."""
        ratio: float | None = self.document["ratio"]
        return ratio

    @property
    def ratio_interval(self) -> tuple[float, float] | None:
        """Its interval; None as long as fewer than two launches count."""
        found = self.document["interval_ratio"]
        return None if found is None else (found[0], found[1])

    @property
    def latency_seconds(self) -> tuple[float | None, float | None]:
        """Latencies of the first and of the second."""
        first, second = (self.document[side]["latency_seconds"] for side in ("first", "second"))
        return first, second

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why the result is to be distrusted, in words."""
        return tuple(self.document["reasons"])

    def __repr__(self) -> str:
        first, second = (self.document[side]["architecture"] for side in ("first", "second"))
        ratio = "an unknown ratio" if self.ratio is None else f"{self.ratio:.4f} times"
        if self.ratio_interval is not None:
            ratio += f" ({self.ratio_interval[0]:.4f} to {self.ratio_interval[1]:.4f})"
        return f"<Comparison: {second} takes {ratio} as long as {first}: {self.verdict}>"

    def _repr_html_(self) -> str:
        from math import exp

        from atb.api.showing import as_html
        from atb.report.pictures import intervals

        ratios = [exp(value) for value in self.document["log_ratios"]]
        names = [f"launch {number}" for number in range(1, len(ratios) + 1)]
        low, high = list(ratios), list(ratios)
        if self.ratio is not None:
            ends = self.ratio_interval or (self.ratio, self.ratio)
            names, ratios = ["all launches", *names], [self.ratio, *ratios]
            low, high = [ends[0], *low], [ends[1], *high]
        what = "Latency of the second over that of the first"
        picture = intervals(what, names, ratios, low, high, mark=1.0)
        return as_html(repr(self)[1:-1], picture, self.to_frame())

    def to_frame(self) -> pd.DataFrame:
        """A row for each side: what was timed, its latency, where and how."""
        import pandas as pd

        sides = [self.document["first"], self.document["second"]]
        rows = [
            {
                "architecture": side["architecture"],
                "latency_seconds": side["latency_seconds"],
                **{n: v for n, v in side["conditions"].items() if n != "platform"},
            }
            for side in sides
        ]
        return pd.DataFrame(rows, index=["first", "second"])

    def save(self, path: str | Path) -> None:
        """Write it as JSON, as `atb compare --out` does."""
        from atb.files import prepare_output, write_document

        content = {n: v for n, v in self.document.items() if n not in ("kind", "format")}
        write_document(prepare_output(Path(path)), content, kind=_KIND, format=_FORMAT)

    @classmethod
    def load(cls, path: str | Path) -> Comparison:
        """Read what `save` wrote.

        Raises:
            BadFile: It is missing, damaged or something else.
        """
        from atb.files import read_document

        document = read_document(Path(path), kind=_KIND, format=_FORMAT)
        return cls({n: v for n, v in document.items() if n not in ("kind", "format")})


def compare(
    first: str | Path | Architecture,
    second: str | Path | Architecture,
    *,
    device: str = "local",
    runtime: str | None = None,
    precision: str = "fp32",
    threads: int = 1,
    batch: int = 1,
    sequence_length: int = 128,
    affinity: str | None = None,
    within: Amount = "1%",
    budget: Amount = "60s",
    cache: str = "2GB",
    seed: int = 0,
) -> Comparison:
    """Tell whether the second is slower or faster than the first.

    Blocks of both alternate in fresh processes until it is clear that they differ, or that they
    differ by less than `within`, or until the budget is spent.

    Args:
        first: An architecture, or an ONNX file; as text also with settings of its own, such as
            `minilm-6,precision=int8,threads=2`.
        second: The same.
        device: Where both are timed.
        runtime: Name of a runtime; the device's first one by default.
        precision: `fp32` or `int8`.
        threads: Threads that compute one inference.
        batch: Sequences in one inference.
        sequence_length: Tokens in one sequence.
        affinity: CPUs to which the worker is pinned, such as `0,1`.
        within: Two that differ by less than this share count as equal.
        budget: Duration after which nothing is begun.
        cache: Size up to which built models are kept for the next time.
        seed: Of the order of the blocks.

    Raises:
        InputError: Something given is unknown or impossible.
        RunError: One of the two could not be built, loaded or run.
    """
    from atb.commands import compare as command
    from atb.commands.arguments import TargetOptions

    options = TargetOptions(
        device=device,
        runtime=runtime,
        precision=precision,
        threads=threads,
        batch=batch,
        sequence_length=sequence_length,
        affinity=affinity,
        cache=cache,
    )
    how = {"within": share_words(within), "budget": duration_words(budget)}
    found = command.run_comparison(str(first), str(second), options, **how, seed=seed)
    return Comparison(found.to_json())
