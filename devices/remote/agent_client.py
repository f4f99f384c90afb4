"""Our side of the agent that runs on a remote device: requests, files, and lines of its workers."""

from __future__ import annotations

import hashlib
import json
import queue
import shlex
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from importlib.resources import files
from operator import or_
from pathlib import Path
from typing import Any, TypeVar

from atb.devices import host
from atb.devices.remote.saved_devices import RemoteFacts
from atb.devices.remote.ssh import ConnectionFailed, SshAddress, SshCommand
from atb.devices.worker import (
    AGENT_LIMITS,
    SMALL,
    UNASKED,
    AnswerLimit,
    ProtocolError,
    parse_line,
    parse_number,
    parse_state,
    parse_text,
)
from atb.errors import InputError

_AGENT = Path(__file__).resolve().with_name("agent.py")
_SOURCES = ("platform_facts", "state", "clusters")
_ANSWER_SECONDS = 60.0
_PIECE_BYTES = 1 << 20
_MOST_UNASKED_BYTES = 1 << 20  # by a connection, what a login shell says included
_CLOCK_READINGS = 7
_OLDEST_PYTHON = (3, 9)

_T = TypeVar("_T")

#: The one thing that the device's shell is given; reads as many bytes of source as the first
#: line says. `sys.path` loses the folder in which the login begins.
_BOOTSTRAP = (
    "import sys;sys.path=[p for p in sys.path if p];"
    f"sys.version_info<{_OLDEST_PYTHON} and sys.exit("
    f'"Python {".".join(map(str, _OLDEST_PYTHON))} or newer is needed, this is "'
    "+sys.version.split()[0]);"
    'f=open(0,"rb",closefd=False);n=int(f.readline());'
    'exec(compile(f.read(n),"atb-agent","exec"))'
)


class RemoteError(Exception):
    """The agent could not do what it was asked for.

    Attributes:
        system: Whether the device's system refused it, as with a full disk.
    """

    def __init__(self, text: str, *, system: bool) -> None:
        super().__init__(text)
        self.system = system


@dataclass
class _Mailbox:
    """Where the answers of the agent or of one worker are waited for.

    Attributes:
        limit: How much the answer may be that is waited for; None while nothing is.
        ended: Whether the worker's end has been told.
        messages: What came; None when nothing more will.
    """

    limit: AnswerLimit | None = None
    ended: bool = False
    messages: queue.SimpleQueue[dict[str, Any] | None] = field(default_factory=queue.SimpleQueue)

    def accepts(self, line: bytes) -> bool:
        """Whether this was asked for; something else that is as long was not."""
        return self.limit is not None and self.limit.admits(line)

    def put(self, message: dict[str, Any]) -> bool:
        """Hand an answer over: one for each request."""
        self.limit = None
        self.messages.put(message)
        return True


class RemoteAgent:
    """Connects, starts an agent on the device and talks with it.

    Args:
        address: The host, its port and the user.
        python: What starts Python on the device.
        key: File of a private key, or None.
        known_hosts: File of trusted hosts, or None.

    Raises:
        InputError: `python` cannot be a command, or a file cannot be used.
        RunError: The machine cannot be reached, or cannot run the agent.
    """

    def __init__(
        self,
        address: SshAddress,
        *,
        python: str = "python3",
        key: Path | None = None,
        known_hosts: Path | None = None,
    ) -> None:
        self._address = address
        self._own = _Mailbox(limit=SMALL)  # first of all it greets
        self._workers: dict[int, _Mailbox] = {}
        self._launches = 0
        self._violation: str | None = None
        self._greeted = False
        self._unasked_bytes = 0
        source = _AGENT.read_bytes()
        self._command = SshCommand(
            address,
            f"exec {_quote(python)} -u -c {shlex.quote(_BOOTSTRAP)}",
            key=key,
            known_hosts=known_hosts,
            on_line=self._sort,
            most_bytes=lambda: self._limit().size_bytes,
        )
        try:
            self._command.write(b"%d\n%s" % (len(source), source))
            self._await(_ANSWER_SECONDS)
        except ConnectionFailed as error:
            self.close()
            raise ConnectionFailed(
                f"{address} does not start {python!r} as it should ({self.reason}): name a Python "
                "3.9 or newer on the device with --python."
            ) from error
        except BaseException:
            self.close()
            raise

    @property
    def alive(self) -> bool:
        """Whether it can be asked."""
        return self._command.alive and self._violation is None

    @property
    def reason(self) -> str:
        """Why it cannot be asked any more."""
        return self._violation or self._command.reason

    def close(self) -> None:
        """Let the agent clear up and hang up; harmless when repeated."""
        self._command.close()

    def facts(self, distributions: Mapping[str, tuple[str, ...]]) -> RemoteFacts:
        """What the machine is and has; to be asked first.

        Args:
            distributions: Which bring the library of each runtime.
        """
        sources = {name: (files(host) / f"{name}.py").read_text("utf-8") for name in _SOURCES}
        answer = self.ask("facts", sources=sources, distributions=dict(distributions))
        return self._read(RemoteFacts.from_json, answer)

    def state(self) -> dict[str, Any]:
        """Readings of this moment."""
        return self._read(parse_state, self.ask("state").get("state"))

    def clock_offset(self) -> float:
        """By how many seconds its clock is ahead of ours, from the shortest of a few journeys."""
        found = []
        for _ in range(_CLOCK_READINGS):
            began, reading = time.perf_counter(), time.time()
            seconds = self.ask("clock").get("seconds")
            taken = time.perf_counter() - began
            theirs = self._read(lambda value: parse_number(value, "its clock"), seconds)
            found.append((taken, theirs - (reading + taken / 2)))
        return min(found)[1]

    def put(self, path: Path, sha256: str | None = None) -> str:
        """Bring a file there, unless it is there already, and tell its path there.

        Raises:
            OSError: It cannot be read here.
            RemoteError: It cannot be stored there.
        """
        with path.open("rb") as file:
            if sha256 is None:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            size = file.seek(0, 2)
            file.seek(0)
            suffix = path.suffix.lower()
            if not (suffix.isascii() and suffix[1:].isalnum() and len(suffix) <= 12):
                suffix = ""
            answer = self.ask("put", sha256=sha256, suffix=suffix, size=size)
            if "path" not in answer:
                self._own.limit = AGENT_LIMITS["put"]
                try:
                    while piece := file.read(min(_PIECE_BYTES, size)):
                        size -= len(piece)
                        self._command.write(piece)
                    if size:
                        raise OSError(0, "it became shorter while it was sent")
                except BaseException:
                    self.close()  # what follows would be taken for the file
                    raise
                # a slow memory card writes a megabyte a second
                answer = self._answer(_ANSWER_SECONDS + file.tell() / 1e6)
        return self._read(lambda told: parse_text(told, "a path"), answer.get("path"))

    def start(self, program: str, environment: Mapping[str, str]) -> int:
        """Start a fresh worker; its number.

        Args:
            program: The text that Python runs.
            environment: Variables beside those that the agent has.

        Raises:
            RemoteError: It cannot be started.
        """
        self._launches += 1
        number = self._launches
        self._workers[number] = _Mailbox()
        self.ask("start", number=number, program=program, environment=dict(environment))
        return number

    def write_line(
        self, number: int, line: bytes, timeout_seconds: float, limit: AnswerLimit
    ) -> None:
        """Send a line to a worker; its answer of at most `limit` is waited for so long."""
        self._workers[number].limit = limit
        self._send("line", number=number, line=line.decode().rstrip("\n"), patience=timeout_seconds)

    def read_message(self, number: int, timeout_seconds: float) -> dict[str, Any] | None:
        """The next `line` or `exit` of a worker, waited for asleep; None if none came in time.

        Raises:
            ConnectionFailed: The connection is gone.
        """
        return self._take(self._workers[number], timeout_seconds)

    def stop(self, number: int, seconds: float) -> None:
        """End a worker, which has so long to end by itself; harmless when repeated."""
        try:
            if number in self._workers and self.alive:
                self.ask("stop", number=number, seconds=seconds)
        finally:
            self._workers.pop(number, None)  # what it was asked for may come until then

    def ask(self, request: str, **arguments: Any) -> dict[str, Any]:
        """Send a request and wait for the answer.

        Raises:
            ConnectionFailed: The connection is gone, or no answer came in time.
            RemoteError: It could not be done.
        """
        try:
            self._own.limit = AGENT_LIMITS[request]
            self._send(request, **arguments)
            return self._answer(_ANSWER_SECONDS)
        except RemoteError:
            raise
        except BaseException:
            self.close()  # a late answer would be taken for that of the next request
            raise

    def _send(self, request: str, **arguments: Any) -> None:
        self._command.write(json.dumps({"do": request, **arguments}).encode() + b"\n")

    def _answer(self, timeout_seconds: float) -> dict[str, Any]:
        message = self._await(timeout_seconds)
        if "error" in message:
            text = self._read(
                lambda told: parse_text(told, "an error", most=2000), message["error"]
            )
            raise RemoteError(text, system=message.get("system") is True)
        answer = message.get("answer")
        if not isinstance(answer, dict):
            raise self._distrust(f"{str(message)[:80]}")
        return answer

    def _await(self, timeout_seconds: float) -> dict[str, Any]:
        message = self._take(self._own, timeout_seconds)
        if message is None:
            raise ConnectionFailed(f"{self._address} did not answer in {timeout_seconds:.0f} s.")
        return message

    def _take(self, box: _Mailbox, timeout_seconds: float) -> dict[str, Any] | None:
        try:
            message = box.messages.get(timeout=timeout_seconds)
        except queue.Empty:
            return None
        if message is None:
            box.messages.put(None)  # for a later request
            raise ConnectionFailed(f"{self._address} is gone ({self.reason}).")
        return message

    def _limit(self) -> AnswerLimit:
        """How much may come just now, for whatever was asked for."""
        boxes = (self._own, *list(self._workers.values()))
        return reduce(or_, (box.limit for box in boxes if box.limit is not None), UNASKED)

    def _sort(self, line: bytes | None) -> None:
        """Put what came where it is waited for; called in the connection's thread."""
        if self._violation is not None:
            return
        if line is None:
            self._hang_up()
            return
        try:
            try:
                message = parse_line(line, self._limit())
            except ProtocolError:
                if self._greeted:
                    raise
                message = {}  # a login shell's welcome
            if not self._keep(message, line):
                self._count_unasked(len(line) + 1)
        except ProtocolError as error:
            self._violation = f"it sent {error}"
            self._hang_up()

    def _keep(self, message: dict[str, Any], line: bytes) -> bool:
        """Keep an answer that was asked for; tells whether it was."""
        if not self._greeted:
            self._greeted = message.get("greeting") == "atb-agent 1"
            if self._greeted:
                self._own.put(message)
            return self._greeted
        number = message.get("worker")
        if number is None:
            return self._own.accepts(line) and self._own.put(message)
        if not isinstance(number, int) or isinstance(number, bool):
            raise ProtocolError(f"the worker {str(number)[:80]}")
        box = self._workers.get(number)
        if box is None:  # it has been stopped
            return False
        if "exit" in message and not box.ended:  # comes when it comes
            box.ended = True
            return UNASKED.admits(line) and box.put(message)
        return box.accepts(line) and box.put(message)

    def _count_unasked(self, size_bytes: int) -> None:
        self._unasked_bytes += size_bytes
        if self._unasked_bytes > _MOST_UNASKED_BYTES:
            raise ProtocolError(f"more than {_MOST_UNASKED_BYTES:,} bytes that were not asked for")

    def _hang_up(self) -> None:
        for box in (self._own, *list(self._workers.values())):
            box.messages.put(None)

    def _read(self, parse: Callable[[Any], _T], value: Any) -> _T:
        try:
            return parse(value)
        except ProtocolError as error:
            raise self._distrust(str(error)) from error

    def _distrust(self, what: str) -> ConnectionFailed:
        self._violation = f"it sent {what}"
        self.close()
        return ConnectionFailed(
            f"{self._address} sent {what}, which no agent of atb would: is it the machine that "
            "you mean?"
        )


def _quote(python: str) -> str:
    """The command that starts Python, as one word for the device's shell.

    Raises:
        InputError: It cannot be one.
    """
    python = python.removeprefix("~/")  # which is where a login begins
    if not python or not python.isprintable() or python.startswith("-"):
        raise InputError(
            f"--python is {python!r}: name a program on the device, such as python3.11 or "
            "venv/bin/python."
        )
    return shlex.quote(python)
