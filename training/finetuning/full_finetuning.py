"""The specification's way to score a candidate: extract it and fine-tune it fully (section 1.10).

It takes hours where elastic fine-tuning (elastic.py) takes seconds. Each candidate starts from
the SuperPLM's weights, as there; the score is that of the best weights on held-out training rows,
so that the development split stays unread.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from atb.data.tasks import Task
from atb.data.tokenizer import Vocabulary, tokenizer_of
from atb.models import Architecture
from atb.models.superplm import SuperPLM, save_folder
from atb.training.finetuning.finetuning import fine_tune
from atb.training.finetuning.settings import FineTuning


class FullFineTuning:
    """Scores slices by fine-tuning each of them; what is done is kept and not done again."""

    def __init__(
        self,
        superplm: SuperPLM,
        vocabulary: Vocabulary,
        task: Task,
        source: str,
        settings: FineTuning,
        *,
        folder: Path,
        progress: Callable[[int, int, str], None] | None = None,
    ) -> None:
        """Nothing is computed yet.

        Args:
            superplm: The SuperPLM whose slices are scored.
            vocabulary: Vocabulary of the SuperPLM.
            task: The task to learn.
            source: Where the task's rows are; see `Task.read`.
            settings: Settings with which each slice is fine-tuned.
            folder: Folder of the fine-tuned models, one below it for each architecture.
            progress: Called with steps done and all steps of the present slice, and its scores.
        """
        self._superplm, self._tokenizer = superplm, tokenizer_of(vocabulary)
        self._task, self._source, self._settings = task, source, settings
        self._folder, self._progress = folder, progress

    def score(self, architecture: Architecture) -> dict[str, float]:
        """The task's metric of a slice.

        Raises:
            InputError: The folder holds a run with other settings.
            RunError: The disk is full.
        """
        start, out = (
            self._folder / str(architecture) / name for name in ("start", self._task.name)
        )
        if not (start / "config.json").is_file():
            save_folder(self._superplm.extract(architecture), self._tokenizer, start)
        found = fine_tune(
            str(start), self._task, self._source, self._settings, out, progress=self._progress
        )
        return {found.metric: found.held_out}
