"""What a command tells of the part of a space that it uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atb.messages import LOG

if TYPE_CHECKING:
    from atb.models import Architecture, SearchSpace


def on_grid(space: str | SearchSpace, grid: str | None) -> SearchSpace:
    """The space that a search moves in, by the words of the command line.

    Args:
        space: Itself, its name or its file.
        grid: Name of the grid; None for the space's own.

    Raises:
        InputError: There is no such space or grid.
    """
    from atb.models import find_space
    from atb.search.constraints import on_search_grid

    written = find_space(space) if isinstance(space, str) else space
    searched = on_search_grid(written, grid)
    if grid is not None:
        _print_left_out(written, searched, f"lie on the grid {grid} and are searched")
    return searched


def held_by(space: SearchSpace, superplm: str, largest: Architecture) -> SearchSpace:
    """The part of a space that a SuperPLM holds, whose name or folder is told.

    Raises:
        InputError: Nothing is left.
    """
    held = space.limited_to(largest)
    _print_left_out(space, held, f"are slices of the SuperPLM {superplm} and are searched")
    return held


def print_held(space: SearchSpace, largest: Architecture) -> None:
    """Say where a SuperPLM that is as large as a space does not hold all of it."""
    if space.largest.fits(largest):  # training refuses it otherwise
        what = (
            f"are trained: the others have more heads than {largest}, or wider ones than "
            f"{largest.head_size}"
        )
        _print_left_out(space, space.limited_to(largest), what)


def _print_left_out(space: SearchSpace, used: SearchSpace, what: str) -> None:
    """Say how much of a space is left out, where something is; `what` ends the sentence."""
    if used.size < space.size:
        LOG.info(
            f"{used.size:,} of the {space.size:,} architectures of the space {space.name} {what}"
        )
