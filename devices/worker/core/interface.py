"""What stands between the core of the worker and a runner: `ModelFile` goes in, `Model` comes out.

A runner is the file of one runtime. It names its model classes in `RUNTIMES`, by runtime:

    RUNTIMES: dict[str, ModelClass] = {"toy": ToyModel}

It is sent to devices together with the core, so that it needs the standard library, numpy and the
runtime's library, and imports nothing of this package but for type checkers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy.typing as npt

#: What a model is run on, by the names of its inputs.
Arrays = dict[str, npt.NDArray[Any]]
#: An input of a model: its name, its type such as `tensor(int64)`, and its shape. A free axis is a
#: name, or None.
Input = tuple[str, str, list[Any]]
#: What an operator took: its kind, its name, microseconds in all, and how often it ran.
Operator = tuple[str, str, float, int]


class WorkerError(Exception):
    """A request that cannot be done, with its cause."""

    def __init__(self, cause: str, detail: str) -> None:
        super().__init__(detail)
        self.cause = cause


@dataclass(frozen=True)
class ModelFile:
    """What a runner is handed to load.

    Attributes:
        path: The model's file on the device.
        settings: The fields of `RunSettings`.
    """

    path: str
    settings: Mapping[str, Any]

    def failure(self, detail: str, cause: str = "load-error") -> WorkerError:
        """What a runner raises where it cannot do what it is asked for.

        Args:
            detail: One sentence that says why.
            cause: One of `LaunchFailure.CAUSES`.
        """
        return WorkerError(cause, detail)


class Model(Protocol):
    """A loaded model that can be run again and again, by several threads at the same time.

    One whose runtime has a profiler also has `operators(iterations) -> list[Operator]`.
    """

    @property
    def builds(self) -> Mapping[str, str]:
        """Versions of the libraries that run it, by name."""

    @property
    def providers(self) -> tuple[str, ...]:
        """What really runs it, as the library reports; asked for after its first run."""

    @property
    def vocabulary_size(self) -> Any:
        """How many token ids it says it knows, as a number or a text; None if it does not say."""

    @property
    def inputs(self) -> Sequence[Input] | None:
        """What a model from anywhere takes; None for one that takes what our graphs take.

        Our graphs take `input_ids`, `attention_mask` and `token_type_ids`, int64 [batch, sequence].
        A model from anywhere may be fed again, with fewer token ids.
        """

    def feed(self, arrays: Arrays) -> None:
        """Take the arrays that all later runs compute on, and prepare for their shapes."""

    def __call__(self) -> Any:
        """Run one inference; its outputs, whatever they are, the last hidden state first."""


class ModelClass(Protocol):
    """What a runner names in `RUNTIMES`, by runtime: a class whose instances are models.

    It may have `environment: dict[str, str]`: variables that the library reads as it is imported.
    """

    @property
    def library(self) -> str:
        """The module that is imported before a model is loaded."""

    def __call__(self, file: ModelFile) -> Model:
        """Load a model; any exception is a load error."""
