"""SIGKILL at random moments of campaigns: is anything lost, doubled or different?

After every kill the database is held against what the killed process told of: each block that it
had told of must be there, at most one more (the block in flight), and none twice. Every campaign is
resumed until it ends; its measurements must be those of an undisturbed one. The first finding
against that ends the benchmark with an error.

Parts: `fake` (campaigns of the simulated device in a file), `local` (this machine's real runtime),
`postgresql` (the simulated device on a server of Debian's package `postgresql`), `writers` (two
campaigns at once in one file), `server-writers` (the same on a server).

The same command goes on where it was interrupted, campaign by campaign.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.shared.paths import TEST_SUPPORT
from benchmarks.shared.record import machine, write_result

sys.path.insert(0, str(TEST_SUPPORT))

from killing import (
    Job,
    finish,
    kill_several_until_done,
    kill_until_done,
    places,
    summary,
)
from postgresql import Server, running_server

#: Kills of each part.
KILLS = {"fake": 1000, "local": 20, "postgresql": 50, "writers": 50, "server-writers": 50}
MOST_SECONDS_LOCAL = 3.0  # a campaign of the real device takes about twice as long
_LOCAL_BLOCKS = 3 * 5 * 12  # architectures, launches, blocks


class Bench:
    """Where databases lie, and how far each part is.

    Args:
        folder: Of the run.
        server: For the parts that need one; None for the others.
    """

    def __init__(self, folder: Path, server: Server | None) -> None:
        self.folder = folder
        self.server = server
        self.state = folder / "state.json"
        self.done: dict[str, dict[str, float]] = {}
        if self.state.is_file():
            self.done = json.loads(self.state.read_text("utf-8"))

    def place(self, part: str, number: int, name: str = "killed") -> str:
        """A fresh database, and for a server the name under which the process is seen."""
        if self.server is not None and part in {"postgresql", "server-writers"}:
            database = f"{part}-{number}-{time.time_ns()}"
            return f"{self.server.make_database(database)}&application_name={name}"
        return str(self.fresh(f"{part}-{number}.db"))

    def fresh(self, name: str) -> Path:
        """A path at which nothing lies."""
        path = self.folder / name
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        return path

    def run(self, part: str, wanted: int) -> None:
        """Kill campaigns of a part until there were so many kills."""
        found = self.done.setdefault(part, {"kills": 0, "campaigns": 0, "blocks": 0, "seconds": 0})
        while found["kills"] < wanted:
            begun = time.monotonic()
            number = int(found["campaigns"])
            kills, campaigns, blocks = PARTS[part](
                self, number, most_kills=int(wanted - found["kills"])
            )
            found["kills"] += kills
            found["campaigns"] += campaigns
            found["blocks"] += blocks
            found["seconds"] += time.monotonic() - begun
            self.state.write_text(json.dumps(self.done), "utf-8")
            self.fresh(f"{part}-{number}.db")
            if number % 20 == 0 or found["kills"] >= wanted:
                print(f"{part}: {found['kills']:.0f}/{wanted} kills", flush=True)


def job_of(bench: Bench, part: str, number: int) -> Job:
    """A campaign like no other of the part."""
    temporary = bench.folder / "temporary"
    temporary.mkdir(exist_ok=True)
    return Job(bench.place(part, number), str(temporary), seed=number)


def one_campaign(part: str) -> Callable[..., tuple[int, int, int]]:
    """Kill and resume one campaign of the simulated device, and compare it."""

    def run(bench: Bench, number: int, *, most_kills: int) -> tuple[int, int, int]:
        job = job_of(bench, part, number)
        rng = np.random.default_rng([number, *part.encode()])
        through = replace(job, location=str(bench.fresh("through.db")))
        seconds = finish(through)
        kills = kill_until_done(job, rng, most_seconds=seconds / 2, most_kills=most_kills)
        compare(job, through)
        return kills, 1, len(places(job))

    return run


def real_campaign(bench: Bench, number: int, *, most_kills: int) -> tuple[int, int, int]:
    """The same with the real runtime, whose times no second campaign repeats: places only."""
    job = replace(job_of(bench, "local", number), device="local")
    rng = np.random.default_rng([number, 2])
    kills = kill_until_done(job, rng, most_seconds=MOST_SECONDS_LOCAL, most_kills=most_kills)
    found = places(job)
    assert len(found) == len(set(found)) == _LOCAL_BLOCKS, len(found)
    nothing_left(job)
    return kills, 1, len(found)


def two_writers(part: str) -> Callable[..., tuple[int, int, int]]:
    """Two campaigns at once in one database, both killed and resumed."""

    def run(bench: Bench, number: int, *, most_kills: int) -> tuple[int, int, int]:
        location = bench.place(part, number, "one")
        jobs = [
            replace(
                job_of(bench, "through", number),
                location=location.replace("=one", f"={name}"),
                name=name,
                seed=2 * number + place,
            )
            for place, name in enumerate(("one", "two"))
        ]
        rng = np.random.default_rng([number, *part.encode()])
        through = str(bench.fresh("through.db"))
        # both in one, since they share the level of their sentinel
        others = [replace(job, location=through) for job in jobs]
        seconds = sum(finish(other) for other in others)
        kills = kill_several_until_done(jobs, rng, most_seconds=seconds / 5, most_kills=most_kills)
        for job, other in zip(jobs, others, strict=True):
            compare(job, other)
        return kills, 2, sum(len(places(job)) for job in jobs)

    return run


PARTS: dict[str, Callable[..., tuple[int, int, int]]] = {
    "fake": one_campaign("fake"),
    "local": real_campaign,
    "postgresql": one_campaign("postgresql"),
    "writers": two_writers("writers"),
    "server-writers": two_writers("server-writers"),
}


def compare(killed: Job, through: Job) -> None:
    """Both say the same, to the last digit."""
    assert summary(killed) == summary(through), f"{killed.location} differs from {through.location}"
    nothing_left(killed)


def nothing_left(job: Job) -> None:
    """No artefacts of killed processes lie about, and no locks."""
    left = list(Path(job.temporary).iterdir())
    if "://" not in job.location:
        path = Path(job.location)
        left += [p for p in path.parent.iterdir() if p.name.startswith(f".{path.name}.")]
    assert left == [], left


@contextlib.contextmanager
def server_for(parts: list[str]) -> Iterator[Server | None]:
    """A server, if one of the parts needs it."""
    if {"postgresql", "server-writers"} & set(parts):
        with running_server() as server:
            yield server
    else:
        yield None


def main() -> None:
    """Kill, resume, compare, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--out", type=Path, default=None, help="Folder of the run, which the same command resumes."
    )
    parser.add_argument(
        "--part", action="append", choices=list(PARTS), help="Part to run; all of them by default."
    )
    parser.add_argument(
        "--share", type=float, default=1.0, help="Share of the kills to do, for a trial."
    )
    arguments = parser.parse_args()
    parts = arguments.part or list(PARTS)
    folder: Path = arguments.out or Path("atb-runs/kills")
    folder.mkdir(parents=True, exist_ok=True)
    started = machine()
    with server_for(parts) as server:
        bench = Bench(folder, server)
        for part in parts:
            bench.run(part, max(1, round(arguments.share * KILLS[part])))
    print(f"{'part':16}{'kills':>7}{'campaigns':>11}{'blocks':>8}{'seconds':>9}")
    for part in parts:
        found = bench.done[part]
        print(f"{part:16}{found['kills']:7.0f}{found['campaigns']:11.0f}{found['blocks']:8.0f}"
              f"{found['seconds']:9.0f}")  # fmt: skip
    figures = {
        "parts": {part: bench.done[part] for part in parts},
        "kills": sum(bench.done[part]["kills"] for part in parts),
        "every_check_passed": True,  # the first that fails ends the benchmark
    }
    if arguments.share == 1.0:
        print(f"written: {write_result('kills', figures, started)}")


if __name__ == "__main__":
    main()
