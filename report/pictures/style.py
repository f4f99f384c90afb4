"""One look for all pictures: colours that colour-blind eyes tell apart, thin lines, no boxes."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

#: 9 inches are 648 units of the drawing, which the page shows about 900 pixels wide.
WIDTH_INCHES = 9.0
#: Of the drawings for a telephone, which shows them about 350 pixels wide: letters stay readable.
NARROW_INCHES = 4.6

#: Role -> colour on white paper (hues of Okabe and Ito 2008); each distinct, since the page finds
#: them by value. Text has a contrast of 4.5 on paper and panel at least, what is drawn one of 3.
COLOURS = {
    "ink": "#1f2a37",
    "muted": "#667381",
    "rule": "#d8dee5",
    "paper": "#ffffff",
    "panel": "#f5f7f9",
    "blue": "#0072b2",
    "orange": "#d55e00",
    "warning": "#b34a00",
    "green": "#007a5c",
    "grey": "#868f9a",
}
#: The same on dark paper.
DARK = {
    "ink": "#e6eaef",
    "muted": "#9aa7b5",
    "rule": "#36414d",
    "paper": "#161b22",
    "panel": "#1d242d",
    "blue": "#5fb6ee",
    "orange": "#ff9e54",
    "warning": "#ff9e54",
    "green": "#3ad1a7",
    "grey": "#6f7b88",
}


def picture_style() -> AbstractContextManager[None]:
    """Draw and save with our settings, whatever the user's own are."""
    import matplotlib.style

    settings: dict[Any, Any] = {
        "axes.axisbelow": True,
        "axes.edgecolor": COLOURS["muted"],
        "axes.facecolor": "none",
        "axes.formatter.use_mathtext": False,
        "axes.grid": True,
        "axes.labelcolor": COLOURS["ink"],
        "axes.linewidth": 0.7,
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlecolor": COLOURS["ink"],
        "axes.titlelocation": "left",
        "axes.titlesize": 10,
        "axes.titleweight": "bold",
        "figure.facecolor": "none",
        "font.family": ["DejaVu Sans"],
        "font.size": 9,
        "grid.color": COLOURS["rule"],
        "grid.linewidth": 0.6,
        "legend.fontsize": 8.5,
        "legend.frameon": False,
        "legend.labelcolor": COLOURS["ink"],
        "path.simplify": False,
        "savefig.facecolor": "none",
        "svg.fonttype": "none",
        "svg.hashsalt": "atb",
        "text.color": COLOURS["ink"],
        "text.parse_math": False,
        "text.usetex": False,
        "xtick.color": COLOURS["muted"],
        "xtick.labelcolor": COLOURS["ink"],
        "ytick.color": COLOURS["muted"],
        "ytick.labelcolor": COLOURS["ink"],
    }
    return matplotlib.style.context(settings, after_reset=True)
