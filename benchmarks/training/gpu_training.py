"""Tokens per second of one-shot training on a GPU, and the share of its peak.

Three sub-models a step, drawn uniformly, sequences of 128; masked words and distillation; a
SuperPLM of 8 layers, 768 wide, and `mini`. What a step computes is counted by its matrix products:
two operations a multiply-add, three times for a sub-model (forward, and twice backward), once for
the teacher. Peak is what this GPU was seen to reach on a product of two bfloat16 matrices of 8,192.

    python -m benchmarks.training.gpu_training
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from atb.data.corpus.samples import held_out
from atb.models.architecture import Architecture
from atb.models.space import SPACES
from atb.models.superplm.superplm import SuperPLM
from atb.training.contract import Objective
from atb.training.one_shot.objectives import Distillation, MaskedLanguageModelling
from atb.training.one_shot.trainer import TrainingStep, train_superplm
from atb.training.sampling import sampled_architectures
from atb.training.settings import TrainingSettings
from atb.training.teacher import Teacher
from benchmarks.shared.record import machine, write_result
from benchmarks.training.plain_training import VOCABULARY, make_teacher
from benchmarks.training.training_speed import CASES, LENGTH, SAMPLES

BATCHES = {"L8-H768": 256, "mini": 512}
WARM_UP, MASKED = 5, 0.15


def main() -> None:
    """Measure all cases."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--steps", type=int, default=20, help="Timed steps, after some that warm up."
    )
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("This benchmark is of a GPU, and torch finds none.")
    started = machine()
    peak = matrix_rate()
    figures: dict[str, Any] = {
        "gpu": torch.cuda.get_device_name(),
        "peak_tflops": round(peak / 1e12),
        "steps": arguments.steps,
        "cases": {},
    }
    for name, (spaces, teacher, _) in CASES.items():
        for objective, space in spaces.items():
            found = speed(space, teacher if objective == "kd" else None, name, arguments.steps)
            found["share_of_peak"] = round(found["tflops"] * 1e12 / peak, 3)
            figures["cases"][f"{name} {objective}"] = found
            print(name, objective, found, flush=True)
    print(write_result("gpu_training", figures, started))


def matrix_rate(size: int = 8192, repeats: int = 10) -> float:
    """Operations per second of a bfloat16 matrix product."""
    left, right = (torch.randn(size, size, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    for _ in range(3):
        left @ right
    torch.cuda.synchronize()
    begun = time.perf_counter()
    for _ in range(repeats):
        left @ right
    torch.cuda.synchronize()
    return repeats * 2 * size**3 / (time.perf_counter() - begun)


def speed(
    space: str, teacher: tuple[int, int, int, int] | None, name: str, steps: int
) -> dict[str, Any]:
    """Train for some steps by the shipped trainer."""
    settings = TrainingSettings(
        SPACES[space],
        steps=WARM_UP + steps,
        batch_size=BATCHES[name],
        sampling="uniform",
        random_samples=SAMPLES,
        bf16=True,
        checkpoint_steps=10**6,
    )
    torch.manual_seed(0)
    objective: Objective = MaskedLanguageModelling(MASKED)
    if teacher is not None:
        objective = Distillation(Teacher(make_teacher(*teacher)))
    superplm = SuperPLM.from_architecture(
        settings.space.largest,
        with_mlm_head=teacher is None,
        projection_size=None if teacher is None else teacher[1],
    )
    torch.cuda.reset_peak_memory_stats()
    times, tokens = [], []

    def told(step: TrainingStep) -> None:
        times.append(time.perf_counter())
        tokens.append(step.tokens)

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        train_superplm(
            superplm, held_out(LENGTH), settings, out, objective=objective, progress=told
        )
    seconds = times[-1] - times[WARM_UP - 1]
    computed = sum(operations(settings, step, teacher) for step in range(WARM_UP, settings.steps))
    each = [after - before for before, after in itertools.pairwise(times[WARM_UP - 1 :])]
    return {
        "batch_size": settings.batch_size,
        "tokens_per_second": round((tokens[-1] - tokens[WARM_UP - 1]) / seconds),
        "seconds_a_step": round(statistics.median(each), 4),
        "spread_of_steps": [round(float(np.quantile(each, share)), 4) for share in (0.1, 0.9)],
        "tflops": round(computed / seconds / 1e12, 1),
        "peak_memory_gib": round(torch.cuda.max_memory_allocated() / 2**30, 1),
    }


def operations(
    settings: TrainingSettings, step: int, teacher: tuple[int, int, int, int] | None
) -> float:
    """Of the matrix products of a step, over sequences of full length."""
    sampled = sampled_architectures(
        settings.space, "uniform", SAMPLES, seed=settings.seed, step=step, part=0
    )
    a_sequence = 0.0
    for architecture in sampled:
        a_sequence += 3 * 2 * architecture.multiply_adds(LENGTH)
        if teacher is None:
            words = MASKED * LENGTH
            h = architecture.hidden
            a_sequence += 3 * 2 * words * h * (VOCABULARY + h)
        else:
            a_sequence += 3 * 2 * LENGTH * architecture.hidden * teacher[1]
    if teacher is not None:
        layers, hidden, heads, feed_forward = teacher
        whole = Architecture(layers, hidden, heads, hidden, feed_forward)
        a_sequence += 2 * whole.multiply_adds(LENGTH)
    return settings.batch_size * a_sequence


if __name__ == "__main__":
    main()
