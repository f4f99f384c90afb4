"""What a campaign measures and in which order, as a pure function of the command."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from atb.errors import InputError
from atb.models import Architecture, SearchSpace
from atb.profiler import ModelFile, Subject

#: Timed next to every block. It fills the inner caches, so that tenants that use the outer ones
#: show in it as they do in most models; and its widths are no powers of two, which fall into the
#: same cache sets and make a model's speed an accident of where its memory lies.
SENTINEL = Architecture(4, 192, 4, 128, 384)

# What lies on the disk at once, and what one worker holds at once: room on small machines.
_BATCH_BYTES = 2_000_000_000
_GROUP_BYTES = 1_000_000_000
_GROUP_MEMBERS = 25
_ORDERED_MEMBERS = 8
_TIMING_VOCABULARY = 1_000  # about what timing artefacts have; only for sizes
_BYTES_EACH = 4
_SEEDS = 2**63  # what a database can hold

#: How long a sustained scenario runs where nothing is said.
SUSTAINED_SECONDS = 120.0
_COLD_STARTS = 10
#: A block of concurrent streams is long, since they do not end at the same time.
_THROUGHPUT_BLOCK_SECONDS = 0.5


@dataclass(frozen=True)
class Plan:
    """Which subjects are measured, and how.

    Attributes:
        subjects: What is measured; doubles are dropped.
        space: Where they were sampled; None where they were listed.
        seed: Of the samples and of the order of the blocks.
        name: Of the campaign.
        within: Half width of the interval that is wanted, as a share of the latency; None takes
            what `launches` times `blocks` give.
        limit_seconds: With `within`, what latencies are held against: a model above it needs no
            precision, and whose latency meets it while the interval crosses it gets more launches,
            up to `most_launches_at_limit`; None for no limit.
        budget_seconds: Time after which no block is begun; None for no end.
        launches: Fresh workers in which each subject is timed.
        blocks: Of each subject in a launch.
        fewest_launches: With `within`, after which the interval is first looked at.
        most_launches: With `within`, after which a subject is given up.
        most_launches_at_limit: The same of one whose interval crosses the limit.
        repeats: Launches at most that replace those timed while the machine was off its level.
        wait_seconds: How long to wait in all for the machine to return to its level.
        block_seconds: What a block is to last.
        fewest_iterations: Of a block, however long they last.
        sentinel: The fixed model that is timed next to every block.
        sentinel_block_seconds: What a block of it is to last.
        cache_every: Blocks after which the second sentinel is timed again.

    Raises:
        InputError: There is nothing to measure, or a value is out of range.
    """

    subjects: tuple[Subject, ...]
    space: SearchSpace | None = None
    seed: int = 0
    name: str = "profile"
    within: float | None = None
    limit_seconds: float | None = None
    budget_seconds: float | None = None
    launches: int = 5
    blocks: int = 3
    fewest_launches: int = 4
    most_launches: int = 15
    most_launches_at_limit: int = 40
    repeats: int = 3
    wait_seconds: float = 20.0
    block_seconds: float = 0.02
    fewest_iterations: int = 3
    sentinel: Architecture = SENTINEL
    sentinel_block_seconds: float = 0.01
    cache_every: int = 6

    def __post_init__(self) -> None:
        object.__setattr__(self, "subjects", tuple(dict.fromkeys(self.subjects)))
        if not self.subjects:
            raise InputError("There is nothing to measure: give --samples or --arch.")
        if not self.name.strip():
            raise InputError("The campaign's name is empty: give it one.")
        if not 0 <= self.seed < _SEEDS:
            raise InputError(f"The seed is {self.seed}: give a whole number from 0 to 2^63 - 1.")
        if self.within is not None and not 0 < self.within < 1:
            raise InputError(f"The precision asked for is {self.within:.2%}: give 1% or so.")
        if self.limit_seconds is not None and (self.within is None or not self.limit_seconds > 0):
            raise InputError("A limit is a positive time, and needs a precision that is asked for.")
        if self.budget_seconds is not None and not self.budget_seconds > 0:
            raise InputError(f"The budget is {self.budget_seconds} s: give a positive time.")
        if min(self.launches, self.blocks, self.fewest_iterations, self.fewest_launches) < 1:
            raise InputError("A campaign needs at least one launch, block and iteration.")
        if self.wait_seconds < 0:
            raise InputError(f"The longest wait is {self.wait_seconds} s: give a time from zero.")

    @classmethod
    def sample(cls, space: SearchSpace, samples: int, *, seed: int = 0, **how: Any) -> Self:
        """Plan to measure samples of a space; more samples begin with the fewer.

        Args:
            space: Where to sample.
            samples: How many.
            seed: Of the samples.
            how: Further attributes of the plan by name.

        Raises:
            InputError: The space has fewer members, or a value is out of range.
        """
        if samples < 1:
            raise InputError(f"{samples} samples were asked for: give a whole number from 1.")
        if seed < 0:
            raise InputError(f"The seed is {seed}: give a whole number from 0.")
        drawn = space.sample(np.random.default_rng(seed), samples)
        return cls(tuple(drawn), space=space, seed=seed, **how)

    @property
    def identity(self) -> list[Any]:
        """What makes a command another campaign, beside what a `Campaign` tells."""
        listed = [str(subject) for subject in self.subjects]
        members = listed if self.space is None else self.space.to_json()
        return [members, self.blocks]

    @property
    def first_launches(self) -> int:
        """Launches before anything is decided."""
        return self.launches if self.within is None else self.fewest_launches

    @property
    def last_launch(self) -> int:
        """Launches that no subject exceeds."""
        if self.within is None:
            return self.launches + self.repeats
        return self.most_launches if self.limit_seconds is None else self.most_launches_at_limit

    def batches(self, subjects: Sequence[Subject]) -> list[list[Subject]]:
        """Parts whose artefacts may lie on the disk at the same time."""
        return cut(subjects, size_bytes, most_bytes=_BATCH_BYTES)

    def groups(
        self,
        batch: Sequence[Subject],
        launch: int,
        *,
        in_order: bool = False,
        alone: bool = False,
    ) -> list[list[Subject]]:
        """The subjects that share a worker in a launch; others in the next, so that no group stays.

        Args:
            batch: Subjects that are measured in the same launches.
            launch: In which.
            in_order: Whether the first of the batch come in the first group.
            alone: Whether nobody shares one.
        """
        if alone and in_order:
            return [[subject] for subject in batch]
        if in_order:
            return cut(batch, size_bytes, most_bytes=_GROUP_BYTES, most_members=_ORDERED_MEMBERS)
        order = self._rng(launch, batch).permutation(len(batch))
        shuffled = [batch[i] for i in order]
        members = 1 if alone else _GROUP_MEMBERS
        return cut(shuffled, size_bytes, most_bytes=_GROUP_BYTES, most_members=members)

    def order(
        self, group: Sequence[Subject], launch: int, blocks: Mapping[Subject, int] | None = None
    ) -> list[tuple[Subject, int]]:
        """The blocks of a launch: in random order, each subject once before any again.

        Args:
            group: The subjects that share the worker.
            launch: Which.
            blocks: How many of each subject; as many as planned where nothing else is said.
        """
        rng = self._rng(launch, group)
        counts = [(blocks or {}).get(subject, self.blocks) for subject in group]
        return [
            (group[i], block)
            for block in range(max(counts))
            for i in rng.permutation(len(group))
            if block < counts[i]
        ]

    def _rng(self, launch: int, members: Sequence[Subject]) -> np.random.Generator:
        numbers = _numbers(members[0])
        return np.random.default_rng([self.seed, launch, *numbers])


def _numbers(subject: Subject) -> tuple[int, ...]:
    if isinstance(subject, ModelFile):
        return (int(subject.sha256, 16),)
    a = subject
    return a.layers, a.hidden, a.heads, a.qkv, a.feed_forward


def size_bytes(subject: Subject) -> int:
    """About the size of the file that is timed."""
    if isinstance(subject, ModelFile):
        return subject.size_bytes
    return _BYTES_EACH * subject.parameters(vocabulary_size=_TIMING_VOCABULARY)


def cut(
    subjects: Sequence[Subject],
    bytes_of: Callable[[Subject], float],
    *,
    most_bytes: float,
    most_members: int | None = None,
) -> list[list[Subject]]:
    """Cut into consecutive parts within both limits; one that is too large stands alone."""
    parts: list[list[Subject]] = []
    used = 0.0
    for subject in subjects:
        size = bytes_of(subject)
        if not parts or len(parts[-1]) == most_members or used + size > most_bytes:
            parts.append([])
            used = 0.0
        parts[-1].append(subject)
        used += size
    return parts


def shares_workers(scenario: str) -> bool:
    """Whether a worker may hold several models; else each has one of its own."""
    return scenario not in ("cold-start", "sustained")


def plan_of(scenario: str, *, duration_seconds: float | None = None) -> dict[str, Any]:
    """What a scenario changes in a `Plan`, by name.

    Args:
        scenario: One of `atb.devices.settings.SCENARIOS`.
        duration_seconds: Of a sustained run.
    """
    if scenario == "sustained":
        blocks = math.ceil(duration_seconds or SUSTAINED_SECONDS)
        return {
            "launches": 1,
            "blocks": blocks,
            "block_seconds": 1.0,
            "repeats": 0,
            "wait_seconds": 0.0,
        }
    if scenario == "cold-start":
        return {"launches": _COLD_STARTS, "blocks": 1, "repeats": 0}
    if scenario == "throughput":
        return {"block_seconds": _THROUGHPUT_BLOCK_SECONDS, "repeats": 0}
    return {} if scenario == "hot-loop" else {"repeats": 0}
