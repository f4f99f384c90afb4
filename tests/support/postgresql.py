"""A PostgreSQL server in a temporary folder, for tests and benchmarks; Debian's `postgresql`."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

USER = "postgres"
PORT = 5432  # names a socket in a folder of its own: nothing listens on the network
#: The data are thrown away: nothing waits for a disk.
SETTINGS = "-F -c listen_addresses='' -c full_page_writes=off -c max_connections=40"


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
    """Start a server, and stop and delete it in the end; it does not run as root."""
    binaries = find_binaries()
    # not below pytest's own folder, which nobody else may enter
    folder = Path(tempfile.mkdtemp(prefix="atb-postgresql-"))
    prefix = []
    if os.geteuid() == 0:
        shutil.chown(folder, USER)
        prefix = ["runuser", "-u", USER, "--"]

    def run(program, *words):
        subprocess.run(
            [*prefix, str(binaries / program), "-D", str(folder / "data"), *words],
            cwd=folder,
            stdout=subprocess.DEVNULL,
            check=True,
        )

    try:
        run("initdb", "-U", USER, "--auth=trust", "--locale=C", "--encoding=UTF8", "--no-sync")
        options = f"{SETTINGS} -p {PORT} -c unix_socket_directories={folder}"
        run("pg_ctl", "start", "-w", "-l", str(folder / "log"), "-o", options)
        try:
            yield Server(folder)
        finally:
            run("pg_ctl", "stop", "-w", "-m", "immediate")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
