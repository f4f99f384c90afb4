"""How a search scores its candidates, from the words of the command line."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from atb.commands.arguments.groups import Options, option
from atb.commands.arguments.options import (
    Bfloat16,
    HeldOutShards,
    ScoringTeacher,
    SentencePairsFile,
    SuperPLMFolder,
)
from atb.errors import InputError

if TYPE_CHECKING:
    from atb.models.superplm import SuperPLM
    from atb.search.scoring import Executor, Proxy


#: Proxies whose scores are forward passes alone, which may run beside one another.
_IN_THREADS = ("agreement", "distillation", "mlm")


def _usable_cpus() -> int:
    """CPUs that this process may run on."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


class ScoringOptions(Options, panel="Scoring"):
    """What scores candidates, and which processes compute it.

    Attributes:
        precision: Numeric precision in which slices are scored.
        sequence_length: Tokens to which rows of `task` and `finetune` are cut; None for the
            task's own number.
    """

    superplm: SuperPLMFolder = "mini"
    proxy: Literal["agreement", "distillation", "mlm", "task", "finetune"] | None = option(
        default=None,
        metavar="NAME",
        help="Score by agreement with the teacher on sentence pairs (`agreement`), a loss on text "
        "(`distillation`, `mlm`), or a task (`task`, `finetune`); by default by what the "
        "SuperPLM allows.",
    )
    pairs: SentencePairsFile = None
    elastic: list[Path] | None = option(
        default=None,
        metavar="DIR",
        help="Score `task` with this folder that `atb superplm finetune` wrote; repeatable.",
    )
    held_out: HeldOutShards = None
    teacher: ScoringTeacher = None
    task: str | None = option(
        default=None,
        metavar="TASK",
        help="Fine-tune each slice on a part of this task of GLUE or SQuAD, for `finetune`.",
    )
    data: str | None = option(
        default=None,
        metavar="DIR|hf:NAME",
        help="Read the rows of --task here, for `finetune`: a folder of its published files, "
        "or a dataset.",
    )
    bf16: Bfloat16 = False
    workers: str | None = option(
        default=None,
        metavar="N|ray",
        help="Score in this number of processes, or on a Ray cluster (ray, ray:auto, "
        "ray://HOST:PORT); by default in this process, on all its CPUs.",
    )
    precision: str = "fp32"
    sequence_length: int | None = None

    def make_proxy(self, loaded: SuperPLM | None = None) -> Proxy:
        """What scores in this process.

        Args:
            loaded: The SuperPLM, if it is loaded already.

        Raises:
            InputError: The SuperPLM lacks what it needs, or an option is of no use.
        """
        from atb.search.scoring import make_proxy

        return make_proxy(
            loaded or self.superplm,
            self.proxy,
            self.elastic or (),
            held_out=self.held_out,
            teacher=self.teacher,
            task=self.task,
            data=self.data,
            pairs=self.pairs,
            bf16=self.bf16,
            precision=self.precision,
            sequence_length=self.sequence_length,
        )

    def open_executor(self, proxy: Proxy) -> AbstractContextManager[Executor]:
        """What computes scores, closed at the end.

        Args:
            proxy: What `make_proxy` made.

        Raises:
            InputError: It is no number and no Ray.
        """
        from atb.search.scoring import LocalExecutor, ProcessExecutor, RayExecutor

        factory, text = partial(ScoringOptions.make_proxy, self), self.workers
        if text is None:
            at_once = self.precision == "fp32" and proxy.name in _IN_THREADS
            return closing(LocalExecutor(proxy, _usable_cpus() if at_once else 1))
        if text.isdecimal():
            return closing(ProcessExecutor(factory, int(text)))
        if text == "ray":
            return closing(RayExecutor(factory))
        if text.startswith("ray:"):
            address = text if text.startswith("ray://") else text[4:]
            return closing(RayExecutor(factory, address=address))
        raise InputError(
            f"--workers is {text!r}: give a number of processes, ray, ray:auto or ray://HOST:PORT."
        )
