"""Does fine-tuning by `atb` end where a plain training loop does?

An encoder is fine-tuned on MRPC, RTE and CoLA with several seeds, by `atb.training.fine_tune` and
by the loop below, which shares no code with it but the reading of rows: same rows held out, same
settings. Equal means: the difference of the means lies within what seeds alone make of it. The
same command goes on with the runs that are missing; a task may have more seeds than others.

    python -m benchmarks.training.finetuning_equal --encoder FOLDER --glue FOLDER --out FOLDER
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import ttest_ind
from sklearn.metrics import accuracy_score, matthews_corrcoef
from torch.utils.data import DataLoader
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    get_linear_schedule_with_warmup,
)

from atb.data.tasks.glue import GLUE
from atb.data.tasks.tasks import Examples, hold_out
from atb.training.finetuning.finetuning import fine_tune
from atb.training.finetuning.settings import FineTuning, with_changes
from benchmarks.shared.record import machine, write_result

FOLDERS = {"mrpc": "MRPC", "rte": "RTE", "cola": "CoLA"}
CHANGES = {"epochs": 2.0, "learning_rate": 1e-4, "evaluation_steps": 100, "bf16": True}
WAYS = ("ours", "plain")
METRICS = {"mrpc": accuracy_score, "rte": accuracy_score, "cola": matthews_corrcoef}


def plain_fine_tune(encoder: Path, task: str, source: str, settings: FineTuning) -> float:
    """A plain loop; the development score of the weights that were best on held-out rows."""
    torch.manual_seed(settings.seed)
    tokenizer = AutoTokenizer.from_pretrained(encoder)
    model = AutoModelForSequenceClassification.from_pretrained(encoder, num_labels=2)
    learnt, held = hold_out(GLUE[task].read(source, "train"), settings.seed)
    learnt = learnt.draw(settings.train_rows, settings.seed)

    def batches(rows: Examples, *, shuffle: bool) -> DataLoader[Any]:
        items = []
        for row in rows.rows:
            texts = [row[name] for name in ("first", "second") if name in row]
            read = tokenizer(*texts, truncation=True, max_length=settings.sequence_length)
            items.append({**read, "labels": row["label"]})
        collate = DataCollatorWithPadding(tokenizer)
        return DataLoader(items, settings.batch_size, shuffle=shuffle, collate_fn=collate)  # type: ignore[arg-type]

    @torch.no_grad()
    def score(loader: DataLoader[Any]) -> float:
        model.eval()
        found = [(batch["labels"], model(**batch).logits.argmax(-1)) for batch in loader]
        model.train()
        return float(METRICS[task](*(torch.cat(part) for part in zip(*found, strict=True))))

    training, judged = batches(learnt, shuffle=True), batches(held, shuffle=False)
    groups: list[dict[str, Any]] = [
        {"params": [], "weight_decay": settings.weight_decay},
        {"params": [], "weight_decay": 0.0},
    ]
    for name, parameter in model.named_parameters():
        groups[name.endswith("bias") or "LayerNorm" in name]["params"].append(parameter)
    optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate)
    steps = int(settings.epochs) * len(training)
    warmup = int(np.ceil(settings.warmup * steps))
    schedule = get_linear_schedule_with_warmup(optimizer, warmup, steps)
    best, kept, step = float("-inf"), {}, 0
    model.train()
    for _ in range(int(settings.epochs)):
        for batch in training:
            with torch.autocast("cpu", torch.bfloat16, enabled=settings.bf16):
                loss = model(**batch).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            step += 1
            if step % settings.evaluation_steps == 0 or step == steps:
                now = score(judged)
                if now > best:
                    best, kept = now, {n: t.clone() for n, t in model.state_dict().items()}
    model.load_state_dict(kept)
    return score(batches(GLUE[task].read(source, "dev"), shuffle=False))


def main() -> None:
    """Run what is missing, then compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encoder", type=Path, required=True)
    parser.add_argument("--glue", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3, help="Number of seeds of each task.")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--tasks", nargs="+", default=list(FOLDERS), help="Tasks to run; all by default."
    )
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    started = machine()
    for seed in range(arguments.seeds):
        for task in arguments.tasks:
            source = str(arguments.glue / FOLDERS[task])
            settings = with_changes(task, **CHANGES, seed=seed)
            for way in WAYS:
                done = arguments.out / f"{task}-{seed}-{way}.json"
                if done.is_file():
                    continue
                arguments.out.mkdir(parents=True, exist_ok=True)
                if way == "ours":
                    out = arguments.out / f"{task}-{seed}"
                    found = fine_tune(
                        str(arguments.encoder), GLUE[task], source, settings, out
                    ).scores["dev"][GLUE[task].metric]
                else:
                    found = plain_fine_tune(arguments.encoder, task, source, settings)
                done.write_text(json.dumps(found))
                print(time.strftime("%H:%M:%S"), task, seed, way, found, flush=True)
    table = {}
    for task in FOLDERS:
        files = [[arguments.out / f"{task}-{n}-{way}.json" for way in WAYS] for n in range(100)]
        both = [
            [json.loads(f.read_text()) for f in pair]
            for pair in files
            if all(map(Path.is_file, pair))
        ]
        if len(both) < 2:
            print(f"{task} is missing: the same command with --tasks {task} does it")
            return
        ours, plain = (list(scores) for scores in zip(*both, strict=True))
        table[task] = compared(ours, plain)
    print(table)
    print(write_result("finetuning_equal", {"settings": CHANGES, "tasks": table}, started))


def compared(ours: list[float], plain: list[float]) -> dict[str, Any]:
    """Means, the deviation between seeds, and the difference in units of what it makes of means."""
    deviation = float(np.sqrt((np.var(ours, ddof=1) + np.var(plain, ddof=1)) / 2))
    difference = float(np.mean(ours) - np.mean(plain))
    return {
        "ours": ours,
        "plain": plain,
        "means": [round(float(np.mean(scores)), 4) for scores in (ours, plain)],
        "difference": round(difference, 4),
        "deviation_of_seeds": round(deviation, 4),
        "in_standard_errors": round(
            float(difference / (deviation * np.sqrt(2 / len(ours)) or 1.0)), 2
        ),
        "p_of_welch": round(float(ttest_ind(ours, plain, equal_var=False).pvalue), 3),
    }


if __name__ == "__main__":
    main()
