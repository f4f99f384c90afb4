"""Scores are computed by this process, by several of this machine, or on a Ray cluster.

A proxy gives the same architecture the same score wherever it runs, so that the result of a search
does not depend on its executor. Processes cannot be handed a SuperPLM; they are handed a factory,
which makes the proxy once in each of them.
"""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import Any, Protocol

from atb.errors import InputError, MissingExtra, RunError
from atb.models import Architecture
from atb.search.scoring.proxy import Proxy, RoughProxy

#: Makes a proxy; a function of a module with its arguments, so that it can be sent.
ProxyFactory = Callable[[], Proxy]
#: An architecture, its score (None where scoring failed), and the seconds that it took.
TimedScore = tuple[Architecture, float | None, float]


class Executor(Protocol):
    """Computes scores; passes `atb.search.testing.ExecutorSuite`."""

    def scores(
        self, architectures: Sequence[Architecture], *, rough: bool = False
    ) -> Iterator[TimedScore]:
        """Scores as they become known, in any order.

        Args:
            architectures: Architectures to score.
            rough: Whether by a small part of the data, where the proxy is a `RoughProxy`.
        """

    def close(self) -> None:
        """Let go of what was started; harmless twice."""


class LocalExecutor:
    """In this process: one after the other, or several at a time in threads.

    A proxy computes each score on one thread of its own, outside the interpreter, so that threads
    are as good as processes and start at once.
    """

    def __init__(self, proxy: Proxy, threads: int = 1) -> None:
        """Start nothing yet.

        Args:
            proxy: What scores; more than one thread only for one that keeps no state between
                scores of different architectures.
            threads: Scores that are computed at a time.
        """
        self._proxy, self._threads = proxy, threads

    def scores(
        self, architectures: Sequence[Architecture], *, rough: bool = False
    ) -> Iterator[TimedScore]:
        """As they become known."""
        if self._threads == 1:
            yield from (_timed(self._proxy, a, rough=rough) for a in architectures)
            return
        pool = ThreadPoolExecutor(self._threads)
        try:
            futures = [pool.submit(_timed, self._proxy, a, rough=rough) for a in architectures]
            for future in as_completed(futures):
                yield future.result()
        finally:  # after Ctrl-C, what was not begun is given up
            pool.shutdown(cancel_futures=True)

    def close(self) -> None:
        """Nothing is left running."""


class ProcessExecutor:
    """Several processes of this machine, each on one thread."""

    def __init__(self, factory: ProxyFactory, count: int) -> None:
        """Start none yet.

        Args:
            factory: Makes the proxy in each process.
            count: Number of processes.

        Raises:
            InputError: It is not positive.
        """
        if count < 1:
            raise InputError(f"{count} workers were asked for: give at least 1.")
        self._factory = factory
        self._count = count
        self._pool: ProcessPoolExecutor | None = None

    def scores(
        self, architectures: Sequence[Architecture], *, rough: bool = False
    ) -> Iterator[TimedScore]:
        """As they become known.

        Raises:
            RunError: A process died, most likely for want of memory.
        """
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                self._count,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_prepare,
                initargs=(self._factory,),
            )
        try:
            score = partial(_score, rough=rough)
            futures = [self._pool.submit(score, architecture) for architecture in architectures]
            for future in as_completed(futures):
                yield future.result()
        except BrokenProcessPool as error:
            self.close()
            raise RunError(
                "A process that scores ended by itself, most likely for want of memory: run the "
                "same command with fewer --workers; the scores until now are kept."
            ) from error

    def close(self) -> None:
        """End the processes; what was not begun is given up."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None


class RayExecutor:
    """Processes of a Ray cluster, or of a local one that is started for the purpose."""

    def __init__(
        self, factory: ProxyFactory, count: int | None = None, address: str | None = None
    ) -> None:
        """Connect.

        Args:
            factory: Makes the proxy in each; what it reads must be there on every machine.
            count: Number of actors; that of the CPUs of the cluster where None.
            address: Of the cluster, such as `ray://head:10001` or `auto`; None starts a local one.

        Raises:
            MissingExtra: Ray is not installed.
            InputError: The cluster cannot be reached.
        """
        try:
            ray: Any = importlib.import_module("ray")
        except ImportError as error:
            raise MissingExtra("Ray", "ray", wanted_for="Scoring with --workers ray") from error
        self._ray = ray
        self._started = not ray.is_initialized()
        try:
            ray.init(
                address=address,
                ignore_reinit_error=True,
                include_dashboard=False,
                log_to_driver=False,
                logging_level="error",
            )
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise InputError(
                f"There is no Ray cluster at {address} ({error}): start one, or leave the address "
                "out."
            ) from error
        if count is None:
            count = max(1, int(ray.cluster_resources().get("CPU", 1)))
        actor = ray.remote(num_cpus=1)(_Actor)
        self._actors = [actor.remote(factory) for _ in range(count)]

    def scores(
        self, architectures: Sequence[Architecture], *, rough: bool = False
    ) -> Iterator[TimedScore]:
        """As they become known.

        Raises:
            RunError: An actor died.
        """
        pool = self._ray.util.ActorPool(self._actors)
        try:
            yield from pool.map_unordered(
                lambda actor, architecture: actor.score.remote(architecture, rough=rough),
                architectures,
            )
        except self._ray.exceptions.RayError as error:
            raise RunError(
                f"A Ray worker failed ({str(error).splitlines()[0]}): see that the SuperPLM lies "
                "in the same place on every machine, then run the same command; the scores until "
                "now are kept."
            ) from error

    def close(self) -> None:
        """End the actors, and the local cluster where it was started for this."""
        for actor in self._actors:
            with contextlib.suppress(Exception):  # the cluster may be gone already
                self._ray.kill(actor)
        self._actors = []
        if self._started:
            self._ray.shutdown()


class _Actor:
    """What runs on Ray: a proxy of its own."""

    def __init__(self, factory: ProxyFactory) -> None:
        self._proxy = factory()

    def score(self, architecture: Architecture, *, rough: bool) -> TimedScore:
        """Score one."""
        return _timed(self._proxy, architecture, rough=rough)


_proxy_here: Proxy | None = None


def _prepare(factory: ProxyFactory) -> None:
    """Make the proxy of a process, which ends with its parent and leaves Ctrl-C to it."""
    global _proxy_here  # noqa: PLW0603 -- a pool hands nothing else from its initialiser to its tasks
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _proxy_here = factory()


def _end_with_parent() -> None:
    parent: Any = multiprocessing.parent_process()
    parent.join()
    os._exit(1)


def _score(architecture: Architecture, *, rough: bool) -> TimedScore:
    assert _proxy_here is not None
    return _timed(_proxy_here, architecture, rough=rough)


def _timed(proxy: Proxy, architecture: Architecture, *, rough: bool) -> TimedScore:
    begun = time.perf_counter()
    if rough:
        assert isinstance(proxy, RoughProxy)
        (score,) = proxy.score_roughly([architecture])
    else:
        (score,) = proxy.score([architecture])
    return architecture, score, time.perf_counter() - begun
