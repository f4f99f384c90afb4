"""The proxy `task`: slices of SuperPLMs that were fine-tuned on tasks, all slices together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from atb.errors import InputError
from atb.models import Architecture
from atb.search.scoring.proxy import Losses, proxy_key, superplm_sha256


class TaskProxy(Losses):
    """How well a slice does tasks after elastic fine-tuning: minus the mean of its losses.

    Each task has a SuperPLM of its own, made by `atb superplm finetune` from the one that is
    searched; slices are scored on rows that none of them has learnt from.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        *,
        bf16: bool = False,
        precision: str = "fp32",
        sequence_length: int | None = None,
    ) -> None:
        """Load the SuperPLMs and their rows.

        Args:
            folders: What elastic fine-tuning made.
            bf16: Whether matrix products run in bfloat16.
            precision: In which slices run.
            sequence_length: Tokens to which rows are cut, where that is less than what the SuperPLM
                was fine-tuned with.

        Raises:
            InputError: None is given, the rows are gone, or it is a task without classes or numbers
                to compare by loss (questions).
        """
        from atb.models.superplm import SuperPLM
        from atb.search.scoring.int8_slices import as_deployed
        from atb.training.finetuning import elastic_scorer

        if not folders:
            raise InputError("--proxy task needs --elastic DIR, made by `atb superplm finetune`.")
        superplms = [SuperPLM.load(folder) for folder in folders]
        scorers = [
            elastic_scorer(
                as_deployed(superplm, precision), folder, bf16=bf16, sequence_length=sequence_length
            )
            for superplm, folder in zip(superplms, folders, strict=True)
        ]
        for superplm, folder in zip(superplms, folders, strict=True):
            if superplm.task_head is None or superplm.task_head[0] != "classification":
                raise InputError(f"{folder} answers questions: give tasks of GLUE.")

        both = [scorer.parts() for scorer in scorers]

        def sums(architecture: Architecture, rough: bool) -> npt.NDArray[np.float64]:
            """Of each task the sum of losses and the rows: [2 * tasks]."""
            found: list[float] = []
            for first, rest in both:
                part = first if rough else rest
                rows = 0 if part is None else len(part)
                found += [rows * part.score(architecture)["loss"] if part else 0.0, rows]
            return np.array(found)

        parts = [
            f"{superplm_sha256(superplm)}:{scorer.rows_sha256}"
            for superplm, scorer in zip(superplms, scorers, strict=True)
        ]
        super().__init__(
            "task",
            proxy_key(["task", *parts], precision=precision),
            sums,
            lambda sums: float(np.mean(sums[::2] / sums[1::2])),
            {"tasks": ", ".join(scorer.task_name for scorer in scorers)},
        )
