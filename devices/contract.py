"""What a device and a runtime must do, and the values that pass between them and the profiler.

The order of the calls in one launch:

    artefact = runtime.build(architecture, settings, folder)
    with device.launch(runtime, settings) as launch:      # a fresh worker process
        launch.load("L4-...", artefact)
        launch.run("L4-...", iterations=20)               # one block, as often as wanted
        launch.run("sentinel", iterations=5)
        launch.output("L4-...")                           # once, for the check of correctness
        launch.operators("L4-...", iterations=20)         # where its time goes, beside any timing

Every implementation passes the suites of `atb.devices.testing` by adding one line there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self, runtime_checkable

from atb.devices.settings import RunSettings
from atb.errors import RunError
from atb.models import Architecture
from atb.text import printable_lines

if TYPE_CHECKING:  # devices are listed without it
    import numpy as np
    import numpy.typing as npt

#: What to say of an iteration that took no time.
COARSE_CLOCK = "the device's clock is too coarse for it; measure a larger model or batch"


@dataclass(frozen=True, slots=True)
class ArtefactFile:
    """A file of weights that belongs to a model.

    Attributes:
        location: Where the model looks for it: a path below its folder, with slashes.
        path: The file.
        sha256: Hash of its content.
        size_bytes: Its size.
    """

    location: str
    path: Path
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Artefact:
    """A model in the form that a runtime serves.

    Attributes:
        path: The file that is loaded.
        sha256: Hash of its content, and of that of `data` where there is any.
        size_bytes: The size of all files together.
        data: Files of weights that belong to it, by location.
    """

    path: Path
    sha256: str
    size_bytes: int
    data: tuple[ArtefactFile, ...] = ()


@dataclass(frozen=True, slots=True)
class Loaded:
    """What loading an artefact showed.

    Attributes:
        load_seconds: Time to make it ready, first inference not included.
        first_seconds: Time of the first inference.
        providers: What really runs it, as the runtime reports.
        output_checksum: Sum of the first output that is numbers, for the fixed input, to see that
            it computes; infinite ones are left out, and it is zero where there are none.
        memory_bytes: By how much the worker grew at its largest while it loaded and ran the model
            once; None where the system does not tell.
        vocabulary_size: How many different token ids it is fed; None where that is not told.
    """

    load_seconds: float
    first_seconds: float
    providers: tuple[str, ...]
    output_checksum: float
    memory_bytes: int | None = None
    vocabulary_size: int | None = None


@dataclass(frozen=True, slots=True)
class Block:
    """Raw readings of iterations in the order in which they began; sequences of equal length.

    In the scenario `throughput` they are the requests of all streams, streams times as many as
    asked for; in the others they ran one after another. In `fixed-rate` one that took longer than
    the interval made the next ones begin late, and at once, until the schedule was caught up with.

    Attributes:
        started_at: Unix time of the block's start on the device, in seconds.
        wall_seconds: Monotonic time of each iteration.
        cpu_seconds: Time that the measuring thread was on a CPU in each iteration.
        voluntary_switches: Context switches it asked for, by iteration.
        involuntary_switches: Times it was preempted, by iteration.
        warmup_seconds: Wall times of the iterations before, kept apart.
        wait_seconds: Time that threads of the worker were ready but waited for a CPU in each
            iteration, summed over all its threads, or of the one thread that served a request of
            `throughput`; empty where the system does not tell.
        process_cpu_seconds: Time on a CPU of all threads of the worker in each iteration; empty
            where the system does not tell, and in `throughput`, where it belongs to no request.
        minor_faults: Page faults of the block without input from a disk; None where not told.
        major_faults: Those with input from a disk; None where not told.
        span_seconds: From the begin of the first iteration to the end of the last one; their
            number divided by it is the throughput.
    """

    started_at: float
    wall_seconds: tuple[float, ...]
    cpu_seconds: tuple[float, ...]
    voluntary_switches: tuple[int, ...]
    involuntary_switches: tuple[int, ...]
    warmup_seconds: tuple[float, ...] = ()
    wait_seconds: tuple[float, ...] = ()
    process_cpu_seconds: tuple[float, ...] = ()
    minor_faults: int | None = None
    major_faults: int | None = None
    span_seconds: float | None = None

    def __post_init__(self) -> None:
        """Refuse iterations that took no time, whichever device tells them.

        Raises:
            LaunchFailure: With cause `wrong-output`.
        """
        wall = self.wall_seconds
        if wall and not (min(wall) > 0 and math.isfinite(sum(wall))):
            raise LaunchFailure("wrong-output", f"an iteration took {min(wall)} s: {COARSE_CLOCK}")


@dataclass(frozen=True, slots=True)
class OperatorTime:
    """What one operator of a model takes, as the runtime's own profiler says.

    Profiling slows a model down and rounds to what the profiler resolves (onnxruntime: a
    microsecond), so that the sum is no latency; the shares are what it is for.

    Attributes:
        operator: Its kind, such as `MatMul`.
        name: Its name in the model.
        seconds: Mean time in one inference.
        count: How often it ran in one inference.
        share: Of the time of all operators.
    """

    operator: str
    name: str
    seconds: float
    count: int
    share: float


class LaunchFailure(RunError):
    """A worker could not do its work; the campaign records it and goes on.

    Attributes:
        cause: One of `crash`, `timeout`, `out-of-memory`, `load-error`, `wrong-output`,
            `device-gone`, `build-error`.
        detail: What was seen, such as the signal or the last lines of the worker's errors; whatever
            the worker wrote, its lines are printable.
    """

    CAUSES = (
        "crash",
        "timeout",
        "out-of-memory",
        "load-error",
        "wrong-output",
        "device-gone",
        "build-error",
    )

    def __init__(self, cause: str, detail: str) -> None:
        assert cause in self.CAUSES
        self.cause = cause
        self.detail = printable_lines(detail)
        super().__init__(f"{cause}: {self.detail}")


@runtime_checkable
class Runtime(Protocol):
    """Turns an architecture into an artefact.

    One whose models take minutes to load says so in a further attribute, `load_patience_seconds`:
    how much longer than usual a device shall wait for that. One whose artefacts are always written
    in a moment says so in `builds_at_once`, and none of them is kept for the next time.
    """

    @property
    def name(self) -> str:
        """Such as `onnxruntime`."""

    @property
    def version(self) -> str:
        """Version of the library that will run the artefact.

        Raises:
            RuntimeAbsent: It is not installed; the text says what to install.
        """

    @property
    def precisions(self) -> tuple[str, ...]:
        """The precisions it can serve."""

    def build(self, architecture: Architecture, settings: RunSettings, folder: Path) -> Artefact:
        """Write the timing artefact into `folder`: random weights, small vocabulary.

        Raises:
            LaunchFailure: With cause `build-error`.
        """


@runtime_checkable
class WorkerRuntime(Runtime, Protocol):
    """A runtime whose models a worker runs, on this machine and on remote devices."""

    @property
    def distributions(self) -> tuple[str, ...]:
        """The packages that bring its library, the usual one first."""

    @property
    def runner(self) -> Path:
        """The file that runs its models, sent to devices with the core of the worker.

        It names its model classes in `RUNTIMES: dict[str, ModelClass]`, by runtime; see
        `atb.devices.worker.core.ModelClass`. It imports the standard library, numpy and the
        library of the runtime, and runs on Python 3.9.
        """

    @property
    def tells_operators(self) -> bool:
        """Whether its models say what each operator takes."""


class WorkerSession(Protocol):
    """One fresh worker process; a context manager that ends the process when left.

    Every method raises LaunchFailure where the worker fails; nothing more can be asked of it then.
    """

    def load(
        self,
        key: str,
        artefact: Artefact,
        *,
        settings: RunSettings | None = None,
        vocabulary_size: int | None = None,
    ) -> Loaded:
        """Make an artefact ready under a name.

        Args:
            key: The name by which the model is asked for from now on.
            artefact: The files of the model.
            settings: How this model is run, where not as the launch is.
            vocabulary_size: How many different token ids it is fed at most; None for as many as
                it says that it knows. It is given only where `Loaded` tells such a number.
        """

    def run(self, key: str, *, iterations: int, warmup: int = 0) -> Block:
        """Run one block in the scenario of the launch's settings.

        Args:
            key: The name under which the model was loaded.
            iterations: How many are timed; by each stream of `throughput`.
            warmup: How many before, in the same scenario, and kept apart.
        """

    def output(self, key: str) -> npt.NDArray[np.float32]:
        """The first output for the fixed input of `atb.devices.worker.core.make_inputs`.

        Returns:
            float32 [batch, sequence, hidden] for our own graphs.
        """

    def operators(self, key: str, *, iterations: int) -> tuple[OperatorTime, ...]:
        """Where the time of a loaded model goes, the longest first.

        Raises:
            LaunchFailure: With cause `load-error`: the runtime does not tell.
        """

    def tokenise(
        self, vocabulary: Path, text: str, *, sequence_length: int, iterations: int
    ) -> Block:
        """Time the splitting of a text into exactly so many tokens, as it precedes an inference.

        Args:
            vocabulary: WordPiece tokens, one a line.
            text: The text, which is cut or padded to the length.
            sequence_length: How many tokens come out.
            iterations: How many are timed.

        Raises:
            LaunchFailure: With cause `load-error`: the library is not there, or it cannot read the
                vocabulary.
        """

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


@runtime_checkable
class Device(Protocol):
    """A place that can run artefacts.

    One that knows which of its CPUs are equally fast says so in a further attribute, `clusters`:
    groups of logical CPUs that a worker may be pinned to, the fastest group first.
    """

    @property
    def name(self) -> str:
        """What the user calls it, such as `local`."""

    @property
    def platform(self) -> Mapping[str, str]:
        """Facts that identify the hardware and do not change: processor, cores, system."""

    @property
    def runtimes(self) -> Mapping[str, Runtime]:
        """The runtimes that it can serve now, by name."""

    def launch(self, runtime: Runtime, settings: RunSettings) -> WorkerSession:
        """Prepare a fresh worker; the process starts when the context is entered."""

    def state(self) -> Mapping[str, Any]:
        """Readings that change: frequency, temperature, load, memory; absent ones are None."""

    def now(self) -> float:
        """Its clock, Unix time in seconds; a simulated device answers with simulated time."""

    def wait(self, seconds: float) -> None:
        """Let time pass on its clock, for a disturbance to go by; a simulated one jumps."""
