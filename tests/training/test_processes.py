"""Training by several processes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import torch
from forked import LIMIT_SECONDS, start_forked
from training_run import RUN

from atb.errors import InputError
from atb.models.superplm.superplm import SuperPLM
from atb.training.log import LOG
from atb.training.processes import ProcessGroup


def test_a_process_alone_takes_every_part() -> None:
    processes = ProcessGroup()
    assert (processes.count, processes.leads) == (1, True)
    assert list(processes.share(3)) == [0, 1, 2]
    assert processes.add_up([1.5, 2.0]) == [1.5, 2.0]


def test_more_processes_than_parts_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ProcessGroup, "count", property(lambda _: 3))
    with pytest.raises(InputError, match="--batch-parts 3"):
        ProcessGroup().share(2)


@pytest.mark.slow
def test_two_processes_end_where_one_does_and_take_up_its_run(tmp_path: Path) -> None:
    root = str(Path(__file__).parents[2])
    telling = "progress=lambda step: print(step.number, flush=True)"
    shared = RUN.replace("batch_size=2", "batch_size=8, batch_parts=4")
    (tmp_path / "run.py").write_text(shared.replace(telling, "tensorboard=True"))
    (tmp_path / "broken.py").write_text(
        shared.replace(telling, "progress=lambda step: 1 // (8 - step.number)")
    )

    def start(script: str, out: str, **variables: str) -> BaseProcess:
        words, nowhere = (root, str(tmp_path / out)), Path(os.devnull)
        text = (tmp_path / script).read_text()
        return start_forked(
            words, tmp_path, os.environ | variables, (nowhere, nowhere), script=text
        )

    def end(*processes: BaseProcess) -> list[int | None]:
        for process in processes:
            process.join(LIMIT_SECONDS)
        return [process.exitcode for process in processes]

    assert end(start("run.py", "one")) == [0]
    launcher = ("torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    command = [sys.executable, "-m", *launcher, tmp_path / "run.py", root, tmp_path / "two"]
    subprocess.run(command, check=True, capture_output=True)
    assert end(start("broken.py", "taken up")) == [1]
    assert (tmp_path / "taken up" / "checkpoints" / "step-00000006").is_dir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    together = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    ranks = [{"RANK": rank, "LOCAL_RANK": rank} for rank in ("0", "1")]
    assert end(*[start("run.py", "taken up", **together, **rank) for rank in ranks]) == [0, 0]
    one = SuperPLM.load(tmp_path / "one").state_dict()
    for name in ("two", "taken up"):
        other = SuperPLM.load(tmp_path / name).state_dict()
        assert any(not torch.equal(one[key], other[key]) for key in one)  # added in another order
        for key, value in one.items():
            assert torch.allclose(value, other[key], atol=1e-4), (name, key)
        lines = (tmp_path / name / LOG).read_text("utf-8").splitlines()
        assert [json.loads(line)["step"] for line in lines] == list(range(1, 31))
        assert list((tmp_path / name / "tensorboard").iterdir())
        assert not (tmp_path / name / "checkpoints").exists()
