"""A launch whose worker is a process that speaks JSON lines over its pipes."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from atb.devices.contract import Artefact, Block, LaunchFailure, Loaded, OperatorTime
from atb.devices.settings import RunSettings

__all__ = ["ProcessLaunch"]

_FAREWELL_SECONDS = 2.0
_PIPE_BYTES = 1 << 16  # what a pipe holds
_DETAIL_CHARACTERS = 600  # of the worker's last words
#: How much longer than its first inference an iteration may take before the worker counts as hung.
_PATIENCE = 10
#: What libraries say when they die of an allocation that failed.
_SHORT_OF_MEMORY = ("MemoryError", "bad_alloc", "allocate memory", "Memory allocation")


class ProcessLaunch:
    """Starts a worker when entered, and ends it with all its children when left.

    Args:
        command: What starts the worker.
        environment: All its environment variables.
        runner: The worker's name of the runtime.
        settings: How models are run.
        timeout_seconds: Longest silence, beyond the time that a block is expected to take.
        load_patience_seconds: How much longer a worker may be silent while it loads a model.
        memory_share: Of the memory that is available when it starts, what it may use.
        builds: Receives the builds of the worker's libraries by name.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        runner: str,
        settings: RunSettings,
        timeout_seconds: float,
        load_patience_seconds: float = 0.0,
        memory_share: float = 0.8,
        builds: dict[str, str] | None = None,
    ) -> None:
        self._command = command
        self._environment = environment
        self._runner = runner
        self._settings = settings
        self._timeout_seconds = timeout_seconds
        self._load_patience_seconds = load_patience_seconds
        self._memory_share = memory_share
        self._iteration_limit = timeout_seconds
        self._builds = {} if builds is None else builds
        self._process: subprocess.Popen[bytes] | None = None
        self._poll = select.poll()
        self._received = b""
        self._first_seconds: dict[str, float] = {}
        self._settings_of: dict[str, RunSettings] = {}

    def __enter__(self) -> Self:
        self._kills_before = _memory_kills()
        self._errors = tempfile.TemporaryFile()  # a file never fills up, as a pipe would
        try:
            # a session of its own, so that Ctrl-C reaches the parent alone, which then ends it
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                env=dict(self._environment),
                bufsize=0,
                start_new_session=True,
            )
            assert self._process.stdout is not None
            self._poll.register(self._process.stdout, select.POLLIN)
            affinity = self._settings.affinity
            greeting = self._ask(
                "hello",
                affinity=None if affinity is None else list(affinity),
                memory_share=self._memory_share,
                waiting="device: no greeting",
            )
            self._builds.update(
                {name: greeting[name] for name in ("python", "numpy") if name in greeting}
            )
        except OSError as error:
            self._end()
            raise LaunchFailure("device-gone", f"cannot start the worker ({error})") from error
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        process = self._process
        if process is not None and process.stdin is not None and kind is None:
            with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                process.stdin.write(b'{"do": "bye"}\n')
                process.stdin.close()
                process.wait(_FAREWELL_SECONDS)
        self._end()

    def load(self, key: str, artefact: Artefact, *, settings: RunSettings | None = None) -> Loaded:
        """Make an artefact ready under a name."""
        reply = self._ask(
            "load",
            key=key,
            path=str(artefact.path.resolve()),
            runner=self._runner,
            settings=(settings or self._settings).to_json(),
            extra_seconds=self._load_patience_seconds,
            waiting=f"iteration: {key} was not loaded and run once",
        )
        self._builds.update(reply.pop("builds", {}))
        self._first_seconds[key] = reply["first_seconds"]
        self._settings_of[key] = settings or self._settings
        return Loaded(**{**reply, "providers": tuple(reply["providers"])})

    def run(self, key: str, *, iterations: int, warmup: int = 0) -> Block:
        """Run one block."""
        settings, count = self._settings_of.get(key, self._settings), iterations + warmup
        once = _PATIENCE * self._first_seconds.get(key, 0.0)
        self._iteration_limit = self._timeout_seconds + once
        idle = settings.interval_seconds or 0.0
        reply = self._ask(
            "run",
            key=key,
            iterations=iterations,
            warmup=warmup,
            limit_seconds=self._iteration_limit,
            # streams may have to take turns
            extra_seconds=count * (once * settings.streams + idle),
            waiting=f"block: {count} iterations of {key} did not end",
        )
        return Block.from_json(reply)

    def operators(self, key: str, *, iterations: int) -> tuple[OperatorTime, ...]:
        """Where the time of a loaded model goes, the longest first."""
        once = _PATIENCE * self._first_seconds.get(key, 0.0)
        reply = self._ask(
            "operators",
            key=key,
            iterations=iterations,
            extra_seconds=(1 + iterations) * once,
            waiting=f"block: {iterations} profiled iterations of {key} did not end",
        )
        return tuple(OperatorTime(**fields) for fields in reply["operators"])

    def tokenise(
        self, vocabulary: Path, text: str, *, sequence_length: int, iterations: int
    ) -> Block:
        """Time the splitting of a text into tokens."""
        reply = self._ask(
            "tokenise",
            vocabulary=str(vocabulary.resolve()),
            text=text,
            sequence_length=sequence_length,
            iterations=iterations,
            limit_seconds=self._timeout_seconds,
            waiting=f"block: {iterations} texts were not split into tokens",
        )
        return Block.from_json(reply)

    def output(self, key: str) -> npt.NDArray[np.float32]:
        """The first output for the fixed input."""
        once = _PATIENCE * self._first_seconds.get(key, 0.0)
        waiting = f"iteration: {key} was not run once"
        reply = self._ask("output", key=key, extra_seconds=once, waiting=waiting)
        values = np.frombuffer(base64.b64decode(reply["values"]), dtype="<f4")
        return values.reshape(reply["shape"])

    def _ask(
        self, request: str, *, waiting: str, extra_seconds: float = 0.0, **arguments: Any
    ) -> dict[str, Any]:
        """Send a request and wait for its answer, asleep.

        Args:
            request: What to do.
            waiting: What has not happened while there is no answer, with its level first: an
                iteration, a block or the whole device.
            extra_seconds: How long it may take beside the longest silence.
            arguments: Of the request.

        Raises:
            LaunchFailure: The worker answered with a failure, died or was silent too long.
        """
        process = self._process
        if process is None or process.stdin is None:
            raise LaunchFailure("crash", "the worker is not running")
        line = json.dumps({"do": request, **arguments}) + "\n"
        try:
            process.stdin.write(line.encode())
        except OSError as error:
            raise self._death() from error
        reply = self._read_line(self._timeout_seconds + extra_seconds, waiting)
        try:
            answer: dict[str, Any] = json.loads(reply)
        except ValueError as error:
            self._end()
            raise LaunchFailure("crash", f"the worker answered {reply[:80]!r}") from error
        if "cause" in answer:
            self._end()
            raise LaunchFailure(answer["cause"], answer["detail"][-_DETAIL_CHARACTERS:])
        return answer

    def _read_line(self, timeout_seconds: float, waiting: str) -> bytes:
        assert self._process is not None
        assert self._process.stdout is not None
        deadline = time.monotonic() + timeout_seconds
        descriptor = self._process.stdout.fileno()
        while b"\n" not in self._received:
            left = deadline - time.monotonic()
            if left <= 0 or not self._poll.poll(1e3 * left):
                self._end()
                raise LaunchFailure("timeout", f"{waiting} within {timeout_seconds:.3g} s")
            chunk = os.read(descriptor, _PIPE_BYTES)
            if not chunk:
                raise self._death()
            self._received += chunk
        line, _, self._received = self._received.partition(b"\n")
        return line

    def _death(self) -> LaunchFailure:
        """Say why the worker died, and clear up after it."""
        assert self._process is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_FAREWELL_SECONDS)
        code = self._process.returncode
        last_words = self._last_words()
        self._end()
        if code is None:
            return LaunchFailure("crash", f"the worker closed its output; {last_words}")
        if code in (-signal.SIGKILL, 128 + signal.SIGKILL) and self._memory_ran_out():
            return LaunchFailure("out-of-memory", "the system killed the worker for its memory")
        if code in (-signal.SIGALRM, 128 + signal.SIGALRM):
            limit = f"{self._iteration_limit:.3g} s"
            return LaunchFailure("timeout", f"iteration: one did not end within {limit}")
        if any(words in last_words for words in _SHORT_OF_MEMORY):
            return LaunchFailure("out-of-memory", last_words)
        way = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return LaunchFailure("crash", f"the worker ended with {way}; {last_words}")

    def _memory_ran_out(self) -> bool:
        """Whether the kernel killed for memory since the start; where it does not say, it did."""
        before, after = self._kills_before, _memory_kills()
        return before is None or after is None or after > before

    def _last_words(self) -> str:
        size = self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, size - _DETAIL_CHARACTERS))
        text = self._errors.read().decode("utf-8", errors="replace").strip()
        return text or "it wrote nothing to stderr"

    def _end(self) -> None:
        """Kill what is left of the worker and release its pipes; harmless when repeated."""
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()
        self._errors.close()


def _memory_kills() -> int | None:
    """How many processes the kernel has killed for want of memory, where it tells."""
    try:
        lines = Path("/proc/vmstat").read_text("ascii").splitlines()
    except OSError:
        return None
    counts = [line.split()[1] for line in lines if line.startswith("oom_kill ")]
    return int(counts[0]) if counts else None
