"""Print the lowest version of each package that pyproject.toml allows, as constraints for pip."""

from __future__ import annotations

import tomllib
from pathlib import Path

from packaging.requirements import Requirement

# Installed first and by itself, at the version of constraints.txt.
_APART = {"torch"}


def lowest_versions(pyproject: Path) -> dict[str, str]:
    """The lower bound of each requirement, those of all extras included.

    Raises:
        ValueError: A requirement has no lower bound, or two have different ones.
    """
    project = tomllib.loads(pyproject.read_text("utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    found: dict[str, str] = {}
    for text in (*project["dependencies"], *(text for extra in extras for text in extra)):
        requirement = Requirement(text)
        if requirement.name == project["name"] or requirement.name in _APART:
            continue
        bounds = [bound.version for bound in requirement.specifier if bound.operator == ">="]
        if len(bounds) != 1 or found.setdefault(requirement.name, bounds[0]) != bounds[0]:
            raise ValueError(f"{text} has no lower bound, or another one elsewhere.")
    return found


if __name__ == "__main__":
    versions = lowest_versions(Path(__file__).resolve().parents[1] / "pyproject.toml")
    print("\n".join(f"{name}=={version}" for name, version in versions.items()))
