"""`atb` in a process of its own whose libraries are there already.

Importing PyTorch and transformers takes seconds, a command on a tiny model a fraction of one. So
one process imports them once, and each command runs in a fork of it: with its own folder,
environment and exit code, as if it had been typed.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Mapping
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import TemporaryDirectory

LIMIT_SECONDS = 300
#: What most commands import, the slowest first.
_LIBRARIES = [
    "atb.devices.registry",
    "atb.profiler.campaign.campaign",
    "atb.profiler.database.writer",
    "torch",
    "transformers",
    "accelerate",
    "transformers.models.bert.modeling_bert",
    "onnxruntime.quantization",
    "sklearn.linear_model",
    "scipy.optimize",
    "scipy.special",
    "pandas",
    "sqlalchemy",
    "safetensors.torch",
    "tokenizers",
]
#: Of the one server that forks; a process begins in milliseconds.
processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(_LIBRARIES)


def run_forked(
    words: tuple[str, ...], cwd: Path, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run `atb` with these words and hand back what it did."""
    with TemporaryDirectory() as folder:
        outputs = Path(folder) / "stdout", Path(folder) / "stderr"
        process = start_forked(words, cwd, environment, outputs)
        process.join(LIMIT_SECONDS)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(["atb", *words], LIMIT_SECONDS)
        stdout, stderr = (path.read_text("utf-8") for path in outputs)
    return subprocess.CompletedProcess(words, process.exitcode, stdout, stderr)


def start_forked(
    words: tuple[str, ...],
    cwd: Path,
    environment: Mapping[str, str],
    outputs: tuple[Path, Path],
    *,
    script: str | None = None,
) -> BaseProcess:
    """Begin to run `atb`, or a script of Python, with these words.

    Args:
        words: Without the program's name.
        cwd: Where it runs.
        environment: All of it.
        outputs: Where its stdout and its stderr go.
        script: In place of `atb`.
    """
    process = processes.Process(target=_run, args=(words, cwd, dict(environment), outputs, script))
    process.start()
    return process


def _run(
    words: tuple[str, ...],
    cwd: Path,
    environment: Mapping[str, str],
    outputs: tuple[Path, Path],
    script: str | None,
) -> None:
    """What the fork does; it ends with the exit code of `atb`."""
    for number, path in enumerate(outputs, start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    paths = filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))
    sys.path[:0] = [path for path in paths if path not in sys.path]
    sys.argv = ["atb", *words]
    try:
        if script is not None:
            exec(script, {"__name__": "__main__"})
        else:
            from atb.cli import main

            main()
    finally:
        atexit._run_exitfuncs()  # a fork leaves them out
