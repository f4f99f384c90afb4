"""The lowest versions that `scripts/lowest` installs are those of pyproject.toml."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def _lowest_versions(pyproject: Path) -> dict[str, str]:
    script = ROOT / "scripts" / "lowest_versions.py"
    spec = importlib.util.spec_from_file_location("lowest_versions", script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: dict[str, str] = module.lowest_versions(pyproject)
    return found


def test_every_requirement_has_one_lowest_version() -> None:
    found = _lowest_versions(ROOT / "pyproject.toml")
    assert {"typer", "transformers", "numpy", "pymoo", "psycopg", "pytest"} <= set(found)
    assert "torch" not in found  # pinned beside it
    assert all(re.fullmatch(r"[\d.]+", version) for version in found.values())


@pytest.mark.parametrize("lines", ['["numpy"]', '["numpy<3"]', '["numpy>=1", "numpy>=2"]'])
def test_a_requirement_without_one_is_refused(tmp_path: Path, lines: str) -> None:
    path = tmp_path / "pyproject.toml"
    path.write_text(
        f'[project]\nname = "x"\ndependencies = {lines}\n[project.optional-dependencies]\n'
    )
    with pytest.raises(ValueError, match="no lower bound"):
        _lowest_versions(path)
