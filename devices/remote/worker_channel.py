"""The channel to a worker on a remote device, by way of its agent."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from atb.devices import ArtefactFile, LaunchFailure
from atb.devices.remote.agent_client import RemoteAgent, RemoteError
from atb.devices.remote.ssh import ConnectionFailed
from atb.devices.worker import (
    DETAIL_CHARACTERS,
    WORKER_PROGRAM,
    AnswerLimit,
    ChannelClosed,
    ExitStatus,
)
from atb.errors import BadFile
from atb.models import relocated

_FAREWELL_SECONDS = 2.0
_MOST_SIGNAL = 255


class RemoteWorker:
    """Starts a worker on the device, hands lines to it, and files before them.

    Args:
        connect: Gives an agent that can be asked.
        environment: Variables of the worker beside those that the agent has.
    """

    def __init__(self, connect: Callable[[], RemoteAgent], environment: Mapping[str, str]) -> None:
        self._connect = connect
        self._environment = environment
        self._agent: RemoteAgent | None = None
        self._number = 0
        self._exit: dict[str, Any] = {}

    def open(self) -> None:
        """Start the worker."""
        try:
            agent = self._connect()
            self._number = agent.start(WORKER_PROGRAM, self._environment)
        except ConnectionFailed as error:
            raise LaunchFailure("device-gone", str(error)) from error
        except RemoteError as error:
            raise LaunchFailure("device-gone", f"cannot start the worker ({error})") from error
        self._agent = agent

    def deliver(
        self, path: Path, sha256: str | None = None, data: Sequence[ArtefactFile] = ()
    ) -> str:
        """Send a file that is not there yet, and before it the weights that belong to it.

        A file is named by its content on the device, so a graph is given the names of its files.
        """
        if not data:
            return self._put(path, sha256)
        names = {
            file.location: PurePosixPath(self._put(file.path, file.sha256)).name for file in data
        }
        try:
            content = relocated(path, names)
        except BadFile as error:
            raise LaunchFailure("load-error", str(error)) from error
        with tempfile.TemporaryDirectory() as folder:
            sent = Path(folder) / path.name
            sent.write_bytes(content)
            return self._put(sent)

    def _put(self, path: Path, sha256: str | None = None) -> str:
        assert self._agent is not None
        try:
            return self._agent.put(path, sha256)
        except ConnectionFailed as error:
            raise LaunchFailure("device-gone", str(error)) from error
        except RemoteError as error:
            if error.system:  # whatever is asked for next, it could not be stored either
                raise LaunchFailure(
                    "device-gone",
                    f"{path.name} could not be stored on the device ({error}): make room in its "
                    "folder for temporary files",
                ) from error
            raise LaunchFailure("load-error", f"{path.name}: {error}") from error
        except OSError as error:
            reason = error.strerror or str(error)
            raise LaunchFailure("load-error", f"{path.name} cannot be read ({reason})") from error

    def send(self, line: bytes, timeout_seconds: float, limit: AnswerLimit) -> None:
        """Hand a line on."""
        assert self._agent is not None
        try:
            self._agent.write_line(self._number, line, timeout_seconds, limit)
        except ConnectionFailed as error:
            raise LaunchFailure("device-gone", str(error)) from error

    def receive(self, timeout_seconds: float) -> bytes | None:
        """Sleep until a line is there."""
        assert self._agent is not None
        try:
            message = self._agent.read_message(self._number, timeout_seconds)
        except ConnectionFailed as error:
            raise LaunchFailure("device-gone", str(error)) from error
        if message is None:
            return None
        line = message.get("line")
        if isinstance(line, str):
            return line.encode("utf-8", "replace")
        self._exit = message
        raise ChannelClosed

    def exit_status(self) -> ExitStatus:
        """How the worker ended, as the agent says."""
        code, words = self._exit.get("exit"), self._exit.get("last_words")
        kills = self._exit.get("memory_kills")
        return ExitStatus(
            code if isinstance(code, int) and abs(code) <= _MOST_SIGNAL else None,
            words[-DETAIL_CHARACTERS:] if isinstance(words, str) else "",
            lambda: _rose(kills),
        )

    def shutdown(self) -> None:
        """Let the worker end by itself, for a moment."""
        self._stop(_FAREWELL_SECONDS)

    def end(self) -> None:
        """Kill what is left of the worker; harmless when repeated."""
        self._stop(0.0)

    def _stop(self, seconds: float) -> None:
        agent, self._agent = self._agent, None
        if agent is not None:
            # one that is gone takes its workers along
            with contextlib.suppress(ConnectionFailed, RemoteError):
                agent.stop(self._number, seconds)


def _rose(kills: Any) -> bool:
    """Whether the system killed for memory in between; where it does not say, it did."""
    match kills:
        case [int(before), int(after)]:
            return after > before
    return True
