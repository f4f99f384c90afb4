"""`--json` prints one document with a format number, whatever the command and its mode."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from atb.cli import app

#: Campaigns, fits and small trainings, a minute or two in all.
pytestmark = pytest.mark.slow

#: What commands need, in the order in which one makes what the next reads.
MEASURING = """
devices list
devices show local
devices show fake
devices check fake
space list
space show kd
space sample mini --samples 2
profile fake --samples 20
profile --list
profile fake --threads 1,2 --arch s4 --campaign two
profile fake --arch s1 --operators --tokenisation --campaign one
profile fake --samples 14 --until-error 30% --campaign chosen
database info
database export --campaign profile --out rows.csv
database export --blocks --out blocks.csv
database import blocks.csv --db other.db
database merge other.db --db third.db
database repair --db third.db
predictor train --campaign profile
predictor train --table numbers.csv --target ms --out table.json
predictor evaluate
predictor evaluate --table numbers.csv --predictor table.json
predictor compare --campaign profile --baselines ridge --splits 1 --sizes 10
predictor transfer --predictor atb-runs/predictor.json --device fake --threads 2 --samples 5 \
  --db transferred.db --out transferred.json
devices bundle board --device fake
devices list
devices show board
predict s4
predict s4 --explain
predict s4 --device board
predict --table numbers.csv --predictor table.json
compare s4 s3 --device fake --budget 2s
search --device fake --latency 6ms --generation-size 4 --generations 2 --finalists 2
build recipe.toml
"""
TRAINING = """
data prepare text.txt --out shards --sequence-length 16
superplm evaluate mini --samples 2
superplm evaluate mini --arch L1-H128-A2-Q64-F128
model finetune model --task rte --data rte --epochs 1 --out finetuned
model evaluate finetuned --data rte
model export finetuned --out deployed
"""
#: Tried where a server is at hand, and where all of it is measured anyway.
ELSEWHERE = {"devices add", "quickstart"}


def lines_of(block: str) -> list[str]:
    return block.replace("\\\n", "").strip().splitlines()


def commands_with_json() -> Iterator[str]:
    root: Any = typer.main.get_command(app)
    for name, command in root.commands.items():
        for word, each in getattr(command, "commands", {"": command}).items():
            if any("--json" in parameter.opts for parameter in each.params):
                yield f"{name} {word}".strip()


def test_every_command_with_json_is_tried_here() -> None:
    tried = [*lines_of(MEASURING), *lines_of(TRAINING)]
    for command in commands_with_json():
        if command not in ELSEWHERE:
            assert any(line.startswith(command) for line in tried), command


def test_the_document_of_every_command_is_described() -> None:
    text = (Path(__file__).parents[2] / "docs" / "reference" / "formats.md").read_text("utf-8")
    told = text[text.index("## Documents of `--json`") :]
    for command in commands_with_json():
        assert f"`{command}`" in told, command


def walk(atb: Any, block: str) -> None:
    for line in lines_of(block):
        done: subprocess.CompletedProcess[str] = atb(*shlex.split(line), "--json")
        # a comparison tells its verdict by the exit code
        assert done.returncode == 0 or line.startswith("compare"), (line, done.stderr)
        document = json.loads(done.stdout)  # one document and nothing beside it
        assert document["format"] == 1, line


def test_commands_that_measure_print_one_document(atb, tmp_path: Path) -> None:
    rows = [f"{i},{(7 * i) % 5},{2 * i + (7 * i) % 5}" for i in range(1, 15)]
    (tmp_path / "numbers.csv").write_text("\n".join(["a,b,ms", *rows]) + "\n")
    (tmp_path / "recipe.toml").write_text(
        '[target]\ndevice = "fake"\n[profile]\nsamples = 12\n'
        '[search]\nlatency = "6ms"\ngeneration-size = 4\ngenerations = 1\nfinalists = 2\n'
    )
    walk(atb, MEASURING)


def test_commands_that_train_print_one_document(atb, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("A boat on the sea.\nA house.\n\nAnother text.\n" * 9)
    (tmp_path / "rte").mkdir()
    rows = [
        f"{i}\tThe man {i} walks.\tA man {i} {'walks' if i % 2 else 'sleeps'}.\t"
        f"{'' if i % 2 else 'not_'}entailment"
        for i in range(40)
    ]
    for name, part in (("train", rows), ("dev", rows[:8])):
        text = "\n".join(["index\tsentence1\tsentence2\tlabel", *part])
        (tmp_path / "rte" / f"{name}.tsv").write_text(text + "\n")
    assert atb("model", "extract", "L1-H128-A2-Q64-F128", "--out", "model").returncode == 0
    walk(atb, TRAINING)


@pytest.mark.parametrize("command", sorted(commands_with_json()))
def test_an_error_under_json_goes_to_stderr(atb_here, tmp_path: Path, command: str) -> None:
    done = atb_here(*command.split(), "--json", "--no-such-option")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "--no-such-option" in done.stderr
