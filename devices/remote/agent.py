"""The remote end of a connection: one file that runs alone on a device, one process for each.

It is sent as source text, and needs Python 3.9 and its standard library only. Requests are JSON
lines on stdin, each answered by one JSON line on stdout: `{"answer": {...}}`, or `{"error": text,
"system"}`, with true where the system refused it and not this program:

    {"do": "facts", "sources", "distributions"}  -> platform, clusters, usable CPUs, versions
    {"do": "state"}                              -> the readings of state.py
    {"do": "clock"}                              -> Unix time
    {"do": "put", "sha256", "suffix", "size"}    -> {"path"} if it is there already; else {}, and
                                                    after `size` bytes of content {"path"}
    {"do": "start", "number", "program", "environment"}  a fresh worker: Python with a text of `-c`
    {"do": "line", "number", "line"}             handed on to the worker, and not answered; it
                                                 may be several, as the sources of the worker are
    {"do": "stop", "number", "seconds"}          the worker's end, after so long at most

What the worker writes comes in between, as it comes: `{"worker": number, "line": text}`, and when
it ended `{"worker": number, "exit": code, "last_words", "memory_kills": [before, after]}`.

It works in a folder of its own. With its stdin, by a signal, or where it hears nothing for longer
than the last request's `patience` it ends, and leaves neither a file nor a process behind.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from importlib import metadata
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:
    sys.exit("devices must run Linux or macOS")

GREETING = "atb-agent 1"

_FOLDER_PREFIX = "atb-agent-"
_LOCK = "lock"  # held as long as the folder's agent lives
_CHUNK_BYTES = 1 << 20
_SPARE_BYTES = 1 << 25  # that the disk shall keep free when files are put
_STORE_BYTES = 1 << 30  # of files of earlier launches; older ones go first
_LAST_WORDS_BYTES = 600
_SILENCE_SECONDS = 900.0  # after which the other end is gone
_ENDING = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT)
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SUFFIX = re.compile(r"(\.[a-z0-9]{1,12})?")


class RequestError(Exception):
    """A request that cannot be done; the text says why."""


class Disconnected(Exception):
    """The other end is gone."""


class Requests:
    """What comes through stdin, without a buffer that something else could hold."""

    def __init__(self) -> None:
        self._received = b""
        self.patience = _SILENCE_SECONDS

    def _receive(self) -> None:
        if not select.select([0], [], [], self.patience)[0]:
            raise Disconnected
        try:
            chunk = os.read(0, _CHUNK_BYTES)
        except OSError as error:
            raise Disconnected from error
        if not chunk:
            raise Disconnected
        self._received += chunk

    def next(self) -> dict[str, Any]:
        """The next request."""
        while b"\n" not in self._received:
            self._receive()
        line, _, self._received = self._received.partition(b"\n")
        request: dict[str, Any] = json.loads(line)
        self.patience = _SILENCE_SECONDS + request.pop("patience", 0.0)
        return request

    def pieces(self, size: int) -> Any:
        """So many bytes that follow a request."""
        while size:
            if not self._received:
                self._receive()
            piece, self._received = self._received[:size], self._received[size:]
            size -= len(piece)
            yield piece


_WRITING = threading.Lock()


def send(**message: Any) -> None:
    """Write one line, whole.

    Raises:
        Disconnected: The other end does not listen any more.
    """
    content = memoryview(json.dumps(message).encode() + b"\n")
    with _WRITING:
        while content:
            try:
                content = content[os.write(1, content) :]
            except OSError as error:
                raise Disconnected from error


class Store:
    """Files by their content; nothing that is sent becomes a name.

    Args:
        folder: The folder that the files are put into.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[Path, int] = {}  # with their sizes, the one longest unused first
        self._needed: set[Path] = set()  # by workers that run

    def forget_needs(self) -> None:
        """The workers that needed files are gone."""
        self._needed.clear()

    def find(self, sha256: str, suffix: str) -> Path | None:
        """A file that is there."""
        path = self._path(sha256, suffix)
        if path not in self._files:
            return None
        self._needed.add(path)
        self._files[path] = self._files.pop(path)  # now the last one used
        return path

    def add(self, sha256: str, suffix: str, size: int, pieces: Any) -> Path:
        """Write a file, and look that it arrived as it was."""
        path = self._path(sha256, suffix)
        temporary = self._folder / "arriving"
        digest = hashlib.sha256()
        try:
            self._make_room(size)
            with temporary.open("wb") as file:
                for piece in pieces:
                    file.write(piece)
                    digest.update(piece)
            if digest.hexdigest() != sha256:
                raise RequestError("the file changed on its way, or since it was made")
            temporary.replace(path)
        finally:
            for _ in pieces:  # what was sent is no request
                pass
            with contextlib.suppress(OSError):
                temporary.unlink()
        self._files[path] = size
        self._needed.add(path)
        return path

    def _path(self, sha256: str, suffix: str) -> Path:
        if not _SHA256.fullmatch(sha256) or not _SUFFIX.fullmatch(suffix):
            raise RequestError("a file is named by its hash and a plain suffix")
        return self._folder / (sha256 + suffix)

    def _make_room(self, size: int) -> None:
        """Delete what no worker needs until the new file fits."""
        for path in [path for path in self._files if path not in self._needed]:
            kept = sum(self._files.values())
            free = shutil.disk_usage(str(self._folder)).free
            if kept + size <= _STORE_BYTES and free >= size + _SPARE_BYTES:
                return
            path.unlink()
            del self._files[path]


class Worker:
    """A worker process, and the thread that hands on what it writes.

    `kills` counts what the kernel killed for want of memory.
    """

    def __init__(
        self, number: int, program: str, folder: Path, environment: dict[str, str], kills: Any
    ) -> None:
        self._number = number
        self._read_kills = kills
        self._kills = kills()
        self._errors = tempfile.TemporaryFile(dir=str(folder))  # noqa: SIM115 - kept open
        self._process = subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            # what libraries leave goes with the folder
            env={**os.environ, **environment, "TMPDIR": str(folder)},
            bufsize=0,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._hand_on, daemon=True)
        self._reader.start()

    def write(self, line: str) -> None:
        """Hand a line on to it; one that is dead is told of by its reader."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.write(line.encode() + b"\n")

    def _hand_on(self) -> None:
        assert self._process.stdout is not None
        pending: list[bytes] = []
        with contextlib.suppress(OSError, Disconnected):
            while True:
                chunk = self._process.stdout.read(_CHUNK_BYTES)
                if not chunk:
                    break
                *lines, rest = chunk.split(b"\n")
                for line in lines:
                    text = b"".join([*pending, line]).decode("utf-8", "replace")
                    pending.clear()
                    send(worker=self._number, line=text)
                pending.append(rest)
            self._tell_exit()

    def _tell_exit(self) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(2.0)
        size = self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, size - _LAST_WORDS_BYTES))
        send(
            worker=self._number,
            exit=self._process.returncode,
            last_words=self._errors.read().decode("utf-8", "replace").strip(),
            memory_kills=[self._kills, self._read_kills()],
        )

    def end(self, seconds: float = 0.0) -> None:
        """Let it end by itself for so long, then kill it with all its children."""
        assert self._process.stdin is not None
        if seconds:
            self.write('{"do": "bye"}')
            with contextlib.suppress(OSError):
                self._process.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._reader.join(2.0)  # it reads what is left
        for pipe in (self._process.stdin, self._process.stdout, self._errors):
            with contextlib.suppress(OSError):
                pipe.close()  # type: ignore[union-attr]


class Agent:
    """Answers requests.

    Args:
        folder: The agent's own folder, which is deleted in the end.
        requests: Where they come from.
    """

    def __init__(self, folder: Path, requests: Requests) -> None:
        self._requests = requests
        self._folder = folder
        self._store = Store(folder)
        self._modules: dict[str, dict[str, Any]] = {}
        self._workers: dict[int, Worker] = {}

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Do what a request asks for."""
        answer: dict[str, Any] = getattr(self, "do_" + request.pop("do"))(**request)
        return answer

    def do_facts(
        self, sources: dict[str, str], distributions: dict[str, list[str]]
    ) -> dict[str, Any]:
        """Say what this machine is, by the code that says it of the one that asks."""
        for name, source in sources.items():
            self._modules[name] = {"__name__": name}
            exec(compile(source, name, "exec"), self._modules[name])  # noqa: S102 - ours, sent along
        usable = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
        versions = {runtime: version_of(names) for runtime, names in distributions.items()}
        return {
            "platform": self._modules["platform_facts"]["read_platform"](),
            "clusters": self._modules["clusters"]["cpu_clusters"](),
            "usable_cpus": usable,
            "versions": {name: version for name, version in versions.items() if version},
            "python": ".".join(map(str, sys.version_info[:3])),
        }

    def do_state(self) -> dict[str, Any]:
        """Readings of this moment."""
        return {"state": self._modules["state"]["read_state"]()}

    def do_clock(self) -> dict[str, Any]:
        """Unix time in seconds."""
        return {"seconds": time.time()}

    def do_put(self, sha256: str, suffix: str, size: int) -> dict[str, Any]:
        """Receive a file that is not there yet."""
        path = self._store.find(sha256, suffix)
        if path is None:
            send(answer={})
            path = self._store.add(sha256, suffix, size, self._requests.pieces(size))
        return {"path": str(path)}

    def do_start(self, number: int, program: str, environment: dict[str, str]) -> dict[str, Any]:
        """Start a fresh worker."""
        kills = self._modules["state"]["memory_kills"]
        self._workers[number] = Worker(number, program, self._folder, environment, kills)
        return {}

    def do_line(self, number: int, line: str) -> None:
        """Hand a line on to a worker."""
        if number in self._workers:
            self._workers[number].write(line)

    def do_stop(self, number: int, seconds: float) -> dict[str, Any]:
        """End a worker."""
        worker = self._workers.pop(number, None)
        if worker is not None:
            worker.end(seconds)
        if not self._workers:
            self._store.forget_needs()
        return {}

    def end(self) -> None:
        """Let nothing of any worker stay."""
        for number in list(self._workers):
            self.do_stop(number, 0.0)


def version_of(distributions: list[str]) -> str | None:
    """Version of the first of these that is installed."""
    for name in distributions:
        with contextlib.suppress(metadata.PackageNotFoundError):
            return str(metadata.version(name))
    return None


def describe(error: BaseException) -> str:
    """Without the path, which says nothing on another machine."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) if isinstance(error, RequestError) else f"{type(error).__name__}: {error}"


def clear_up() -> None:
    """Delete folders of agents that were killed before they could do it themselves."""
    for folder in Path(tempfile.gettempdir()).glob(_FOLDER_PREFIX + "*"):
        with contextlib.suppress(OSError):
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                continue
            with (folder / _LOCK).open("rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(str(folder), ignore_errors=True)


def main() -> None:
    """Answer requests until the other end is gone."""
    for number in _ENDING:
        signal.signal(number, lambda *_: sys.exit(0))
    clear_up()
    folder = Path(tempfile.mkdtemp(prefix=_FOLDER_PREFIX))
    requests = Requests()
    agent = Agent(folder, requests)
    code = 0
    try:
        with (folder / "locking").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            (folder / "locking").rename(folder / _LOCK)  # so that it is never seen unlocked
            send(greeting=GREETING)
            while True:
                request = requests.next()
                try:
                    answer = agent.answer(request)
                except (Disconnected, SystemExit):
                    raise
                except Exception as error:  # noqa: BLE001 - told to the other end
                    send(error=describe(error), system=isinstance(error, OSError))
                else:
                    if answer is not None:
                        send(answer=answer)
    except (Disconnected, SystemExit):
        pass
    except BaseException:  # noqa: BLE001 - the exit below would hide it
        traceback.print_exc()
        code = 1
    finally:
        for number in _ENDING:
            signal.signal(number, signal.SIG_IGN)  # what is begun is finished
        agent.end()
        shutil.rmtree(str(folder), ignore_errors=True)
        os._exit(code)  # whatever thread still tries to write


if __name__ == "__main__":
    main()
