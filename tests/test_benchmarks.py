"""The pages about figures name every script and every result, as they are."""

from __future__ import annotations

import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
BENCHMARKS = ROOT / "benchmarks"
README = (BENCHMARKS / "README.md").read_text("utf-8")
FIGURES = (ROOT / "docs" / "reference" / "figures.md").read_text("utf-8")
LINK = re.compile(r"\]\(([^)#]+)")


def test_the_readme_of_the_benchmarks_names_every_script_and_every_result() -> None:
    named = set(LINK.findall(README))
    scripts = {str(path.relative_to(BENCHMARKS)) for path in BENCHMARKS.glob("*/*.py")}
    results = {str(path.relative_to(BENCHMARKS)) for path in BENCHMARKS.glob("results/*.json")}
    assert scripts <= named
    assert {name for name in results if not name.endswith("_jobs.json")} <= named
    assert all((BENCHMARKS / link).exists() for link in named)


def test_the_readme_of_the_benchmarks_tells_the_dates_of_the_last_results() -> None:
    told = re.findall(r"\((results/\w+\.json)\), (\d{4}-\d\d-\d\d)", README)
    assert len(told) > 35
    for path, date in told:
        assert json.loads((BENCHMARKS / path).read_text("utf-8"))["date"].startswith(date), path


def test_every_figure_names_its_script_and_its_result_in_short_cells() -> None:
    rows = [
        line for line in FIGURES.splitlines() if "/benchmarks/results/" in line and line[0] == "|"
    ]
    assert len(rows) > 90
    for row in rows:
        *told, script, result = (cell.strip() for cell in row.strip("|").split(" | "))
        assert len(told) == 3, row
        assert LINK.findall(script)[0].endswith(".py"), row
        assert all(link.endswith(".json") for link in LINK.findall(result)), row
        for cell in told:
            assert len(re.sub(r"\]\([^)]*\)", "]", cell).split()) <= 30, cell
