"""The pages on Python and the notebook run, on the simulated device."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

import atb

ROOT = Path(__file__).resolve().parents[3]
NOTEBOOK = ROOT / "examples" / "laptop.ipynb"


def on_fake(text: str) -> str:
    return text.replace('"local"', '"fake"').replace("samples=60", "samples=20")


def blocks(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", (ROOT / page).read_text("utf-8"), re.M | re.S)


def run_page(page: str, folder: Path) -> None:
    subprocess.run(
        [sys.executable, "-c", on_fake("\n".join(blocks(page)))],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
    )


@pytest.mark.slow
def test_the_reference_runs(tmp_path: Path) -> None:
    run_page("docs/reference/python.md", tmp_path)
    assert (tmp_path / "measurements.csv").is_file()


@pytest.mark.slow
def test_the_how_to_runs(tmp_path: Path) -> None:
    assert len(blocks("docs/how-to/use-from-python.md")) == 8
    run_page("docs/how-to/use-from-python.md", tmp_path)
    assert (tmp_path / "model" / "model.onnx").is_file()


def test_the_reference_names_everything_that_is_public() -> None:
    text = (ROOT / "docs" / "reference" / "python.md").read_text("utf-8")
    named = set(re.findall(r"`(\w+)", text))
    assert set(atb.__all__) <= named


def test_the_notebook_holds_no_outputs() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)


@pytest.mark.slow
def test_the_notebook_runs_and_draws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    for cell in notebook.cells:
        if '"local"' in cell.source or "samples=60" in cell.source:
            cell.source = on_fake(cell.source)
    NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(tmp_path)}}).execute()
    drawn = [
        output
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if "<svg" in output.get("data", {}).get("text/html", "")
    ]
    assert len(drawn) == 5
    assert (tmp_path / "model" / "model.onnx").is_file()
