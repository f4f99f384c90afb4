"""How a result shows itself in a notebook: a heading, a picture, the first rows of its table."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from atb.text import printable

if TYPE_CHECKING:
    import pandas as pd

    from atb.report.pictures import Picture

_MOST_ROWS = 10


def as_html(title: str, picture: Picture | None, frame: pd.DataFrame) -> str:
    """HTML of a result, on a light ground as its picture is.

    Args:
        title: Its short form.
        picture: None where there is nothing to draw.
        frame: Its rows, of which the first and the last are shown.
    """
    drawing = "" if picture is None else picture.svg()
    table = frame.map(lambda cell: printable(cell) if isinstance(cell, str) else cell).to_html(
        max_rows=_MOST_ROWS, index=False, float_format="{:.6g}".format
    )
    return (
        '<div style="max-width: 60em; background: white; color: black">'
        f"<p><b>{escape(printable(title))}</b></p>{drawing}{table}</div>"
    )
