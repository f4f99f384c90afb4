"""Are size and memory of a deployed model what a search under --limit size and memory counts on?

A search adds the full tables of words and positions to what the timed graph, which has a small
vocabulary, weighs and needs. Here slices of `mini` are exported as they are deployed, and the size
of the file and the memory that a worker grows by while it loads and runs it stand beside that sum,
in float32 and int8.

    python -m benchmarks.searching.deployed_bounds --out FOLDER
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from atb.deploy.export import export_model
from atb.devices.registry import find_device, find_runtime
from atb.devices.settings import RunSettings
from atb.models.space import SPACES
from atb.models.superplm.bundled import BUNDLED, load_superplm
from atb.predictor.fitting.features import rows_of
from atb.predictor.latency_fit import fit
from atb.predictor.training_set import TrainingSet
from atb.profiler.campaign.campaign import run_campaign
from atb.profiler.campaign.plan import Plan
from atb.profiler.database.writer import ProfileDatabase
from atb.profiler.record import ModelFile, Subject
from atb.profiler.statistics.measurement import Measurement
from atb.search.constraints.bounds import Bound, BoundName, Deployed
from benchmarks.shared.record import machine, write_result

SPACE = SPACES["mini"]
FILES = {"fp32": "model.onnx", "int8": "model.int8.onnx"}
BOUNDS: dict[BoundName, str] = {"size": "artefact_bytes", "memory": "memory_bytes"}
DRAWN, SAMPLES = 8, 30


def measure(
    settings: RunSettings, subjects: tuple[Subject, ...], name: str, database: ProfileDatabase
) -> dict[Subject, Measurement]:
    """By subject; a name of a campaign is measured once."""
    device = find_device("local")
    plan = Plan(subjects, name=name, wait_seconds=0.0, repeats=0)
    found = run_campaign(device, find_runtime(device), settings, plan, database)
    return {m.subject: m for m in found.measurements}


def main() -> None:
    """Export, measure, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    out: Path = parser.parse_args().out
    started = machine()
    superplm = load_superplm("mini")
    drawn = SPACE.sample(np.random.default_rng(5), DRAWN)
    samples = SPACE.sample(np.random.default_rng(6), SAMPLES)
    for architecture in drawn:
        if not (out / str(architecture) / "atb.json").is_file():
            export_model(superplm, architecture, out / str(architecture), source=BUNDLED["mini"])
    rows: list[dict[str, Any]] = []
    with ProfileDatabase(out / "profile.db", create=True) as database:
        for precision, name in FILES.items():
            settings = RunSettings(precision=precision)
            files = {a: ModelFile.of(out / str(a) / name) for a in drawn}
            timed = measure(settings, (*samples, *drawn), "timed", database)
            whole = measure(settings, tuple(files.values()), "deployed", database)
            known = TrainingSet.from_measurements([timed[a] for a in samples])
            predictor = fit(known, np.random.default_rng(0))
            deployed = Deployed(
                predictor, superplm.config.vocab_size, superplm.config.max_position_embeddings
            )
            for architecture in drawn:
                whole_file = whole[files[architecture]]
                rows += [
                    compared(precision, bound, deployed, timed[architecture], whole_file)
                    for bound in BOUNDS
                ]
    print(*rows, sep="\n")
    figures = {"rows": rows, "worst": worst(rows)}
    print(figures["worst"])
    print(write_result("deployed_bounds", figures, started))


def compared(
    precision: str,
    name: BoundName,
    deployed: Deployed,
    found: Measurement,
    whole: Measurement,
) -> dict[str, Any]:
    """What a search counts on and what there is, in bytes."""
    bound = Bound(name, 1.0)
    there = float(getattr(whole, BOUNDS[name]))
    counted = deployed.measured(bound, found)
    upper = float(deployed.upper(bound, rows_of([found.architecture]))[0])
    assert counted is not None
    return {
        "precision": precision,
        "architecture": str(found.architecture),
        "bound": name,
        "deployed_bytes": there,
        "counted_on_bytes": counted,
        "counted_over_deployed": round(counted / there, 4),
        "predicted_upper_over_deployed": round(upper / there, 4),
    }


def worst(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The range of what is counted on, over what there is."""
    table: dict[str, Any] = {}
    for precision in FILES:
        for name in BOUNDS:
            part = [r for r in rows if (r["precision"], r["bound"]) == (precision, name)]
            for column in ("counted_over_deployed", "predicted_upper_over_deployed"):
                values = [row[column] for row in part]
                table[f"{precision} {name} {column}"] = [min(values), max(values)]
    return table


if __name__ == "__main__":
    main()
