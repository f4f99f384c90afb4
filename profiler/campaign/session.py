"""One launch: a fresh worker, loaded, settled, and timed block after block beside the sentinel."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from atb.devices import Artefact, Block, Device, LaunchFailure, Loaded, RunSettings, WorkerSession
from atb.devices.runtimes import check_output
from atb.models import Architecture
from atb.profiler import BlockRecord, LoadRecord, Subject
from atb.profiler.campaign.plan import Plan
from atb.profiler.campaign.state import CampaignState
from atb.profiler.statistics import block_value

_SENTINEL, _CACHE = "sentinel", "cache"
_CACHE_ITERATIONS = 2
_WARMUP_ITERATIONS = 1  # before each block: the model before it had the caches
_FEWEST_SENTINEL_ITERATIONS = 5
_MOST_ITERATIONS = 10_000
# Warm-up after loading ends when a window is no faster than the best before it, but for noise.
_WINDOW_ITERATIONS = 2
_MOST_WINDOWS = 10
_SETTLED_SHARE = 0.02
#: Readings of a device that tell something by how they change during a block.
_COUNTERS = ("energy_joules", "battery_joules")
_WAIT_STEP_SECONDS = 0.25  # between looks at the sentinel while waiting


@dataclass(frozen=True, slots=True)
class _Ready:
    """A model: its file, the iterations of its blocks, and what loading it showed."""

    artefact: Artefact
    iterations: int
    loaded: Loaded | None = None


class SessionRunner:
    """Times blocks in one worker and commits each of them.

    Args:
        worker: A fresh worker process, entered.
        device: The device on which it runs.
        plan: Iterations of a block, and the sentinel.
        settings: How models are run.
        state: The campaign's, which takes every block and says what is measured already.
    """

    def __init__(
        self,
        worker: WorkerSession,
        device: Device,
        plan: Plan,
        settings: RunSettings,
        state: CampaignState,
    ) -> None:
        self._worker = worker
        self._device = device
        self._plan = plan
        self._settings = settings
        self._state = state
        self._ready: dict[str, _Ready] = {}

    def holds(self, subject: Subject) -> bool:
        """Whether it is loaded."""
        return str(subject) in self._ready

    def load(
        self,
        artefacts: Mapping[Subject, Artefact],
        sentinel: Artefact,
        cache_sentinel: Artefact | None,
        launch: int,
    ) -> None:
        """Load everything and settle it.

        Args:
            artefacts: Of the subjects.
            sentinel: Of the sentinel.
            cache_sentinel: Of the second one; None where it is not wanted.
            launch: Index of the launch.

        Raises:
            LaunchFailure: The worker failed.
        """
        self._load(
            _SENTINEL,
            sentinel,
            known=self._state.sentinel_iterations(),
            seconds=self._plan.sentinel_block_seconds,
            fewest=_FEWEST_SENTINEL_ITERATIONS,
            settings=self._sentinel_settings,
        )
        if cache_sentinel is not None:
            self._load(
                _CACHE,
                cache_sentinel,
                known=_CACHE_ITERATIONS,
                seconds=0.0,
                fewest=_CACHE_ITERATIONS,
                settings=self._sentinel_settings,
            )
        for subject, artefact in artefacts.items():
            self._state.begin("loading", subject)
            if self._settings.scenario == "cold-start":
                self._ready[str(subject)] = _Ready(artefact, 1)
                continue
            self._load(
                str(subject),
                artefact,
                known=self._state.iterations(subject),
                seconds=self._plan.block_seconds,
                fewest=self._plan.fewest_iterations,
                settings=self._settings,
            )
            self._check_once(subject)
            self._commit_load(subject, launch)

    @property
    def _sentinel_settings(self) -> RunSettings:
        """The sentinel never waits: it tells about the machine and not about the scenario."""
        return replace(self._settings, scenario="hot-loop", interval_seconds=None, streams=1)

    def _load(
        self,
        key: str,
        artefact: Artefact,
        *,
        known: int | None,
        seconds: float,
        fewest: int,
        settings: RunSettings,
    ) -> None:
        loaded = self._worker.load(key, artefact, settings=settings)
        if not math.isfinite(loaded.output_checksum):
            raise LaunchFailure("wrong-output", f"the output of {key} is not finite")
        interval = settings.interval_seconds or 0.0
        each = max(self._settle(key, paced=interval > 0), interval)
        wanted = min(max(math.ceil(seconds / each), fewest), _MOST_ITERATIONS)
        self._ready[key] = _Ready(artefact, known or wanted, loaded)

    def _commit_load(self, subject: Subject, launch: int) -> None:
        ready = self._ready[str(subject)]
        assert ready.loaded is not None
        artefact, at = ready.artefact, self._device.now()
        self._state.commit_load(
            LoadRecord(subject, launch, ready.loaded, artefact.sha256, artefact.size_bytes, at)
        )

    def _check_once(self, subject: Subject) -> None:
        """Compare what an architecture computes with the reference, before anything is timed.

        Raises:
            LaunchFailure: With cause `wrong-output`.
        """
        if not isinstance(subject, Architecture) or self._state.knows(subject):
            return
        result = check_output(subject, self._settings, self._worker.output(str(subject)))
        if not result.passed:
            raise LaunchFailure(
                "wrong-output",
                f"the output lies {result.max_difference:.2g} from the reference, "
                f"{result.bound:.2g} is allowed",
            )

    def _settle(self, key: str, *, paced: bool) -> float:
        """Warm up until it no longer gets faster; the fastest iteration in seconds.

        A model that sleeps in between cools down again: it is not warmed up for long.
        """
        best = math.inf
        for _ in range(2 if paced else _MOST_WINDOWS):
            window = min(self._worker.run(key, iterations=_WINDOW_ITERATIONS).wall_seconds)
            settled = window > best * (1 - _SETTLED_SHARE)
            best = min(best, window)
            if settled:
                break
        return best

    def time(self, missing: Sequence[tuple[Subject, int]], launch: int) -> None:
        """Time blocks, the sentinel before and after each, and commit every one at once.

        Args:
            missing: Subjects and blocks in the order in which they are timed.
            launch: Index of the launch.

        Raises:
            LaunchFailure: The worker failed.
        """
        self._state.begin("first sentinel")
        before, shifted = self._time_sentinel()
        for number, (subject, block) in enumerate(missing):
            if shifted:
                before = self._wait_out(before)
            turn = number % self._plan.cache_every == 0 or number == len(missing) - 1
            cache = self._time(_CACHE) if turn and _CACHE in self._ready else None
            self._state.begin(f"launch {launch + 1}", subject)
            before_block = self._device.state()
            if self._settings.scenario == "cold-start":
                readings = self._start_cold(subject, launch)
            else:
                readings = self._time(str(subject))
            # only counters need a second reading, and only where the machine has one
            counted = any(before_block.get(name) is not None for name in _COUNTERS)
            after_block = self._device.state() if counted else {}
            self._state.clear_suspect()
            after, shifted = self._time_sentinel()
            self._state.commit(
                BlockRecord(
                    subject,
                    launch,
                    block,
                    readings,
                    sentinel_before=before,
                    sentinel_after=after,
                    artefact_sha256=self._ready[str(subject)].artefact.sha256,
                    state=before_block,
                    state_after=after_block,
                    cache_sentinel=cache,
                )
            )
            before = after

    def _time(self, key: str) -> Block:
        count = self._ready[key].iterations
        return self._worker.run(key, iterations=count, warmup=_WARMUP_ITERATIONS)

    def _start_cold(self, subject: Subject, launch: int) -> Block:
        """Load and first inference as one iteration; the library itself is loaded already."""
        started_at, key = self._device.now(), str(subject)
        loaded = self._worker.load(key, self._ready[key].artefact)
        self._ready[key] = replace(self._ready[key], loaded=loaded)
        self._check_once(subject)
        self._commit_load(subject, launch)
        seconds = loaded.load_seconds + loaded.first_seconds
        return Block(started_at, (seconds,), (seconds,), (0,), (0,), span_seconds=seconds)

    def _time_sentinel(self) -> tuple[Block, bool]:
        """A block of the sentinel, and whether the machine is off its level."""
        block = self._time(_SENTINEL)
        value = block_value(block, threads=self._settings.threads, quantile=0.25)
        return block, self._state.watch.add(block.started_at, value.seconds)

    def _wait_out(self, before: Block) -> Block:
        """Wait until the machine is back at its level, as long as the wait budget lasts."""
        shifted = True
        while shifted and self._state.wait_budget_seconds > 0:
            self._state.begin("waiting for the machine to return to its level")
            began = self._device.now()
            self._device.wait(_WAIT_STEP_SECONDS)
            before, shifted = self._time_sentinel()
            self._state.wait_budget_seconds -= self._device.now() - began
        return before
