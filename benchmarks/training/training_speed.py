"""How fast one-shot training is, beside the reference's loop and a plain one.

The same batches and the same sub-models, three a step, sequences of 128; masked words and
distillation; a SuperPLM of 8 layers, 768 wide, and `mini`. Loops take turns, a step each, so that
all see the same machine; figures are medians over the steps, and ratios of a step's neighbours.
Between the plain loop and ours lie two that split the difference by cause: the plain one over
batches cut to their longest sequence, and ours in float32.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from atb.data.corpus.samples import held_out
from atb.models.architecture import Architecture
from atb.models.space import SPACES, SearchSpace
from atb.models.superplm.superplm import SuperPLM
from atb.training.batches import Batches, TextSource
from atb.training.contract import Objective
from atb.training.one_shot.objectives import Distillation, MaskedLanguageModelling
from atb.training.one_shot.trainer import train_superplm
from atb.training.sampling import sampled_architectures
from atb.training.settings import TrainingSettings
from atb.training.teacher import Batch, Teacher
from benchmarks.shared.record import machine, write_result
from benchmarks.training.plain_training import PLAIN, REFERENCE, Costs, PlainLoop, make_teacher

LENGTH, SAMPLES = 128, 3
# Of each SuperPLM: its space by objective, the teacher, and the sequences of a batch.
CASES = {
    "L8-H768": ({"mlm": "mlm", "kd": "kd"}, (12, 768, 12, 3072), 8),
    "mini": ({"mlm": "mini", "kd": "mini"}, (6, 384, 12, 1536), 16),
}


def main() -> None:
    """Compare all cases."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--steps", type=int, default=6, help="Timed steps, after one that warms up."
    )
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    started = machine()
    figures: dict[str, Any] = {"threads": arguments.threads, "steps": arguments.steps, "cases": {}}
    for name, (spaces, teacher, batch_size) in CASES.items():
        for objective, space in spaces.items():
            case = f"{name} {objective}"
            shape = teacher if objective == "kd" else None
            figures["cases"][case] = compare(
                SPACES[space], shape, batch_size, steps=arguments.steps
            )
            print(case, figures["cases"][case], flush=True)
    print(write_result("training_speed", figures, started))


def compare(
    space: SearchSpace, teacher: tuple[int, int, int, int] | None, batch_size: int, *, steps: int
) -> dict[str, Any]:
    """Seconds a step of each loop, and how many times as long as ours each takes."""
    settings = TrainingSettings(
        space,
        steps=steps + 1,
        batch_size=batch_size,
        sampling="uniform",
        random_samples=SAMPLES,
        checkpoint_steps=10**6,
    )
    loops: dict[str, Iterator[float]] = {
        "reference": plain_steps(space, teacher, REFERENCE, settings, padded=True),
        "plain": plain_steps(space, teacher, PLAIN, settings, padded=True),
        "plain, cut to the longest": plain_steps(space, teacher, PLAIN, settings, padded=False),
        "ours, float32": our_steps(space, teacher, settings),
        "ours": our_steps(space, teacher, replace(settings, bf16=True)),
    }
    seconds: dict[str, list[float]] = {name: [] for name in loops}
    for step in range(steps + 1):
        for name, loop in loops.items():
            taken = next(loop)
            if step:
                seconds[name].append(taken)
    for loop in loops.values():
        next(loop, None)  # to its end
    tokens = float(np.mean([int(batch.attention_mask.sum()) for batch in batches(settings, 0.0)]))
    return {
        "batch_size": batch_size,
        "tokens_a_step": round(tokens),
        "seconds": {name: round(statistics.median(values), 4) for name, values in seconds.items()},
        "times_ours": {
            name: [
                round(float(np.quantile(np.array(values) / np.array(seconds["ours"]), share)), 2)
                for share in (0.5, 0.1, 0.9)
            ]
            for name, values in seconds.items()
        },
        "tokens_per_second": round(tokens / statistics.median(seconds["ours"])),
    }


def batches(settings: TrainingSettings, mask_probability: float) -> Iterator[Batch]:
    """The batches that our trainer sees with these settings."""
    source = Batches(
        TextSource(held_out(LENGTH)),
        size=settings.batch_size,
        parts=1,
        mask_probability=mask_probability,
        seed=settings.seed,
    )
    for step in range(settings.steps):
        yield source.of_step(step)[0]


def architectures(settings: TrainingSettings, step: int) -> list[Architecture]:
    """The sub-models that our trainer draws."""
    return sampled_architectures(
        settings.space, "uniform", SAMPLES, seed=settings.seed, step=step, part=0
    )


def plain_steps(
    space: SearchSpace,
    teacher: tuple[int, int, int, int] | None,
    costs: Costs,
    settings: TrainingSettings,
    *,
    padded: bool,
) -> Iterator[float]:
    """Seconds of each step of a loop written for comparison."""
    torch.manual_seed(0)
    loop = PlainLoop(space.largest, None if teacher is None else make_teacher(*teacher), costs)
    seen = batches(settings, 0.0 if teacher else 0.15)
    for step, batch in enumerate(seen):
        given = _padded(batch) if padded else batch
        begun = time.perf_counter()
        loop.step(given, architectures(settings, step))
        yield time.perf_counter() - begun


def _padded(batch: Batch) -> Batch:
    room = LENGTH - batch.input_ids.shape[1]

    def longer(tensor: torch.Tensor | None, value: int) -> torch.Tensor | None:
        return None if tensor is None else torch.nn.functional.pad(tensor, (0, room), value=value)

    ids, mask = longer(batch.input_ids, 0), longer(batch.attention_mask, 0)
    assert ids is not None
    assert mask is not None
    return Batch(ids, mask, longer(batch.labels, -100))


def our_steps(
    space: SearchSpace, teacher: tuple[int, int, int, int] | None, settings: TrainingSettings
) -> Iterator[float]:
    """Seconds of each step of the shipped trainer.

    It runs in a thread that waits between steps, so that loops can take turns.
    """
    torch.manual_seed(0)
    objective: Objective = MaskedLanguageModelling()
    if teacher is not None:
        objective = Distillation(Teacher(make_teacher(*teacher)))
    superplm = SuperPLM.from_architecture(
        space.largest,
        with_mlm_head=teacher is None,
        projection_size=None if teacher is None else teacher[1],
    )
    turn, done = threading.Semaphore(0), threading.Semaphore(0)
    seconds: list[float] = []
    begun = 0.0

    def told(_: object) -> None:
        nonlocal begun
        seconds.append(time.perf_counter() - begun)
        done.release()
        turn.acquire()
        begun = time.perf_counter()

    def run(out: Path) -> None:
        nonlocal begun
        turn.acquire()
        begun = time.perf_counter()
        train_superplm(
            superplm, held_out(LENGTH), settings, out, objective=objective, progress=told
        )

    with tempfile.TemporaryDirectory() as folder:
        thread = threading.Thread(target=run, args=(Path(folder) / "run",), daemon=True)
        thread.start()
        for _ in range(settings.steps):
            turn.release()
            done.acquire()
            yield seconds[-1]
        turn.release()
        thread.join()


if __name__ == "__main__":
    main()
