"""A PostgreSQL server in a temporary folder, for tests and benchmarks; Debian's `postgresql`."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

USER = "postgres"
PORT = 5432  # names a socket in a folder of its own: nothing listens on the network
#: The data are thrown away: nothing waits for a disk.
SETTINGS = ("-F", "-c", "listen_addresses=", "-c", "full_page_writes=off", "-N", "40")


def find_binaries():
    """The folder of the newest server's programs, or None."""
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3])
    )
    if found:
        return found[-1].parent
    named = shutil.which("initdb")
    return None if named is None else Path(named).resolve().parent


@dataclass(frozen=True)
class Server:
    """A running server.

    Attributes:
        folder: Where its socket lies.
    """

    folder: Path

    def url(self, database):
        """The URL of one of its databases."""
        return f"postgresql://{USER}@/{database}?host={self.folder}&port={PORT}"

    def make_database(self, name):
        """Make an empty database and tell its URL."""
        self.ask(f'CREATE DATABASE "{name}"')
        return self.url(name)

    def ask(self, statement, database=USER):
        """Run a statement outside of a transaction and hand back the rows, if there are any."""
        import psycopg

        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []


@contextlib.contextmanager
def running_server():
    """Start a server, and stop and delete it in the end.

    It does not run as root, and it ends with its parent, even if that is killed.
    """
    binaries = find_binaries()
    # not below pytest's own folder, which nobody else may enter
    folder = Path(tempfile.mkdtemp(prefix="atb-postgresql-"))
    prefix = ["setpriv", "--pdeathsig=QUIT"]
    if os.geteuid() == 0:
        shutil.chown(folder, USER)
        prefix += [f"--reuid={USER}", f"--regid={USER}", "--init-groups"]
    place = ["-D", str(folder / "data")]
    options = ["-k", str(folder), "-p", str(PORT)]
    make = [str(binaries / "initdb"), "-U", USER, "--auth=trust", "--locale=C", "--encoding=UTF8"]
    try:
        subprocess.run(
            [*prefix, *make, "--no-sync", *place],
            cwd=folder,
            stdout=subprocess.DEVNULL,
            check=True,
        )
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [*prefix, str(binaries / "postgres"), *place, *options, *SETTINGS],
                cwd=folder,
                stdout=log,
                stderr=log,
            )
        try:
            yield _ready(Server(folder), process)
        finally:
            process.send_signal(signal.SIGQUIT)  # at once: the data are thrown away
            process.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _ready(server, process):
    """Wait until a server answers."""
    import psycopg

    while True:
        try:
            server.ask("SELECT 1")
            return server
        except psycopg.OperationalError:
            log = (server.folder / "log").read_text()
            assert process.poll() is None, f"the server ended: {log}"
            time.sleep(0.05)
