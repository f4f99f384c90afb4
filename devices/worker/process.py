"""The channel to a worker that is a process of this machine, over its pipes."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from atb.devices import ArtefactFile, LaunchFailure
from atb.devices.host import memory_kills
from atb.devices.worker.answer_limits import AnswerLimit
from atb.devices.worker.client import DETAIL_CHARACTERS, ChannelClosed, ExitStatus
from atb.errors import InputError

_FAREWELL_SECONDS = 2.0
_PIPE_BYTES = 1 << 16  # what a pipe holds


class ProcessChannel:
    """The channel to a worker that is a child process.

    Args:
        command: What starts the worker.
        environment: All its environment variables.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        if not hasattr(select, "poll") or not hasattr(os, "killpg"):
            raise InputError(
                "Models are timed on Linux and macOS and this system is neither: run atb there, on "
                "Windows in WSL 2, or time them on another device that `atb devices add` reaches."
            )
        self._command = command
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self._errors: IO[bytes] | None = None
        self._poll = select.poll()
        self._received = b""
        self._limit_bytes = 0

    @property
    def pid(self) -> int | None:
        """The worker's process, while there is one."""
        return None if self._process is None else self._process.pid

    def open(self) -> None:
        """Start the process."""
        self._kills_before = memory_kills()
        # a file never fills up, as a pipe would
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - kept open
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
        except OSError as error:
            raise LaunchFailure("device-gone", f"cannot start the worker ({error})") from error
        assert self._process.stdout is not None
        self._poll.register(self._process.stdout, select.POLLIN)

    def deliver(
        self, path: Path, sha256: str | None = None, data: Sequence[ArtefactFile] = ()
    ) -> str:
        """It is here already."""
        # a link is not followed: what belongs to a model lies beside the link
        return str(path.absolute())

    def send(self, line: bytes, timeout_seconds: float, limit: AnswerLimit) -> None:
        """Write to the process."""
        self._limit_bytes = limit.size_bytes
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line)
        except OSError as error:
            raise ChannelClosed from error

    def receive(self, timeout_seconds: float) -> bytes | None:
        """Sleep in the kernel until a line is there."""
        assert self._process is not None
        assert self._process.stdout is not None
        deadline = time.monotonic() + timeout_seconds
        descriptor = self._process.stdout.fileno()
        while b"\n" not in self._received:
            if len(self._received) > self._limit_bytes:
                raise LaunchFailure(
                    "crash",
                    f"the worker answered more than the {self._limit_bytes:,} bytes that "
                    "were asked for",
                )
            left = deadline - time.monotonic()
            if left <= 0 or not self._poll.poll(1e3 * left):
                return None
            chunk = os.read(descriptor, _PIPE_BYTES)
            if not chunk:
                raise ChannelClosed
            self._received += chunk
        line, _, self._received = self._received.partition(b"\n")
        return line

    def exit_status(self) -> ExitStatus:
        """How the process ended."""
        assert self._process is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_FAREWELL_SECONDS)
        return ExitStatus(self._process.returncode, self._last_words(), self._memory_ran_out)

    def _memory_ran_out(self) -> bool:
        """Whether the kernel killed for memory since the start; where it does not say, it did."""
        before, after = self._kills_before, memory_kills()
        return before is None or after is None or after > before

    def _last_words(self) -> str:
        assert self._errors is not None
        size = self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, size - DETAIL_CHARACTERS))
        return self._errors.read().decode("utf-8", errors="replace").strip()

    def shutdown(self) -> None:
        """Say goodbye."""
        process = self._process
        if process is not None and process.stdin is not None:
            with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                process.stdin.write(b'{"do": "bye"}\n')
                process.stdin.close()
                process.wait(_FAREWELL_SECONDS)

    def end(self) -> None:
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
        # Ctrl-C may have come before there was anything
        if self._errors is not None:
            self._errors.close()
