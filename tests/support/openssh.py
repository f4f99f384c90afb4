"""An OpenSSH server on loopback with keys of its own, for tests and benchmarks; Debian's sshd."""

import contextlib
import getpass
import os
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

SSHD = Path("/usr/sbin/sshd")
HOST = "127.0.0.1"


def is_installed():
    """Whether there is a server to start."""
    return SSHD.exists()


@dataclass
class OpenSsh:
    """A server that can be stopped and started again.

    Attributes:
        folder: Where its keys, its configuration and the client's files lie.
        port: Where it listens.
        lines: Further lines of its configuration.
    """

    folder: Path
    port: int
    lines: tuple[str, ...] = ()
    process: subprocess.Popen | None = field(default=None, repr=False)

    @property
    def url(self):
        """As `atb devices add` takes it."""
        return f"ssh://{getpass.getuser()}@{HOST}:{self.port}"

    @property
    def key(self):
        """The user's private key."""
        return self.folder / "user_key"

    @property
    def known_hosts(self):
        """What a user who connected once would have."""
        return self.folder / "known_hosts"

    def start(self):
        """Start it, and wait until it listens."""
        configuration = self.folder / "sshd_config"
        configuration.write_text("\n".join((*self._settings(), *self.lines)) + "\n")
        log = self.folder / "log"
        self.process = subprocess.Popen(
            [str(SSHD), "-D", "-f", str(configuration), "-E", str(log)],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        deadline = time.monotonic() + 20
        while True:
            with contextlib.suppress(OSError), socket.create_connection((HOST, self.port), 1):
                return
            assert self.process.poll() is None, f"sshd ended: {log.read_text()}"
            assert time.monotonic() < deadline, "sshd does not listen"
            time.sleep(0.02)

    def _settings(self):
        return (
            f"ListenAddress {HOST}",
            f"Port {self.port}",
            f"HostKey {self.folder / 'host_key'}",
            f"AuthorizedKeysFile {self.folder / 'authorized_keys'}",
            f"PidFile {self.folder / 'pid'}",
            "UsePAM no",
            "StrictModes no",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "PermitRootLogin prohibit-password",
            "PrintMotd no",
        )

    def sessions(self):
        """Processes that serve connections: the children of the one that listens."""
        assert self.process is not None
        found = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(pid) for pid in found.split()]

    def logins(self):
        """How often somebody has logged in."""
        return (self.folder / "log").read_text().count("Accepted publickey")

    def cut(self):
        """Kill what serves connections; the server goes on to listen."""
        for pid in self.sessions():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def kill(self):
        """Kill the server with all its connections, as a machine that goes off."""
        if self.process is None:
            return
        sessions = self.sessions() if self.process.poll() is None else []
        self.process.kill()
        self.process.wait()
        for pid in sessions:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process = None

    def new_host_key(self):
        """A new one, as of a machine that was set up anew, or of somebody in between."""
        (self.folder / "host_key").unlink()
        make_key(self.folder / "host_key")


def make_key(path):
    """Make a pair of keys without a passphrase."""
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "atb test", "-f", str(path)],
        check=True,
        stdin=subprocess.DEVNULL,
    )


@contextlib.contextmanager
def running_openssh(folder=None, *, lines=()):
    """Start a server on a free port of loopback, and stop it in the end.

    Args:
        folder: For its files; None for a temporary one.
        lines: Further lines of its configuration, such as `ForceCommand ...`.
    """
    with contextlib.ExitStack() as stack:
        if folder is None:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="atb-openssh-"))
        folder = Path(folder).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        if os.geteuid() == 0:  # where Debian's sshd puts processes without rights
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        for name in ("host_key", "user_key"):
            make_key(folder / name)
        (folder / "authorized_keys").write_text((folder / "user_key.pub").read_text())
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            port = probe.getsockname()[1]
        host_key = " ".join((folder / "host_key.pub").read_text().split()[:2])
        (folder / "known_hosts").write_text(f"[{HOST}]:{port} {host_key}\n")
        server = OpenSsh(folder, port, tuple(lines))
        server.start()
        stack.callback(server.kill)
        yield server
