"""Type checkers find real types in a file that a user writes, and report wrong keywords."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
USER = """\
import atb

measurements = atb.profile("local", space="mini", samples=60, db="profile.db")
predictor = atb.fit(measurements)
predictions = predictor.predict(["tinybert-4", "L4-H256-A8-Q256-F512"])
result = atb.search(predictor, latency="6ms")
comparison = atb.compare("tinybert-4", "model/model.onnx")
reveal_type(measurements)
reveal_type(measurements[0])
reveal_type(predictor)
reveal_type(predictions)
reveal_type(predictions.to_frame())
reveal_type(result)
reveal_type(result.winner.latency_seconds)
reveal_type(comparison.ratio)
reveal_type(atb.SPACES)
reveal_type(atb.Architecture.parse("L4-H256-A8-Q256-F512"))
result.winner.save("model")
atb.profile("local", smaples=60)
atb.search(predictor, latncy="6ms")
atb.fit(measurements, coverage=[1])
"""
#: It looks into every library that is imported, for a minute where nothing is kept of it.
MYPY = [sys.executable, "-m", "mypy", "--strict", "--ignore-missing-imports"]
PYRIGHT = [sys.executable, "-m", "basedpyright", "--pythonpath", sys.executable]
#: In order; modules are left out of names, since the two checkers differ in showing them.
TYPES = [
    "Measurements",
    "Measurement",
    "Predictor",
    "Predictions",
    "DataFrame",
    "SearchOutcome",
    "float",
    "float | None",
    "dict[str, SearchSpace]",
    "Architecture",
]
#: Lines with a mistake.
WRONG = [19, 20, 21]


@pytest.fixture
def user_file(tmp_path: Path) -> Path:
    path = tmp_path / "user.py"
    path.write_text(USER)
    return path


def bare(shown: str) -> str:
    """A type without the modules before its names."""
    words = shown.replace("[", " [ ").replace("]", " ] ").replace(",", " , ").split()
    text = " ".join(word.rpartition(".")[2] for word in words)
    return text.replace(" [ ", "[").replace(" ]", "]").replace(" , ", ", ")


@pytest.mark.slow
def test_mypy_finds_real_types_and_mistakes(user_file: Path) -> None:
    done = subprocess.run(
        [*MYPY, "--cache-dir", str(ROOT / ".mypy_cache" / "user"), user_file.name],
        cwd=user_file.parent,
        env={**os.environ, "MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("user.py:")]
    revealed = [line.split('"')[1] for line in lines if "Revealed type is" in line]
    assert [bare(shown) for shown in revealed] == TYPES
    assert [int(line.split(":")[1]) for line in lines if ": error:" in line] == WRONG
    assert "smaples" in done.stdout


@pytest.mark.slow
def test_pyright_finds_real_types_and_mistakes(user_file: Path) -> None:
    """By basedpyright, which is pyright in a package that needs no network."""
    pytest.importorskip("basedpyright")
    settings = {"typeCheckingMode": "standard", "extraPaths": [str(ROOT)]}
    (user_file.parent / "pyrightconfig.json").write_text(json.dumps(settings))
    done = subprocess.run(
        [*PYRIGHT, "--outputjson", user_file.name],
        cwd=user_file.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    said = json.loads(done.stdout)["generalDiagnostics"]
    revealed = [
        one["message"].rsplit('"', 2)[1] for one in said if one["severity"] == "information"
    ]
    assert [bare(shown) for shown in revealed] == TYPES
    wrong = [one for one in said if one["severity"] == "error"]
    assert [one["range"]["start"]["line"] + 1 for one in wrong] == WRONG
    assert "smaples" in wrong[0]["message"]
