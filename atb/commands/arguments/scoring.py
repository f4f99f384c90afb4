"""How a search scores its candidates, from the words of the command line."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from atb.errors import InputError

if TYPE_CHECKING:
    from atb.models.superplm import SuperPLM
    from atb.search.scoring import Executor, Proxy, ProxyName

__all__ = ["Scoring"]


@dataclass(frozen=True)
class Scoring:
    """What scores, and who computes it.

    Attributes:
        superplm: Name or folder.
        name: Of the proxy; None for what the SuperPLM allows.
        elastic: Folders of `--proxy task`.
        held_out: Token shards to score on, of `--held-out`; None for the shipped sample.
        teacher: Where the teacher of `distillation` is, of `--teacher`; None where the card says.
        task: Of `--proxy finetune`: name of the task.
        data: Of `--proxy finetune`: where the task's rows are.
        bf16: Of `--proxy task` and `finetune`: matrix products in bfloat16.
        where: Processes, or a Ray cluster, as `--workers` says it; None for this process.
        precision: In which slices run.
        sequence_length: Of `--proxy task` and `finetune`: tokens to which rows are cut.
    """

    superplm: str
    name: ProxyName | None = None
    elastic: tuple[Path, ...] = ()
    held_out: Path | None = None
    teacher: str | None = None
    task: str | None = None
    data: str | None = None
    bf16: bool = False
    where: str | None = None
    precision: str = "fp32"
    sequence_length: int | None = None

    def proxy(self, loaded: SuperPLM | None = None) -> Proxy:
        """Scores in this process.

        Args:
            loaded: The SuperPLM, where it was loaded already.

        Raises:
            InputError: The SuperPLM lacks what it needs, or an option is of no use.
        """
        from atb.search.scoring import make_proxy

        return make_proxy(
            loaded or self.superplm,
            self.name,
            self.elastic,
            held_out=self.held_out,
            teacher=self.teacher,
            task=self.task,
            data=self.data,
            bf16=self.bf16,
            precision=self.precision,
            sequence_length=self.sequence_length,
        )

    @contextlib.contextmanager
    def executor(self) -> Iterator[Executor | None]:
        """Who computes scores, while it is needed; None for this process.

        Raises:
            InputError: It is no number and no Ray.
        """
        made = self._make_executor()
        try:
            yield made
        finally:
            if made is not None:
                made.close()

    def _make_executor(self) -> Executor | None:
        from atb.search.scoring import ProcessExecutor, RayExecutor

        factory, text = partial(Scoring.proxy, self), self.where
        if text is None:
            return None
        if text.isdecimal():
            return ProcessExecutor(factory, int(text))
        if text == "ray":
            return RayExecutor(factory)
        if text.startswith("ray:"):
            return RayExecutor(factory, address=text if text.startswith("ray://") else text[4:])
        raise InputError(
            f"--workers is {text!r}: give a number of processes, ray, ray:auto or ray://HOST:PORT."
        )
