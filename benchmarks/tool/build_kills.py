"""SIGKILL at random moments of `atb build`: does the same command end with the same model?

A small recipe of all stages is built once undisturbed, on the simulated device. Then builds of it
are killed at moments drawn uniformly from that time, each time begun again by the same
command, until it ends; one such build after the other, until there were ten kills. The model must
be, byte for byte, that of the undisturbed one.

    python -m benchmarks.tool.build_kills --out FOLDER
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.shared.paths import ROOT, TEST_SUPPORT
from benchmarks.shared.record import machine, write_result

sys.path.insert(0, str(TEST_SUPPORT))

from small_build import prepare

LEAST_KILLS = 10
FILES = ("model.safetensors", "model.onnx", "config.json", "tokenizer.json")


def main() -> None:
    """Build, kill, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    folder: Path = parser.parse_args().out
    folder.mkdir(parents=True)
    started = machine()
    prepare(lambda *words: start(words, folder, wait=True), folder)
    begun = time.monotonic()
    build(folder, "whole").wait()
    seconds = time.monotonic() - begun
    wanted = read(folder, "whole")
    rng = np.random.default_rng(0)
    killed_in: list[str] = []
    builds = 0
    while len(killed_in) < LEAST_KILLS:
        name = f"killed-{builds}"
        killed_in += kill_until_done(folder, name, rng, seconds)
        builds += 1
        if read(folder, name) != wanted:
            raise SystemExit(f"{name} ended with another model")
        print(f"{name}: equal, {len(killed_in)} kills so far", flush=True)
    figures = {
        "kills": len(killed_in),
        "builds": builds,
        "killed_in": dict(Counter(killed_in)),
        "seconds_undisturbed": round(seconds, 1),
        "equal_files": list(FILES),
    }
    print(figures)
    print(write_result("build_kills", figures, started))


def start(words: tuple[str, ...], folder: Path, *, wait: bool = False) -> Any:
    """Run a command of atb."""
    command = [sys.executable, "-m", "atb", *words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    if wait:
        return subprocess.run(
            command, cwd=folder, env=environment, check=False, capture_output=True, text=True
        )
    return subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.DEVNULL)


def build(folder: Path, name: str) -> subprocess.Popen[bytes]:
    """Begin a build, or go on with it."""
    process: subprocess.Popen[bytes] = start(("build", "recipe.toml", "--out", name), folder)
    return process


def kill_until_done(
    folder: Path, name: str, rng: np.random.Generator, most_seconds: float
) -> list[str]:
    """Kill one build again and again; the stages in which it was."""
    stages = []
    while True:
        process = build(folder, name)
        try:
            code = process.wait(rng.uniform(0, most_seconds))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            stages.append(stage(folder / name / "build.json"))
            continue
        if code:
            raise SystemExit(f"the build of {name} failed: run its command by hand")
        return stages


def stage(ledger: Path) -> str:
    """In which stage a build was."""
    if not ledger.is_file():
        return "before the first"
    stages = json.loads(ledger.read_text("utf-8"))["stages"]
    return next((name for name, found in stages.items() if not found["done"]), "between two")


def read(folder: Path, name: str) -> list[bytes]:
    """What a build has made."""
    return [(folder / name / "model" / file).read_bytes() for file in FILES]


if __name__ == "__main__":
    main()
