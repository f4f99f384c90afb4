"""What each fresh worker is given: which subjects share it, and their artefacts.

Failures are attributed to a subject. Artefacts are built when first needed, shared by the launches,
and gone after use.
"""

from __future__ import annotations

import contextlib
import math
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Self

from atb.devices import Artefact, Device, LaunchFailure, RunSettings, Runtime
from atb.devices.runtimes import describe_model, gather
from atb.errors import BadFile, RunError
from atb.files import release, take
from atb.profiler import ModelFile, Subject
from atb.profiler.campaign.plan import Plan, cut, shares_workers, size_bytes
from atb.profiler.campaign.session import SessionRunner
from atb.profiler.campaign.state import CampaignState
from atb.profiler.statistics import CACHE_SENTINEL

_MOST_DEVICE_FAILURES = 3  # in a row, with nothing measured in between
_FIRST_WAIT_SECONDS = 1.0  # before a device that failed is tried again; doubled each time

#: Subjects with the indices of their blocks, in the order in which they are timed.
_Order = Sequence[tuple[Subject, int]]


class Scheduler:
    """Decides which subjects share a worker, and runs one worker after the other.

    Args:
        device: The device.
        runtime: Builds the artefacts, and runs them in the worker.
        settings: How models are run.
        plan: Order of the blocks, their iterations, and the sentinel.
        artefacts: Where built models lie.
        state: The campaign's.
    """

    def __init__(
        self,
        device: Device,
        runtime: Runtime,
        settings: RunSettings,
        plan: Plan,
        *,
        artefacts: ArtefactStore,
        state: CampaignState,
    ) -> None:
        self._device = device
        self._runtime = runtime
        self._settings = settings
        self._plan = plan
        self._artefacts = artefacts
        self._state = state
        self._capacity = WorkerCapacity(settings, state.memory_bytes)
        self._session: SessionRunner | None = None  # that runs, or ran last
        self._device_failures = 0  # in a row, with nothing measured in between
        self._unexplained = 0  # failures beside others of models that did not fail alone

    def measure(
        self, blocks: Mapping[Subject, int], launches: Sequence[int], *, in_order: bool = False
    ) -> None:
        """Time what is missing of these launches of these subjects.

        What fails beside others is timed once more alone, where its second failure is final.

        Args:
            blocks: How many blocks each subject has in each launch.
            launches: Indices of the launches.
            in_order: Whether the subjects that come first are timed first.

        Raises:
            BudgetSpent: The time is over.
            RunError: The device failed repeatedly with nothing measured in between.
        """
        healthy = {s: count for s, count in blocks.items() if not self._state.quarantined(s)}
        self._state.expect(healthy, launches)
        self._capacity.tell_available(self._available_bytes())
        alone = not shares_workers(self._settings.scenario)
        for batch in self._plan.batches(list(healthy)):
            for launch in launches:
                for group in self._plan.groups(batch, launch, in_order=in_order, alone=alone):
                    for part in self._capacity.parts(group, len(group)):
                        self._measure_part(self._plan.order(part, launch, blocks), launch)
            for subject in batch:
                self._artefacts.drop(subject)

    def _available_bytes(self) -> float | None:
        """What the device says of its memory; one that is away says nothing."""
        try:
            told: float | None = self._device.state().get("memory_available_bytes")
        except LaunchFailure:
            return None
        return told

    def _measure_part(self, order: _Order, launch: int) -> None:
        """Time the missing blocks in one worker, and in further ones where that fails."""
        while missing := self._missing(order, launch):
            try:
                self._run_worker(missing, launch)
            except LaunchFailure as failure:
                subject = self._state.attribute(failure)
                company = {subject for subject, _ in missing}
                if subject is None or len(company) == 1 or failure.cause == "build-error":
                    self._state.commit_failure(subject, failure)
                    if subject is None:
                        self._back_off(failure)
                else:
                    self._measure_apart(missing, subject, failure, launch)

    def _missing(self, order: _Order, launch: int) -> _Order:
        missing = [
            (subject, block)
            for subject, block in order
            if not self._state.quarantined(subject) and not self._state.has(subject, launch, block)
        ]
        # a process starts but once
        return missing[:1] if self._settings.scenario == "cold-start" else missing

    def _run_worker(self, missing: _Order, launch: int) -> None:
        """One fresh worker: load everything, then time one block after the other."""
        artefacts: dict[Subject, Artefact] = {}
        self._session = None
        for subject, _ in missing:
            if subject not in artefacts:
                self._state.begin("building", subject)
                artefacts[subject] = self._artefacts.get(subject)
        self._state.begin("starting a worker")
        sentinel = self._artefacts.get(self._plan.sentinel)
        corrected = self._settings.scenario == "hot-loop"  # others ask for the load there is
        cache_sentinel = self._artefacts.get(CACHE_SENTINEL) if corrected else None
        with self._device.launch(self._runtime, self._settings) as worker:
            self._session = SessionRunner(
                worker, self._device, self._plan, self._settings, self._state
            )
            self._session.load(artefacts, sentinel, cache_sentinel, launch)
            self._device_failures = 0
            self._session.time(missing, launch)

    def _measure_apart(
        self, order: _Order, suspect: Subject, failure: LaunchFailure, launch: int
    ) -> None:
        """Time what failed beside others: the suspect alone first, which says whether it was it.

        Where the suspect does not fail alone, its company took too much memory, and is cut.
        """
        company = list(dict.fromkeys(subject for subject, _ in order))
        session = self._session
        held = [s for s in company if session is not None and session.holds(s)]
        self._state.commit_failure_beside_others(suspect, failure)
        self._measure_part([item for item in order if item[0] == suspect], launch)
        rest = [subject for subject in company if subject != suspect]
        most_members = len(rest)
        if not self._state.quarantined(suspect):
            most_members = math.ceil(len(rest) / 2)
            self._unexplained += 1
            # a crash may be an accident once; that it is again has a reason, such as no memory
            if failure.cause == "out-of-memory" or self._unexplained > 1:
                self._capacity.tell_short(company, held)
        for part in self._capacity.parts(rest, most_members):
            self._measure_part([item for item in order if item[0] in part], launch)

    def _back_off(self, failure: LaunchFailure) -> None:
        """Give a device that failed some time, or give up."""
        self._device_failures += 1
        if self._device_failures >= _MOST_DEVICE_FAILURES:
            raise RunError(
                f"{self._device.name} failed {self._device_failures} times in a row with nothing "
                f"measured in between ({failure}): look at it with `atb devices check`, then run "
                "the command again to go on."
            ) from failure
        self._device.wait(_FIRST_WAIT_SECONDS * 2 ** (self._device_failures - 1))


_BYTES_EACH = 4
#: What is read from a file and what the runtime makes of it may both stay.
_COPIES = 2
#: Of the memory that is available; the rest is for the runtime, the sentinels, and wrong estimates.
_SHARE = 0.5
#: Of what was loaded when memory ran out: models of the same size differ in what they take.
_SAFE_SHARE = 0.9


class WorkerCapacity:
    """What the models of one worker may take together.

    Args:
        settings: Of which batch and length decide how large intermediate values are.
        known_bytes: What a model took when it was loaded before; None where nobody told.
    """

    def __init__(self, settings: RunSettings, known_bytes: Callable[[Subject], int | None]) -> None:
        self._settings = settings
        self._known_bytes = known_bytes
        self._available = math.inf
        self._shown = math.inf  # what was seen not to fit

    @property
    def limit_bytes(self) -> float:
        """By `needed_bytes`; a model that needs more has a worker of its own."""
        return min(self._available, self._shown)

    def tell_available(self, available_bytes: float | None) -> None:
        """Take what the device says of its memory now; None where it does not."""
        if available_bytes is not None:
            self._available = _SHARE * available_bytes

    def tell_short(self, company: Iterable[Subject], loaded: Iterable[Subject]) -> None:
        """Learn that memory ran out, or may have.

        Args:
            company: All that were to share the worker.
            loaded: Those that it held by then.
        """
        held = _SAFE_SHARE * sum(map(self.needed_bytes, loaded))
        half = sum(map(self.needed_bytes, company)) / 2
        self._shown = min(self._shown, held or half)

    def parts(self, group: Sequence[Subject], most_members: int) -> list[list[Subject]]:
        """A group as consecutive parts that fit; what does not fit even alone stands alone."""
        return cut(group, self.needed_bytes, most_bytes=self.limit_bytes, most_members=most_members)

    def needed_bytes(self, subject: Subject) -> float:
        """What a model takes, as it was seen or else by its shape."""
        known = self._known_bytes(subject)
        return known or _COPIES * size_bytes(subject) + _values_bytes(subject, self._settings)


def _values_bytes(subject: Subject, settings: RunSettings) -> int:
    """About what one layer's intermediate values take; a model file does not tell its widths."""
    if isinstance(subject, ModelFile):
        return 0
    tokens = settings.streams * settings.batch * settings.sequence_length
    a = subject
    widths = 4 * a.hidden + 3 * a.qkv + 2 * a.feed_forward + 2 * a.heads * settings.sequence_length
    return _BYTES_EACH * tokens * widths


_PREFIX = "atb-artefacts-"


class ArtefactStore:
    """A temporary folder of timing artefacts; a context manager that deletes it when left."""

    def __init__(self, runtime: Runtime, settings: RunSettings) -> None:
        self._runtime = runtime
        self._settings = settings
        self._folder: Path | None = None
        self._lock: int | None = None
        self._built: dict[Subject, Artefact] = {}

    def __enter__(self) -> Self:
        parent = Path(tempfile.gettempdir())
        _sweep(parent)
        self._folder, self._lock = _make_folder(parent)
        return self

    def __exit__(self, *error: object) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            if self._lock is not None:
                release(_lock_of(self._folder), self._lock)

    def get(self, subject: Subject) -> Artefact:
        """The artefact of a subject, built now if it is not there; a user's own model is one.

        Raises:
            LaunchFailure: With cause `build-error`.
            RunError: The temporary folder cannot be written.
        """
        assert self._folder is not None
        if subject not in self._built:
            folder = self._folder / _folder_name(subject)
            try:
                if isinstance(subject, ModelFile):
                    self._built[subject] = gather(_found(subject), folder)
                else:
                    folder.mkdir(exist_ok=True)
                    self._built[subject] = self._runtime.build(subject, self._settings, folder)
            except OSError as error:
                raise RunError(
                    f"Cannot write timing artefacts to {folder} ({error.strerror}): "
                    "free some space, or point TMPDIR at another disk."
                ) from error
        return self._built[subject]

    def drop(self, subject: Subject) -> None:
        """Delete an artefact; it would be built again."""
        assert self._folder is not None
        if self._built.pop(subject, None) is not None:
            shutil.rmtree(self._folder / _folder_name(subject), ignore_errors=True)


def _folder_name(subject: Subject) -> str:
    """The name of a user's file may already be as long as names can be."""
    return subject.sha256 if isinstance(subject, ModelFile) else str(subject)


def _found(model: ModelFile) -> Artefact:
    """A user's own file as it lies there; the campaign was opened for this very content."""
    try:
        assert model.path is not None
        artefact = describe_model(model.path)
    except OSError as error:
        raise LaunchFailure("build-error", f"{model.path}: {error.strerror}") from error
    except BadFile as error:
        raise LaunchFailure("build-error", str(error)) from error
    if not artefact.sha256.startswith(model.sha256):
        raise LaunchFailure("build-error", f"{model.path} has changed since the campaign began")
    return artefact


def _make_folder(parent: Path) -> tuple[Path, int | None]:
    """A folder that nobody sweeps while this process lives, and the descriptor of its lock.

    Raises:
        OSError: It cannot be made.
    """
    descriptor = None
    while descriptor is None:  # another one may sweep a lock before it is had
        folder = parent / f"{_PREFIX}{secrets.token_hex(8)}"
        try:
            descriptor = take(_lock_of(folder))
        except OSError:  # a file system that knows no locks; without one nobody sweeps the folder
            _lock_of(folder).unlink(missing_ok=True)
            break
    folder.mkdir(mode=0o700)
    return folder, descriptor


def _lock_of(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")


def _sweep(parent: Path) -> None:
    """Delete what killed processes left behind: folders whose lock nobody has."""
    for lock in parent.glob(f"{_PREFIX}*.lock"):
        with contextlib.suppress(OSError):  # somebody else's
            descriptor = take(lock)
            if descriptor is not None:
                shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
                release(lock, descriptor)
