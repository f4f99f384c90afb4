"""How well the package optimum-benchmark repeats on two plain BERT shapes, beside `atb`.

It wants an environment of its own, whose interpreter is given here: `python -m venv DIR`, then
`DIR/bin/pip install optimum-benchmark 'transformers<5' 'datasets<4.4'` (version 0.6.0 does not
import with later ones). Its defaults are kept: a process for each run, 10 warm-ups, then
ten seconds of runs, the mean; PyTorch on the CPU, one thread. Ours times the same shapes with
onnxruntime, since that is what we have: compared are spreads between campaigns, not latencies. The
two take turns; the same command goes on where it was interrupted.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np

from atb.devices.registry import find_device, find_runtime
from atb.devices.settings import RunSettings
from atb.models.published import resolve
from atb.profiler.campaign.campaign import run_campaign
from atb.profiler.campaign.plan import Plan
from atb.profiler.database.writer import ProfileDatabase
from benchmarks.measuring.comparing import Ledger
from benchmarks.shared.record import machine, write_result

#: A name for each shape -> layers, hidden size, heads, feed-forward size.
SHAPES = {"bert-mini": (4, 256, 4, 1024), "minilm-6": (6, 384, 12, 1536)}
SEQUENCE_LENGTH = 128
WITHIN = 0.01

_THEIRS = """
import json, sys
from optimum_benchmark import (
    Benchmark, BenchmarkConfig, InferenceConfig, ProcessConfig, PyTorchConfig,
)

if __name__ == "__main__":
    model, length = sys.argv[1], int(sys.argv[2])
    backend = PyTorchConfig(
        model=model, task="feature-extraction", library="transformers", model_type="bert",
        device="cpu", intra_op_num_threads=1, inter_op_num_threads=1,
    )
    scenario = InferenceConfig(input_shapes={"batch_size": 1, "sequence_length": length})
    config = BenchmarkConfig(
        name="bert", launcher=ProcessConfig(), backend=backend, scenario=scenario
    )
    found = Benchmark.launch(config).forward.latency
    print(json.dumps({"mean": float(found.mean), "p50": float(found.p50), "runs": found.count}))
"""


def write_model(name: str, folder: Path) -> Path:
    """The shape with random weights, as a folder of transformers."""
    from transformers import BertConfig, BertModel

    layers, hidden, heads, feed_forward = SHAPES[name]
    config = BertConfig(
        num_hidden_layers=layers,
        hidden_size=hidden,
        num_attention_heads=heads,
        intermediate_size=feed_forward,
    )
    BertModel(config).save_pretrained(folder / name)
    return folder / name


def theirs(python: Path, model: Path) -> dict[str, Any]:
    """One run of the package, and what it took in seconds."""
    script = model.parent / "theirs.py"
    script.write_text(_THEIRS)
    begun = time.monotonic()
    done = subprocess.run(
        [str(python), str(script), str(model), str(SEQUENCE_LENGTH)],
        check=True,
        capture_output=True,
        text=True,
        env={"HF_HUB_OFFLINE": "1", "PATH": "/usr/bin:/bin", "HOME": str(model.parent)},
    )
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return {**found, "took": time.monotonic() - begun}


def ours(number: int, folder: Path) -> dict[str, Any]:
    """One campaign of ours over all shapes."""
    device = find_device("local")
    begun = time.monotonic()
    plan = Plan(
        tuple(resolve(name) for name in SHAPES), name=f"round-{number}", within=WITHIN, seed=number
    )
    with ProfileDatabase(folder / "profile.db", create=True) as database:
        found = run_campaign(device, find_runtime(device), RunSettings(), plan, database)
    latencies = {
        name: m.latency_seconds for name, m in zip(SHAPES, found.measurements, strict=True)
    }
    return {"latencies": latencies, "took": time.monotonic() - begun}


def spread(values: list[float]) -> float:
    """Coefficient of variation in per cent."""
    return round(100 * float(np.std(np.log(values), ddof=1)), 3)


def main() -> None:
    """Take turns, then report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--python", type=Path, required=True, help="Python interpreter of the other environment."
    )
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--folder", type=Path, default=Path("atb-runs/optimum-package"))
    arguments = parser.parse_args()
    started, ledger = machine(), Ledger(arguments.folder)
    models = {name: write_model(name, arguments.folder.resolve()) for name in SHAPES}

    def make(number: int) -> dict[str, Any]:
        found: dict[str, Any] = {"verdict": "done", "ours": ours(number, arguments.folder)}
        for name, model in models.items():
            found[name] = theirs(arguments.python, model)
        return found

    rows = ledger.fill("rounds", arguments.rounds, make)
    figures = {
        "rounds": len(rows),
        "shapes": {
            name: {
                "theirs_spread_percent": spread([row[name]["mean"] for row in rows]),
                "their_medians_spread_percent": spread([row[name]["p50"] for row in rows]),
                "their_runs": float(np.median([row[name]["runs"] for row in rows])),
                "theirs_took_seconds": float(np.median([row[name]["took"] for row in rows])),
                "ours_spread_percent": spread([row["ours"]["latencies"][name] for row in rows]),
                "ours_took_seconds": float(np.median([row["ours"]["took"] for row in rows]))
                / len(SHAPES),
            }
            for name in SHAPES
        },
    }
    print(json.dumps(figures, indent=1))
    write_result("optimum_package", figures, started)


if __name__ == "__main__":
    main()
