"""Commands that `torchrun` starts in several processes."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from forked import LIMIT_SECONDS, start_forked
from small_build import SPACE
from task_files import write_glue

from atb.cli import app
from atb.commands.output.console import SHARING, refuse_several
from atb.models.superplm.superplm import SuperPLM

LARGE = "L2-H32-A2-Q32-F64"


def commands(group: Any, *before: str) -> Iterator[tuple[str, ...]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, *before, name)
        else:
            yield (*before, name)


COMMANDS = list(commands(typer.main.get_command(app)))


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    def be(rank: int) -> None:
        for name, value in (("WORLD_SIZE", 2), ("RANK", rank), ("LOCAL_RANK", rank)):
            monkeypatch.setenv(name, str(value))

    return be


def test_every_command_shares_its_work_or_is_refused(launched, atb_here, tmp_path) -> None:
    assert set(SHARING) < set(COMMANDS)
    for words in COMMANDS:
        if words in SHARING:
            refuse_several(words)
            continue
        for rank in (0, 1):
            launched(rank)
            answer = atb_here(*words, "--out", "made")
            assert answer.returncode == 2, words
            told = f"`atb {words[0]}`" in answer.stderr and "without torchrun" in answer.stderr
            assert told == (rank == 0), answer.stderr
            assert bool(answer.stderr) == (rank == 0)
    assert list(tmp_path.iterdir()) == []


def test_help_is_told_by_one_of_several_processes(launched, atb_here) -> None:
    shown = []
    for rank in (0, 1):
        launched(rank)
        answer = atb_here("model", "finetune", "--help")
        assert answer.returncode == 0
        shown.append("--task" in answer.stdout)
    assert shown == [True, False]


def test_a_process_alone_is_never_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in ("1", "", "many"):
        monkeypatch.setenv("WORLD_SIZE", value)
        refuse_several(["model", "finetune"])


def together(folder: Path, *words: str) -> list[tuple[int | None, str, str]]:
    """Exit code, stdout and stderr of two processes of one command."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    running = []
    for rank in ("0", "1"):
        outputs = tuple(folder / f"rank{rank}.{name}" for name in ("out", "err"))
        for path in outputs:
            path.unlink(missing_ok=True)
        environment = os.environ | shared | {"RANK": rank, "LOCAL_RANK": rank}
        running.append((start_forked(words, folder, environment, outputs), outputs))  # type: ignore[arg-type]
    found = []
    for process, outputs in running:
        process.join(LIMIT_SECONDS)
        found.append((process.exitcode, *(path.read_text("utf-8") for path in outputs)))
    return found


@pytest.mark.slow
def test_two_processes_fine_tune_all_slices_as_one_does(atb, tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(SPACE)
    write_glue(tmp_path / "rte", "rte", rows=30)
    assert atb("superplm", "init", "--arch", LARGE, "--out", "start").returncode == 0
    words = ("superplm", "finetune", "start", "--task", "rte", "--data", "rte", "--space",
             "tiny.toml", "--epochs", "1", "--batch", "8", "--batch-parts", "2")  # fmt: skip
    alone = atb(*words, "--out", "one")
    assert alone.returncode == 0, alone.stderr
    first, second = together(tmp_path, *words, "--out", "two")
    assert (first[0], second[0]) == (0, 0), (first, second)
    assert "superplm evaluate two" in first[1]
    assert second[1] == ""
    one, two = (SuperPLM.load(tmp_path / name).state_dict() for name in ("one", "two"))
    for name, tensor in one.items():
        assert torch.allclose(tensor, two[name], atol=1e-4), name
    for name in ("task.json", "vocab.txt"):
        left, right = ((tmp_path / out / name).read_bytes() for out in ("one", "two"))
        assert left == right
    undivided = together(tmp_path, *words[:-2], "--out", "three")
    assert [code for code, _, _ in undivided] == [2, 2]
    assert ["--batch-parts 2" in err for _, _, err in undivided] == [True, False]


@pytest.mark.slow
def test_two_processes_fill_one_cache_of_a_teacher(atb, tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(SPACE)
    (tmp_path / "text.txt").write_text("\n\n".join(f"The owl sees {n} lamps." for n in range(16)))
    assert atb("data", "prepare", "text.txt", "--out", "shards").returncode == 0
    start = ("superplm", "init", "--arch", LARGE, "--projection", "32", "--out", "start")
    assert atb(*start).returncode == 0
    words = ("superplm", "train", "--superplm", "start", "--data", "shards", "--space", "tiny.toml",
             "--steps", "6", "--batch", "8", "--batch-parts", "2", "--attention-weight", "0",
             "--learning-rate", "1e-3")  # fmt: skip
    assert atb(*words, "--out", "without").returncode == 0
    found = together(tmp_path, *words, "--teacher-cache", "cache", "--out", "with")
    assert [code for code, _, _ in found] == [0, 0], found
    one, two = (SuperPLM.load(tmp_path / name).state_dict() for name in ("without", "with"))
    for name, tensor in one.items():
        assert torch.allclose(tensor, two[name], atol=1e-3), name
