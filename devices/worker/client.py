"""What is said with a worker, wherever it runs, and what is at fault where it does not answer.

How a line comes to the worker and back is the matter of a `Channel`: the pipes of a process here
(process.py), or an agent on a remote device (worker_channel.py).
"""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

from atb.devices import (
    Artefact,
    ArtefactFile,
    Block,
    LaunchFailure,
    Loaded,
    OperatorTime,
    RunSettings,
)
from atb.devices.worker.answer_limits import AnswerLimit, limit_of_block, limit_of_request
from atb.devices.worker.replies import (
    ProtocolError,
    parse_block,
    parse_builds,
    parse_failure,
    parse_line,
    parse_loaded,
    parse_operators,
    parse_output,
)

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

DETAIL_CHARACTERS = 600  # of the worker's last words
#: How much longer than its first inference an iteration may take before the worker counts as hung.
_PATIENCE = 10
#: What libraries say when they die of an allocation that failed.
_SHORT_OF_MEMORY = ("MemoryError", "bad_alloc", "allocate memory", "Memory allocation")

_T = TypeVar("_T")


class ChannelClosed(Exception):
    """Nothing can be sent to the worker, or nothing more comes: it is dead."""


@dataclass(frozen=True)
class ExitStatus:
    """How a worker ended.

    Attributes:
        code: Its exit code; negative for a signal; None if it only closed its output.
        last_words: The end of what it wrote to stderr.
        memory_ran_out: Tells whether the system killed for want of memory while it ran.
    """

    code: int | None
    last_words: str
    memory_ran_out: Callable[[], bool]


class Channel(Protocol):
    """The way to one worker and back."""

    def open(self) -> None:
        """Start the worker.

        Raises:
            LaunchFailure: It cannot be started.
        """

    def deliver(
        self, path: Path, sha256: str | None = None, data: Sequence[ArtefactFile] = ()
    ) -> str:
        """Bring a file to where the worker can read it, and tell its path there.

        Args:
            path: The file here.
            sha256: Hash of its content, where it is known.
            data: Files of weights that belong to it, and lie where it says.

        Raises:
            LaunchFailure: It cannot be brought there.
        """

    def send(self, line: bytes, timeout_seconds: float, limit: AnswerLimit) -> None:
        """Send lines, with their ends.

        Args:
            line: What; the last line is answered.
            timeout_seconds: How long its answer will be waited for.
            limit: How much its answer may be; what is more is not kept.

        Raises:
            ChannelClosed: The worker is dead.
        """

    def receive(self, timeout_seconds: float) -> bytes | None:
        """The next line without its end, waited for asleep; None if none came in time.

        Raises:
            ChannelClosed: The worker is dead.
            LaunchFailure: The device is gone.
        """

    def exit_status(self) -> ExitStatus:
        """How the worker ended, after `ChannelClosed`."""

    def shutdown(self) -> None:
        """Let the worker end by itself, for a moment."""

    def end(self) -> None:
        """Kill what is left of the worker; harmless when repeated."""


class WorkerClient:
    """A launch: starts a worker when entered, and ends it with all its children when left.

    Args:
        channel: Starts the worker, and carries lines and files to it.
        sources: What it reads first, as `sent_sources` tells; empty for one that has it.
        runner: The name of the runtime.
        settings: How models are run.
        timeout_seconds: Longest silence, beyond the time that a block is expected to take.
        load_patience_seconds: How much longer a worker may be silent while it loads a model.
        memory_share: Of the memory that is available when it starts, what it may use.
        builds: Receives the builds of the worker's libraries by name.
    """

    def __init__(
        self,
        channel: Channel,
        *,
        sources: bytes = b"",
        runner: str,
        settings: RunSettings,
        timeout_seconds: float,
        load_patience_seconds: float = 0.0,
        memory_share: float = 0.8,
        builds: dict[str, str] | None = None,
    ) -> None:
        self._channel = channel
        self._sources = sources
        self._runner = runner
        self._settings = settings
        self._timeout_seconds = timeout_seconds
        self._load_patience_seconds = load_patience_seconds
        self._memory_share = memory_share
        self._iteration_limit = timeout_seconds
        self._builds = {} if builds is None else builds
        self._alive = False
        self._first_seconds: dict[str, float] = {}
        self._settings_of: dict[str, RunSettings] = {}

    def __enter__(self) -> Self:
        affinity = self._settings.affinity
        try:
            self._channel.open()
            self._alive = True
            greeting = self._ask(
                "hello",
                affinity=None if affinity is None else list(affinity),
                memory_share=self._memory_share,
                before=self._sources,
                waiting="device: no greeting",
            )
            told = {name: greeting[name] for name in ("python", "numpy") if name in greeting}
            self._builds.update(self._read(parse_builds, told))
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
        if self._alive and kind is None:
            self._channel.shutdown()
        self._end()

    def load(
        self,
        key: str,
        artefact: Artefact,
        *,
        settings: RunSettings | None = None,
        vocabulary_size: int | None = None,
    ) -> Loaded:
        """Make an artefact ready under a name."""
        known = None if artefact.data else artefact.sha256  # which else is that of all its files
        reply = self._ask(
            "load",
            key=key,
            path=self._deliver(artefact.path, known, artefact.data),
            runner=self._runner,
            settings=(settings or self._settings).to_json(),
            vocabulary_size=vocabulary_size,
            extra_seconds=self._load_patience_seconds,
            waiting=f"iteration: {key} was not loaded and run once",
        )
        self._builds.update(self._read(parse_builds, reply.get("builds")))
        loaded = self._read(parse_loaded, reply)
        self._first_seconds[key] = loaded.first_seconds
        self._settings_of[key] = settings or self._settings
        return loaded

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
            limit=limit_of_block(count * settings.streams),
            waiting=f"block: {count} iterations of {key} did not end",
        )
        return self._read(
            lambda told: parse_block(
                told, iterations=iterations * settings.streams, warmup=warmup * settings.streams
            ),
            reply,
        )

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
        return self._read(parse_operators, reply)

    def tokenise(
        self, vocabulary: Path, text: str, *, sequence_length: int, iterations: int
    ) -> Block:
        """Time the splitting of a text into tokens."""
        reply = self._ask(
            "tokenise",
            vocabulary=self._deliver(vocabulary),
            text=text,
            sequence_length=sequence_length,
            iterations=iterations,
            limit_seconds=self._timeout_seconds,
            waiting=f"block: {iterations} texts were not split into tokens",
            limit=limit_of_block(iterations),
        )
        return self._read(lambda told: parse_block(told, iterations=iterations, warmup=None), reply)

    def output(self, key: str) -> npt.NDArray[np.float32]:
        """The first output for the fixed input."""
        once = _PATIENCE * self._first_seconds.get(key, 0.0)
        waiting = f"iteration: {key} was not run once"
        reply = self._ask("output", key=key, extra_seconds=once, waiting=waiting)
        return self._read(parse_output, reply)

    def _deliver(
        self, path: Path, sha256: str | None = None, data: Sequence[ArtefactFile] = ()
    ) -> str:
        self._check_alive()
        try:
            return self._channel.deliver(path, sha256, data)
        except BaseException:
            self._end()
            raise

    def _ask(
        self,
        request: str,
        *,
        waiting: str,
        before: bytes = b"",
        extra_seconds: float = 0.0,
        limit: AnswerLimit | None = None,
        **arguments: Any,
    ) -> dict[str, Any]:
        """Send a request and wait for its answer, asleep.

        Args:
            request: The name of the request, such as `load`.
            waiting: What has not happened while there is no answer, with its level first: an
                iteration, a block or the whole device.
            before: Lines that are not answered, sent before the request.
            extra_seconds: How long it may take beside the longest silence.
            limit: How much the answer may be, where the request alone does not say so.
            arguments: The other fields of the request.

        Raises:
            LaunchFailure: The worker answered with a failure, died or was silent too long.
        """
        self._check_alive()
        timeout_seconds = self._timeout_seconds + extra_seconds
        limit = limit or limit_of_request(request)
        try:
            content = json.dumps({"do": request, **arguments}).encode() + b"\n"
            self._channel.send(before + content, timeout_seconds, limit)
            line = self._channel.receive(timeout_seconds)
        except ChannelClosed:
            failure = self._classify_failure(self._channel.exit_status())
            self._end()
            raise failure from None
        except LaunchFailure:
            self._end()
            raise
        if line is None:
            self._end()
            raise LaunchFailure("timeout", f"{waiting} within {timeout_seconds:.3g} s")
        answer = self._read(lambda line: parse_line(line, limit), line)
        if "cause" in answer:
            failure = self._read(parse_failure, answer)
            self._end()
            raise LaunchFailure(failure.cause, failure.detail[-DETAIL_CHARACTERS:])
        return answer

    def _read(self, parse: Callable[[Any], _T], answer: Any) -> _T:
        """What an answer says; a worker that breaks the protocol is ended."""
        try:
            return parse(answer)
        except ProtocolError as error:
            self._end()
            raise LaunchFailure("crash", f"the worker answered {error}") from error

    def _check_alive(self) -> None:
        if not self._alive:
            raise LaunchFailure("crash", "the worker is not running")

    def _classify_failure(self, status: ExitStatus) -> LaunchFailure:
        """Say why the worker died."""
        code, last_words = status.code, status.last_words or "it wrote nothing to stderr"
        if code is None:
            return LaunchFailure("crash", f"the worker closed its output; {last_words}")
        if code in (-signal.SIGKILL, 128 + signal.SIGKILL) and status.memory_ran_out():
            return LaunchFailure("out-of-memory", "the system killed the worker for its memory")
        if code in (-signal.SIGALRM, 128 + signal.SIGALRM):
            limit = f"{self._iteration_limit:.3g} s"
            return LaunchFailure("timeout", f"iteration: one did not end within {limit}")
        if any(words in last_words for words in _SHORT_OF_MEMORY):
            return LaunchFailure("out-of-memory", last_words)
        way = f"signal {_signal_name(-code)}" if code < 0 else f"exit code {code}"
        return LaunchFailure("crash", f"the worker ended with {way}; {last_words}")

    def _end(self) -> None:
        """Let nothing of the worker stay; harmless when repeated."""
        self._alive = False
        self._channel.end()


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # of another system
        return str(number)
