"""Campaigns, predictors, searches and comparisons on the simulated device give fixed numbers.

The numbers of `tests/samples/before/numbers.json.xz` were written by this file, run as a script at
the commit that `ORIGIN.md` beside them names. Raw readings have to be equal bit for bit. So have
latencies, intervals and comparisons where the processor has the same instructions; with others,
numpy's logarithms differ in the last bit, and 1e-12 of the value is allowed. Coefficients,
predictions and bounds come out of solvers of scipy and BLAS and may differ by 1e-9 of their value;
coefficients of sizes that are zero but for rounding are left out. Scores of slices come out of
torch, so that searches take theirs from a file of scores that are exact.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from forked import start_forked

ROOT = Path(__file__).resolve().parents[2]
BEFORE = ROOT / "tests" / "samples" / "before"
NUMBERS = BEFORE / "numbers.json.xz"

#: `atb` on a simulated device that is noisy, drifts, is preempted and fails for two architectures.
NOISY = """
from functools import partialmethod
from runpy import run_module
from atb.devices.registry import find_device
FakeDevice = type(find_device("fake"))
FakeDevice.__init__ = partialmethod(
    FakeDevice.__init__, noise=0.02, launch_noise=0.01, level_noise=0.005, sharing_noise=0.2,
    preemption=0.01, seed=7, slowdown=lambda seconds: 1.0 + 0.1 * (seconds > 9.0),
    failures={"L5-H352-A12-Q384-F832": "crash", "L1-H240-A9-Q288-F704": "load-error"},
)
run_module("atb", run_name="__main__", alter_sys=True)
"""
#: Exit codes of answers; `atb compare` has several.
ANSWERED = (0, 3, 4, 5)
pytestmark = pytest.mark.slow

#: Runs `atb` on the noisy device in a folder and hands back what it printed.
Run = Callable[[str], str]

CAMPAIGNS = {
    "space": "--space mini --samples 18 --sequence-length 32",
    "settings": "--space mini --samples 4 --sequence-length 16 --precision fp32,int8 --threads 2,4",
    "streams": "--arch tinybert-4 --arch bert-mini --threads 2 --batch 2 "
    "--scenario throughput --streams 1,2",
    "fixed-rate": "--arch tinybert-4 --arch bert-mini --scenario fixed-rate --interval 50ms",
    "single-shot": "--arch tinybert-4 --arch bert-mini --scenario single-shot --interval 50ms",
    "sustained": "--arch tinybert-4 --arch bert-mini --scenario sustained --duration 5s",
    "cold-start": "--arch tinybert-4 --arch bert-mini --scenario cold-start",
    "within": "--space mini --samples 2 --sequence-length 32 --within 0.5%",
}
PAIRS = {
    "equal": "L4-H312-A12-Q312-F1200 L4-H312-A12-Q312-F1216",
    "slower": "bert-mini tinybert-4",
    "int8": "tinybert-4 tinybert-4,precision=int8",
}
#: What the SuperPLM of before holds, with shapes that each method draws from.
SPACE = """
name = "small"
layers = [1, 3]
hidden = [2, 6, 2]
heads = [1, 4]
head_size = 2
feed_forward = [6, 14, 1]
"""
METHODS = ("random", "fast", "evolved", "evolved+", "pareto")
#: Today's names of methods that had another one when the numbers were written.
NAMES = {"evolved": "evolution", "evolved+": "surrogate-evolution"}


def readings(database: Path) -> dict[str, Any]:
    """What a database holds of blocks, loads, failures and sessions: a count and a hash of each.

    Texts of JSON count by their values, whatever their spaces and the order of their fields.
    """
    queries = {
        "conditions": "key FROM atb_conditions ORDER BY key",
        "campaigns": "key, label, name, number, space, seed, launches, sentinel "
        "FROM atb_campaigns ORDER BY label",
        "sessions": "label, started_at, within FROM atb_sessions s "
        "JOIN atb_campaigns c ON c.id = campaign_id ORDER BY label, started_at",
        "blocks": "label, architecture, launch, block, readings, sentinel_before, sentinel_after, "
        "cache_sentinel, artefact_sha256, state, state_after, started_at FROM atb_blocks b "
        "JOIN atb_campaigns c ON c.id = campaign_id ORDER BY label, architecture, launch, block",
        "loads": "label, architecture, launch, load_seconds, first_seconds, memory_bytes, "
        "output_checksum, artefact_bytes, artefact_sha256, providers, at FROM atb_loads l "
        "JOIN atb_campaigns c ON c.id = campaign_id ORDER BY label, at, architecture",
        "failures": "label, architecture, cause, detail, at FROM atb_failures f "
        "JOIN atb_campaigns c ON c.id = campaign_id ORDER BY label, at",
    }
    found = {}
    with sqlite3.connect(database) as connection:
        for name, query in queries.items():
            rows = [[_value(v) for v in row] for row in connection.execute(f"SELECT {query}")]
            content = json.dumps(rows, sort_keys=True).encode()
            found[name] = {"rows": len(rows), "sha256": hashlib.sha256(content).hexdigest()}
    return found


def _value(value: Any) -> Any:
    """What a text of JSON says; everything else is handed back."""
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return value


def campaigns(run: Run, folder: Path) -> dict[str, Any]:
    """All campaigns in one database: their documents, and hashes of the raw readings."""
    found: dict[str, Any] = {}
    for name, words in CAMPAIGNS.items():
        document = json.loads(run(f"profile fake --db noisy.db --campaign {name} {words} --json"))
        found[name] = {
            "measurements": [_without(m, "conditions") for m in document["measurements"]],
            "failures": [_without(f, "conditions") for f in document["failures"]],
        }
    found["readings"] = readings(folder / "noisy.db")
    return found


def _without(fields: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in names}


def predictors(run: Run, folder: Path) -> dict[str, Any]:
    """A predictor of noisy measurements, one of a table, and a known device: what they predict."""
    train = run("predictor train --campaign space --db noisy.db --out noisy.json --json")
    document = json.loads((folder / "noisy.json").read_text())
    drawn = json.loads(run("space sample mini --samples 20 --seed 1 --json"))
    names = " ".join(drawn["architectures"])

    def predict(options: str) -> list[Any]:
        answer = json.loads(run(f"predict {names} {options} --explain --json"))
        return [_without(p, "shrinking") for p in answer["predictions"]]

    run("predictor train --table table.csv --target milliseconds --out columns.json")
    table = run("predict --predictor columns.json --table table.csv").splitlines()
    evaluated = run("predictor evaluate --predictor noisy.json --db noisy.db --json")
    return {
        "trained": json.loads(train),
        "file": _without(document, "sha256", "atb_version", "further"),
        "evaluated": json.loads(evaluated),
        "predictions": predict("--predictor noisy.json --sequence-length 32"),
        "known device": predict("--device amd-epyc-milan"),
        "table": [[_value(cell) for cell in line.split(",")] for line in table],
    }


def comparisons(run: Run, folder: Path) -> dict[str, Any]:
    """Two that are equal, one that is slower, and one that is faster in another precision."""
    return {
        name: json.loads(run(f"compare {words} --device fake --json"))
        for name, words in PAIRS.items()
    }


def searches(run: Run, folder: Path) -> dict[str, Any]:
    """One search by each method."""
    return {method: search(run, folder, method) for method in METHODS}


def search(run: Run, folder: Path, method: str) -> dict[str, Any]:
    """Search the tiny space; all scores are there already, so that nothing is scored."""
    out = folder / method
    out.mkdir()
    (out / "scores.jsonl").write_text("".join(_scores()))
    files = f"--db {method}.db --out {method} --predictor tiny.json"
    scores = "--superplm superplm --proxy mlm --held-out shards"
    size = "--generation-size 8 --finalists 3"
    limit = "--latency 0.48ms --window 0.01,1.00"
    where = "--device fake --space small.toml"
    answer = run(f"search --method {method} {where} {limit} {size} {scores} {files} --json")
    document = json.loads(answer)
    for candidate in [document["winner"], *document["candidates"]]:
        candidate.pop("campaign")  # its name is drawn at random
    return _without(document, "campaigns", "conditions", "request")


def _scores() -> list[str]:
    """Lines of a file of scores: large models are good, with a wave; all sums are exact."""
    with (BEFORE / "search" / "scores.jsonl").open() as lines:
        key = json.loads(next(lines))["proxy"].removesuffix("-rough")
    found = []
    for layers, hidden, heads, inner in product(
        range(1, 4), range(2, 7, 2), range(1, 5), range(6, 15)
    ):
        whole = (16 * layers + 4 * hidden + 3 * heads + inner) / 256
        score = whole + (7 * layers + 5 * hidden + 3 * heads + inner) % 11 / 1024
        rough = score / 2 + (layers + hidden + heads + inner) % 5 / 2048
        architecture = f"L{layers}-H{hidden}-A{heads}-Q{2 * heads}-F{inner}"
        for proxy, value in ((key, score), (f"{key}-rough", rough)):
            entry = {"format": 1, "proxy": proxy, "architecture": architecture}
            found.append(json.dumps(entry | {"score": value, "seconds": 0.0}) + "\n")
    return found


PARTS = {
    "campaigns": campaigns,
    "predictors": predictors,
    "comparisons": comparisons,
    "searches": searches,
}


def instruction_sets(run: Run) -> str:
    """What the processor of this machine has beyond the basic instructions."""
    found: str = json.loads(run("devices show --json"))["platform"]["instruction_sets"]
    return found


def prepare(folder: Path) -> None:
    """Copy what the commands read."""
    for name in ("table.csv", "tiny.json"):
        shutil.copy(BEFORE / name, folder)
    for name in ("superplm", "shards"):
        shutil.copytree(BEFORE / name, folder / name)
    (folder / "small.toml").write_text(SPACE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all commands run."""
    folder = tmp_path_factory.mktemp("numbers")
    prepare(folder)
    return folder


@pytest.fixture(scope="module")
def run(folder: Path) -> Run:
    """Runs `atb` in a fork of a process that has imported its libraries."""
    outputs = folder / "stdout", folder / "stderr"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "ATB_CACHE": str(folder / "cache")}

    def run(words: str) -> str:
        for output in outputs:
            output.unlink(missing_ok=True)
        process = start_forked(tuple(words.split()), folder, environment, outputs, script=NOISY)
        process.join()
        stdout, stderr = (path.read_text("utf-8") for path in outputs)
        assert process.exitcode in ANSWERED, stderr
        return stdout

    return run


@pytest.fixture(scope="module")
def numbers() -> dict[str, Any]:
    """What the numbers have to be."""
    found: dict[str, Any] = json.loads(lzma.decompress(NUMBERS.read_bytes()))
    return found


@pytest.fixture(scope="module")
def processor(run: Run) -> str:
    """The instructions with which numpy computes here."""
    return instruction_sets(run)


@pytest.fixture(scope="module")
def measured(run: Run, folder: Path) -> dict[str, Any]:
    """The campaigns, on whose measurements predictors are fitted."""
    return campaigns(run, folder)


def differences(found: Any, wanted: Any, relative: float, where: str = "") -> list[str]:
    """Where two documents differ; floats by more than a share of the value that is wanted."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        names = sorted(found.keys() | wanted.keys())
        pairs = [(f"{where}/{n}", found.get(n, "-"), wanted.get(n, "-")) for n in names]
    elif isinstance(wanted, list) and isinstance(found, list) and len(found) == len(wanted):
        pairs = [(f"{where}/{n}", f, w) for n, (f, w) in enumerate(zip(found, wanted, strict=True))]
    elif isinstance(wanted, float) and isinstance(found, float):
        near = abs(found - wanted) <= max(relative * abs(wanted), 1e-18 * (relative > 0))
        return [] if near else [f"{where}: {found!r} in place of {wanted!r}"]
    else:
        return [] if found == wanted else [f"{where}: {found!r} in place of {wanted!r}"]
    return [line for w, f, v in pairs for line in differences(f, v, relative, w)]


def test_raw_readings_are_the_same_to_the_last_bit(measured: Any, numbers: Any) -> None:
    assert measured["readings"] == numbers["campaigns"]["readings"]


def test_latencies_and_their_intervals_are_the_same(
    measured: Any, numbers: Any, processor: str
) -> None:
    relative = 0.0 if processor == numbers["instruction sets"] else 1e-12
    assert differences(measured, numbers["campaigns"], relative) == []


@pytest.mark.usefixtures("measured")
def test_predictors_have_the_same_coefficients_and_predict_the_same(
    run: Run, folder: Path, numbers: Any
) -> None:
    assert differences(predictors(run, folder), numbers["predictors"], 1e-9) == []


def test_comparisons_end_the_same(run: Run, folder: Path, numbers: Any, processor: str) -> None:
    relative = 0.0 if processor == numbers["instruction sets"] else 1e-12
    assert differences(comparisons(run, folder), numbers["comparisons"], relative) == []


@pytest.mark.parametrize("method", METHODS)
def test_searches_score_the_same_architectures_and_find_the_same(
    run: Run, folder: Path, numbers: Any, method: str
) -> None:
    if method == "pareto":
        pytest.importorskip("pymoo")
    found = search(run, folder, method)
    wanted = numbers["searches"][method] | {"method": NAMES.get(method, method)}
    assert differences(found, wanted, 1e-9) == []


def write() -> None:
    """Write the numbers of the `atb` that Python finds."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder)

        def run(words: str) -> str:
            command = [sys.executable, "-c", NOISY, *words.split()]
            done = subprocess.run(
                command, cwd=folder, stdout=subprocess.PIPE, text=True, check=False
            )
            assert done.returncode in ANSWERED
            return done.stdout

        found: dict[str, Any] = {name: part(run, folder) for name, part in PARTS.items()}
        found["instruction sets"] = instruction_sets(run)
    NUMBERS.write_bytes(lzma.compress(json.dumps(found).encode(), preset=9))


if __name__ == "__main__":
    write()
