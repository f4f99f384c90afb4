"""The picture of where the time of a model goes, by the runtime's own profiler."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from atb.profiler.campaign import BreakDown
from atb.report.pictures.drawing import BLUE, GREEN, GREY, MUTED, ORANGE, label_of, one_panel
from atb.report.pictures.numbers import many, milliseconds
from atb.report.pictures.svg import Picture

__all__ = ["operators"]

#: Kinds of operators that have a bar of their own.
_KINDS = 8
_COLOURS = (BLUE, ORANGE, GREEN, MUTED)
_OTHERS = "all others"


def operators(found: Sequence[BreakDown]) -> Picture:
    """Share of the time by kind of operator, one group of bars for each kind, one bar a model.

    Args:
        found: Operator times of at least one model.
    """
    shares = [_shares(model) for model in found]
    named = {kind for model in shares for kind in model if kind != _OTHERS}
    largest = sorted(named, key=lambda kind: -max(model.get(kind, 0.0) for model in shares))
    kinds = [*largest[:_KINDS], _OTHERS]
    height = 0.4 * len(kinds) * max(1.0, 0.45 * len(found)) + 1.2
    with one_panel(height) as (figure, axes):
        places = np.arange(len(kinds))
        thickness = 0.8 / len(found)
        for i, (model, share) in enumerate(zip(found, shares, strict=True)):
            seconds = sum(operator.seconds for operator in model.operators)
            bars = axes.barh(
                places + (i - (len(found) - 1) / 2) * thickness,
                [100 * share.get(kind, 0.0) for kind in kinds],
                thickness,
                color=_COLOURS[i % len(_COLOURS)] if len(found) <= len(_COLOURS) else GREY,
                label=label_of(f"{model.subject}, {milliseconds(seconds)} in all operators"),
            )
            axes.bar_label(bars, fmt="%.1f", padding=3, fontsize=8)
        axes.set_yticks(places, kinds)
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("Share of the time (%)")
        axes.set_title("Where the time goes, by the runtime's own profiler")
        axes.legend(loc="lower right")
    return Picture(
        "operators",
        figure,
        f"Share of the time by kind of operator of {many(len(found), 'model')}; "
        f"most goes to {kinds[0]}.",
    )


def _shares(model: BreakDown) -> dict[str, float]:
    """Shares of the time by kind; the small ones are summed up."""
    shares = model.by_kind()
    named = dict(list(shares.items())[:_KINDS])
    named[_OTHERS] = sum(shares.values()) - sum(named.values())
    return named
