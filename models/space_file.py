"""Search spaces by name, or read from a TOML file of the user's own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from atb.errors import BadFile, InputError
from atb.files import read_toml
from atb.models.space import SPACES, Dimension, SearchSpace

__all__ = ["find_space", "read_space"]


def find_space(name: str) -> SearchSpace:
    """A built-in space by name, or a user's own by the path of its TOML file.

    Raises:
        InputError: There is no such space.
    """
    if name in SPACES:
        return SPACES[name]
    if name.endswith(".toml"):
        return read_space(Path(name))
    raise InputError(
        f"There is no search space {name!r}: choose one of {', '.join(SPACES)}, "
        "or give the path of a TOML file."
    )


def read_space(path: Path) -> SearchSpace:
    """Read a user's own space.

    The file holds `name` and, for each dimension, `[first, last]` or `[first, last, step]`:
    `layers`, `hidden`, `heads`, `feed_forward`, and `qkv` or the number `head_size`.

    Raises:
        BadFile: It is missing, not TOML, or lacks something.
    """
    return _space_of(read_toml(path, "search space file"), path)


def _space_of(table: Mapping[str, Any], path: Path) -> SearchSpace:
    names = ("layers", "hidden", "heads", "feed_forward", "qkv")
    unknown = set(table) - {*names, "name", "head_size"}
    if unknown:
        raise BadFile(f"{path}: unknown entry {min(unknown)!r}; known are {', '.join(names)}.")
    dimensions: dict[str, Any] = {}
    for name in names:
        numbers: Any = table.get(name)
        if name == "qkv" and numbers is None:
            continue
        is_list = isinstance(numbers, list) and len(numbers) in (2, 3)
        if not is_list or not all(map(_is_whole, numbers)):
            found = f"{name!r} is missing" if numbers is None else f"{name} is {numbers!r}"
            raise BadFile(f"{path}: {found}; write {name} = [first, last, step].")
        dimensions[name] = Dimension(*numbers)
    head_size = table.get("head_size")
    if head_size is not None and not (_is_whole(head_size) and head_size >= 1):
        raise BadFile(f"{path}: head_size is {head_size!r}; write a whole number.")
    return SearchSpace(name=str(table.get("name", path.stem)), head_size=head_size, **dimensions)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
