"""Scores of slices on held-out text by forward passes alone: the cheap proxies of the search."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from atb.data.corpus import TokenShards, held_out, mask_tokens
from atb.data.tokenizer import find_tokenizer, vocabulary_of
from atb.errors import InputError
from atb.models import Architecture
from atb.models.superplm import SuperPLM
from atb.training import Batch, DistillationTarget, Teacher, mean_pooled, vocabulary_sha256_of
from atb.training.one_shot.scoring_teacher import ScoreTeacher, score_teacher

#: `distillation`: how far a slice is from its teacher; `mlm`: masked-LM loss.
Proxy = Literal["distillation", "mlm"]
#: Tokens of the longest sequence of the shipped sample, where there are so many positions.
_SAMPLE_LENGTH = 128
#: Every so-many-th sequence or row, by length or as they come, makes a rough score.
ROUGH_EVERY = 8


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread, and as before afterwards.

    The matrices are small: where another process holds a core, two threads that wait for each
    other were seen to take seven times as long as one. And the last bits stay the same everywhere.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def held_out_text(
    superplm: SuperPLM, folder: Path | None = None, *, limit: int | None = None
) -> TokenShards:
    """Text to score slices on: token shards, or the shipped English sample.

    Args:
        superplm: The SuperPLM to be scored; its vocabulary and positions must fit.
        folder: Folder of token shards; None for the shipped sample.
        limit: Take only this many sequences, from everywhere in the text; all when None.

    Raises:
        BadFile: There are no shards, or damaged ones; or the SuperPLM's folder has no tokenizer.
        InputError: The shipped sample is wanted and the SuperPLM has another vocabulary.
    """
    if folder is not None:
        text = TokenShards.open(folder)
        return text if limit is None else text.spread(limit)
    if superplm.folder is not None:
        vocabulary_of(superplm.folder)  # refuses a folder without a tokenizer
    sample = held_out(min(_SAMPLE_LENGTH, superplm.config.max_position_embeddings), limit)
    if not _has_vocabulary_of(superplm, sample):
        raise InputError(
            "The shipped sample is English in BERT's words and this SuperPLM has a vocabulary of "
            "its own: give text of its language with --held-out SHARDS, made by "
            f"{_preparing(superplm)}."
        )
    return sample


def _has_vocabulary_of(superplm: SuperPLM, text: TokenShards) -> bool:
    """Whether a text was made with a SuperPLM's vocabulary, as far as that is known."""
    same = vocabulary_sha256_of(superplm) in (None, text.vocabulary_sha256)
    return same and text.vocabulary_size <= superplm.config.vocab_size


def _preparing(superplm: SuperPLM) -> str:
    folder = superplm.folder
    has_words = folder is not None and find_tokenizer(folder) is not None
    own = f" --vocabulary {folder}" if has_words else ""
    return f"`atb data prepare TEXT{own} --out SHARDS`"


class HeldOut:
    """Held-out text made ready once, on which any number of slices are scored.

    Attributes:
        teacher: Teacher whose output is the target of distillation; None for the whole SuperPLM.
        teacher_description: The same in words; empty for `mlm`.
    """

    def __init__(
        self,
        superplm: SuperPLM,
        text: TokenShards,
        proxy: Proxy = "distillation",
        *,
        teacher: Teacher | None = None,
        batch_size: int = 16,
    ) -> None:
        """Cut the text into batches and run the teacher over them.

        Args:
            superplm: The SuperPLM that holds the slices.
            text: Held-out text; all of it is used.
            proxy: Loss to score by.
            teacher: For `distillation`; by default the one that the SuperPLM learnt from where
                `score_teacher` finds it, else the whole SuperPLM.
            batch_size: Sequences in one forward pass.

        Raises:
            InputError: The SuperPLM lacks the head that the proxy needs, or the text or the teacher
                is none for it.
        """
        check_scoring(superplm, text, proxy)
        self.teacher, self.teacher_description, asked = None, "", None
        if proxy == "distillation":
            found = score_teacher(superplm) if teacher is None else ScoreTeacher.given(teacher)
            self.teacher, self.teacher_description = found.teacher, found.description
            asked = found.teacher or Teacher.of(superplm)
            _check_teacher(asked, superplm, text)
        self._superplm = superplm.eval()
        self._proxy = proxy
        # sequences of like length together, so that little is padding
        lengths = np.concatenate([shard.lengths for shard in text.shards])
        order = np.argsort(lengths, kind="stable")
        rough = np.zeros(len(order), dtype=np.bool_)
        rough[min(ROUGH_EVERY // 2, len(order) - 1) :: ROUGH_EVERY] = True
        device = next(superplm.parameters()).device
        self._parts: dict[bool, list[tuple[Batch, DistillationTarget | None]]] = {
            True: [],
            False: [],
        }
        for is_rough, rows in ((True, order[rough]), (False, order[~rough])):
            for start in range(0, len(rows), batch_size):
                batch = _batch(text, rows[start : start + batch_size], proxy, start).to(device)
                with one_thread():
                    target = None if asked is None else asked(batch)
                self._parts[is_rough].append((batch, target))

    def loss(self, architecture: Architecture) -> float:
        """The held-out loss of one slice, as `scores` tells it."""
        return self.scores(architecture)["loss"]

    @torch.no_grad()
    def scores(self, architecture: Architecture) -> dict[str, float]:
        """The held-out `loss` of one slice, and for `mlm` its `accuracy`.

        For `distillation` it is the squared error of the projected hidden states, relative to the
        teacher's mean square, plus one minus the cosine of the mean-pooled states; both are 0 for
        a slice that equals the teacher and near 1 for one that knows nothing. For `mlm` it is the
        mean cross entropy of the masked words, and the accuracy is how many of them are found.
        """
        first, first_weight, second, second_weight = (
            self.sums(architecture, rough=True) + self.sums(architecture, rough=False)
        ).tolist()
        if self._proxy == "mlm":
            return {"loss": first / first_weight, "accuracy": second / second_weight}
        return {"loss": self.loss_of([first, first_weight, second, second_weight])}

    @torch.no_grad()
    def sums(self, architecture: Architecture, *, rough: bool) -> npt.NDArray[np.float64]:
        """What losses are made of, over an eighth of the sequences or over the rest: [4]."""
        with one_thread():
            found = [self._sums(architecture, *prepared) for prepared in self._parts[rough]]
        return np.sum(found, axis=0) if found else np.zeros(4)

    def loss_of(self, sums: Sequence[float]) -> float:
        """The loss that sums over some sequences make."""
        first, first_weight, second, second_weight = sums
        loss = first / first_weight
        return loss if self._proxy == "mlm" else loss + second / second_weight

    def _sums(
        self, architecture: Architecture, batch: Batch, target: DistillationTarget | None
    ) -> list[float]:
        """Two sums over a batch and what each is to be divided by, [4]."""
        hidden = self._superplm.hidden_states(architecture, batch.input_ids, batch.attention_mask)
        if target is None:
            assert batch.labels is not None
            positions = batch.labels >= 0
            logits = self._superplm.mlm_logits(architecture, hidden, positions)
            wanted = batch.labels[positions]
            entropy = functional.cross_entropy(logits, wanted, reduction="sum")
            right = (logits.argmax(-1) == wanted).sum()
            count = len(wanted)
            return [float(entropy), count, float(right), count]
        assert target.hidden is not None
        projected = self._superplm.projected(architecture, hidden)
        mask = batch.attention_mask[..., None]
        cosine = functional.cosine_similarity(
            mean_pooled(projected, batch.attention_mask),
            mean_pooled(target.hidden, batch.attention_mask),
        )
        return [
            float(((projected - target.hidden) * mask).square().sum()),
            float((target.hidden * mask).square().sum()),
            float((1 - cosine).clamp(min=0).sum()),
            len(cosine),
        ]


def evaluate(
    superplm: SuperPLM,
    architectures: Sequence[Architecture],
    text: TokenShards,
    *,
    proxy: Proxy = "distillation",
    teacher: Teacher | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[float]:
    """Held-out losses of slices; smaller is better.

    Args:
        superplm: The SuperPLM that holds the slices.
        architectures: Shapes of the slices.
        text: Text that it has not learnt from.
        proxy: Loss to score by.
        teacher: As for `HeldOut`.
        progress: Called with slices done and all slices.
    """
    for architecture in architectures:
        superplm.check(architecture)
    scorer = HeldOut(superplm, text, proxy, teacher=teacher)
    losses = []
    for architecture in architectures:
        losses.append(scorer.loss(architecture))
        if progress is not None:
            progress(len(losses), len(architectures))
    return losses


def check_scoring(superplm: SuperPLM, text: TokenShards, proxy: Proxy) -> None:
    """Refuse what slices cannot be scored by; no weights are looked at.

    Raises:
        InputError: The SuperPLM lacks the head that the proxy needs, or the text is of other words
            or longer than it reads.
    """
    if proxy == "mlm" and superplm.cls is None:
        raise InputError("This SuperPLM has no masked-LM head: score its slices by distillation.")
    if proxy == "distillation" and superplm.config.projection_size is None:
        raise InputError("This SuperPLM has no projection: score its slices by masked-LM loss.")
    if not _has_vocabulary_of(superplm, text):
        raise InputError(
            f"The held-out text was prepared with another vocabulary ({text.vocabulary_size:,} "
            f"words) than the SuperPLM's: prepare it by {_preparing(superplm)}."
        )
    longest = max(int(shard.lengths.max()) for shard in text.shards)
    positions = superplm.config.max_position_embeddings
    if longest > positions:
        raise InputError(
            f"The held-out text has sequences of {longest} tokens and the SuperPLM {positions} "
            f"positions: prepare it with --sequence-length {positions}."
        )


def _check_teacher(teacher: Teacher, superplm: SuperPLM, text: TokenShards) -> None:
    """Refuse a teacher whose states are not those that slices project to."""
    if teacher.hidden_size != superplm.config.projection_size:
        raise InputError(
            f"The teacher is {teacher.hidden_size} wide and the SuperPLM projects to "
            f"{superplm.config.projection_size}: give the teacher that it learnt from."
        )
    has_words = teacher.vocabulary_sha256 in (None, text.vocabulary_sha256)
    if not has_words or text.vocabulary_size > teacher.vocabulary_size:
        raise InputError(
            "The teacher has another vocabulary than the held-out text: give the teacher that the "
            "SuperPLM learnt from, and text of their words."
        )
    longest = max(int(shard.lengths.max()) for shard in text.shards)
    if longest > teacher.positions:
        raise InputError(
            f"The held-out text has sequences of {longest} tokens and the teacher "
            f"{teacher.positions} positions: prepare it with --sequence-length "
            f"{teacher.positions}."
        )


def _batch(
    text: TokenShards, rows: np.ndarray[tuple[int], np.dtype[np.int64]], proxy: Proxy, seed: int
) -> Batch:
    ids, mask = text.batch(rows)
    labels = None
    if proxy == "mlm":  # the same words are hidden from every slice
        ids, masked = mask_tokens(
            ids,
            mask,
            np.random.default_rng([0, seed]),
            vocabulary_size=text.vocabulary_size,
            special=text.special,
        )
        labels = torch.from_numpy(masked)
    return Batch(torch.from_numpy(ids), torch.from_numpy(mask), labels)
