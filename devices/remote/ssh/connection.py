"""One command on a machine that is reached over SSH, and lines to it and from it.

asyncssh works in a thread of its own, asleep until something comes; the rest of the program calls
it as if it were not asynchronous. Host keys are always checked; keys and agents alone log in.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import contextlib
import functools
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from atb.devices import home_folder
from atb.devices.remote.ssh.address import SshAddress
from atb.errors import InputError, MissingExtra, RunError

_CONNECT_SECONDS = 20.0
_LOGIN_SECONDS = 30.0
_WRITE_SECONDS = 60.0  # for a piece to be taken, after which the line counts as dead
_CLOSE_SECONDS = 5.0  # for what runs on the device to clear up
_KEEPALIVE_SECONDS = 15.0
_KEEPALIVES = 3  # unanswered ones
_LAST_WORDS_BYTES = 600
_LAST_WORDS_SECONDS = 5.0  # that they may come after the end
_GLOBAL_KNOWN_HOSTS = Path("/etc/ssh/ssh_known_hosts")

_T = TypeVar("_T")


class ConnectionFailed(RunError):
    """The machine cannot be reached, or is no longer."""


class HostRefused(ConnectionFailed):
    """It is not the machine that it should be, or does not let us in: trying again is no help."""


class SshCommand:
    """Connects and starts a command.

    Args:
        address: The host, its port and the user.
        command: What the device's login shell is given.
        key: File of the private key; None for the usual ones and the agent's.
        known_hosts: File of the keys of hosts that are trusted; None for the usual ones.
        on_line: Called in another thread with each line of the command's output, without its end;
            with None when nothing more comes.
        most_bytes: How long a line may be that comes just now; asked in another thread.

    Raises:
        InputError: The key or the file of known hosts cannot be used.
        MissingExtra: asyncssh is not installed.
        HostRefused: It shows another host key than it should, or does not let us in.
        ConnectionFailed: The machine does not answer.
    """

    def __init__(
        self,
        address: SshAddress,
        command: str,
        *,
        key: Path | None,
        known_hosts: Path | None,
        on_line: Callable[[bytes | None], None],
        most_bytes: Callable[[], int],
    ) -> None:
        try:
            import asyncssh  # noqa: F401 - is it there at all?
        except ImportError as error:
            raise MissingExtra("asyncssh", "ssh") from error
        self._address = address
        self._on_line = on_line
        self._most_bytes = most_bytes
        self._connection: Any = None
        self._process: Any = None
        self._last_words = b""
        self._readers: list[asyncio.Task[None]] = []
        self._reason: str | None = None
        _wait_for(self._open(command, key, known_hosts), _CONNECT_SECONDS + 2 * _LOGIN_SECONDS)
        atexit.register(self.close)

    @property
    def alive(self) -> bool:
        """Whether the command still runs, as far as is known."""
        return self._process is not None and self._reason is None

    @property
    def reason(self) -> str:
        """Why nothing more comes, with the last words of the command."""
        words = self._last_words.decode("utf-8", "replace").split()
        text = "".join(c if c.isprintable() else "?" for c in " ".join(words))
        return f"{self._reason or 'the connection is closed'}" + (f"; {text}" if text else "")

    def write(self, content: bytes) -> None:
        """Send bytes; returns when they are on their way.

        Raises:
            ConnectionFailed: They cannot be sent.
        """
        if not self.alive:
            raise ConnectionFailed(f"{self._address} is gone ({self.reason}).")
        _wait_for(self._write(content), _WRITE_SECONDS)

    def close(self) -> None:
        """End the command's input, wait a moment for it to clear up, and hang up."""
        atexit.unregister(self.close)
        process, self._process = self._process, None
        with contextlib.suppress(Exception):  # it is closed either way
            _wait_for(self._close(process), 2 * _CLOSE_SECONDS)

    async def _open(self, command: str, key: Path | None, known_hosts: Path | None) -> None:
        import asyncssh

        if home_folder() is None:
            raise InputError(
                "SSH looks for its configuration and keys in the home folder and none is known: "
                "set HOME."
            )
        address = self._address
        trusted = _read_known_hosts(known_hosts)
        shown: list[Any] = []

        class Client(asyncssh.SSHClient):
            def validate_host_public_key(self, *arguments: Any) -> bool:
                """A key that is not known is never accepted; it is only kept to tell of it."""
                shown.append(arguments[-1])
                return False

        options = _connection_options(address, trusted, None if key is None else _read_key(key))
        try:
            self._connection, _ = await asyncssh.create_connection(Client, address.host, **options)
            self._process = await self._connection.create_process(command, encoding=None)
        except asyncssh.HostKeyNotVerifiable as error:
            raise HostRefused(
                _distrust(address, shown[-1] if shown else None, trusted, known_hosts)
            ) from error
        except asyncssh.PermissionDenied as error:
            raise HostRefused(
                f"{address} does not let us in with "
                f"{'the usual keys and the agent' if key is None else f'the key {key}'}: "
                "bring a public key there (`ssh-copy-id`), or name another one with --key."
            ) from error
        except asyncssh.ConfigParseError as error:
            raise InputError(f"~/.ssh/config cannot be read ({error}): mend it.") from error
        except (asyncssh.Error, OSError, TimeoutError, ValueError) as error:
            raise ConnectionFailed(
                f"{address} does not answer ({_words(error)}): is it on, and does `ssh` get there?"
            ) from error
        self._readers = [
            asyncio.ensure_future(self._read()),
            asyncio.ensure_future(self._read_errors()),
        ]

    async def _write(self, content: bytes) -> None:
        import asyncssh

        process = self._process
        try:
            process.stdin.write(content)
            await process.stdin.drain()
        except (asyncssh.Error, OSError, AttributeError) as error:
            await self._hear_out()
            self._lose(_words(error))
            raise ConnectionFailed(f"{self._address} is gone ({self.reason}).") from error

    async def _read(self) -> None:
        import asyncssh

        pieces: list[bytes] = []
        size = 0
        try:
            while chunk := await self._process.stdout.read(1 << 16):
                *lines, rest = chunk.split(b"\n")
                for line in lines:
                    self._on_line(b"".join([*pieces, line]))
                    pieces, size = [], 0
                pieces.append(rest)
                size += len(rest)
                if size > (most := self._most_bytes()):
                    self._lose(f"it sent a line of more than the {most:,} bytes asked for")
                    break
            else:
                await self._hear_out()
                self._lose(f"what ran there has ended{_code(self._process)}")
        except (asyncssh.Error, OSError, AttributeError) as error:
            self._lose(_words(error))
        finally:
            self._lose("the connection is closed")
            self._on_line(None)
            if self._connection is not None:
                self._connection.abort()

    async def _read_errors(self) -> None:
        import asyncssh

        with contextlib.suppress(asyncssh.Error, OSError, AttributeError):
            while chunk := await self._process.stderr.read(1 << 16):
                self._last_words = (self._last_words + chunk)[-_LAST_WORDS_BYTES:]

    async def _hear_out(self) -> None:
        """Wait for the last words of a command that has ended."""
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.shield(self._readers[1]), _LAST_WORDS_SECONDS)

    async def _close(self, process: Any) -> None:
        self._lose("the connection is closed")
        if process is not None:
            with contextlib.suppress(OSError):
                process.stdin.write_eof()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(process.wait_closed(), _CLOSE_SECONDS)
        if self._connection is not None:
            self._connection.abort()
        for reader in self._readers:
            reader.cancel()

    def _lose(self, reason: str) -> None:
        self._reason = self._reason or reason


def _connection_options(address: SshAddress, trusted: bytes, key: Any) -> dict[str, Any]:
    """How to connect; what is said here stands above the user's configuration of SSH.

    That configuration says how a host is reached and by which key. It is made for logins of a
    person, whose agent, display, tickets and variables are nothing to a device that is measured.
    """
    options: dict[str, Any] = {
        "known_hosts": trusted,
        "preferred_auth": ["publickey"],
        "password_auth": False,
        "kbdint_auth": False,
        "host_based_auth": False,
        "gss_host": None,
        "gss_delegate_creds": False,
        "agent_forwarding": False,
        "x11_forwarding": False,
        "request_pty": False,
        "env": {},
        "send_env": [],
        "connect_timeout": _CONNECT_SECONDS,
        "login_timeout": _LOGIN_SECONDS,
        "keepalive_interval": _KEEPALIVE_SECONDS,
        "keepalive_count_max": _KEEPALIVES,
    }
    if address.user is not None:
        options["username"] = address.user
    if address.port is not None:
        options["port"] = address.port
    if key is not None:
        options["client_keys"] = [key]
    return options


def _words(error: BaseException) -> str:
    text = getattr(error, "reason", None) or str(error) or type(error).__name__
    return "".join(c if c.isprintable() else " " for c in str(text))[:300]


def _code(process: Any) -> str:
    status = getattr(process, "exit_status", None)
    return "" if status is None else f" with exit code {status}"


def _read_known_hosts(path: Path | None) -> bytes:
    """The content of the files; never empty, since asyncssh would look elsewhere then."""
    home = home_folder()
    own = [] if home is None else [home / ".ssh" / "known_hosts"]
    usual = (*own, _GLOBAL_KNOWN_HOSTS)
    content = b"#\n"
    for file in usual if path is None else (path,):
        try:
            content += file.read_bytes() + b"\n"
        except OSError as error:
            if path is not None:
                raise InputError(
                    f"The file of known hosts {path} cannot be read ({error.strerror}): name "
                    "another one with --known-hosts."
                ) from error
    return content


def _read_key(path: Path) -> Any:
    import asyncssh

    try:
        return asyncssh.read_private_key(str(path))
    except asyncssh.KeyEncryptionError as error:
        raise InputError(
            f"The key {path} has a passphrase: hand it to an agent with `ssh-add`, and leave "
            "--key out."
        ) from error
    except (OSError, asyncssh.KeyImportError) as error:
        raise InputError(
            f"The key {path} cannot be read ({_words(error)}): --key takes the file of a private "
            "key, such as ~/.ssh/id_ed25519."
        ) from error


def _distrust(address: SshAddress, key: Any, trusted: bytes, known_hosts: Path | None) -> str:
    """Say which key came, and how to make it known if it is the right one."""
    import asyncssh

    port = 22 if address.port is None else address.port
    file = "~/.ssh/known_hosts" if known_hosts is None else str(known_hosts)
    if key is None:
        return f"{address} shows a host key that {file} forbids: ask the machine's administrator."
    came = f"the host key {key.get_algorithm()} {key.get_fingerprint()}"
    known = asyncssh.match_known_hosts(
        asyncssh.import_known_hosts(trusted.decode("utf-8", "replace")), address.host, "", port
    )
    place = address.host if port == 22 else f"[{address.host}]:{port}"
    if known[0]:
        return (
            f"{address} shows {came}, and {file} knows another one: either somebody stands in "
            "between, or the machine was set up anew; if you are sure that it was, take the old "
            f"key out with `ssh-keygen -R '{place}' -f {file}` and connect once with `ssh`."
        )
    return (
        f"{address} shows {came}, which {file} does not know: compare it with what "
        "`ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` prints on the device, and if it is the "
        f"same, connect once with `ssh`, or add what `ssh-keyscan -p {port} {address.host}` says."
    )


@functools.cache
def _loop() -> asyncio.AbstractEventLoop:
    """The one loop of all connections, in a thread that ends with the process."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="atb-ssh", daemon=True).start()
    return loop


def _wait_for(coroutine: Coroutine[Any, Any, _T], seconds: float) -> _T:
    """Run it in the loop's thread, and sleep until it is done."""
    future = asyncio.run_coroutine_threadsafe(coroutine, _loop())
    try:
        return future.result(seconds)
    except concurrent.futures.TimeoutError as error:
        future.cancel()
        raise ConnectionFailed(f"The connection hung for {seconds:.0f} s.") from error
