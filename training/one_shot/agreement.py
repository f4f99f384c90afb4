"""Agreement: how well a slice keeps what its teacher says of sentences.

Of two sentences a model tells by the cosine of their vectors how alike they are. A model that
orders pairs of sentences as its teacher does can stand in for it wherever vectors are compared:
in search, clustering, deduplication. That is Spearman's correlation between the cosines of both
over pairs that nothing was trained on, as STS tasks are scored by (Cer et al., SemEval-2017), with
the teacher in place of people.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from atb.data.corpus import SentencePairs, TokenShards
from atb.data.tokenizer import Vocabulary
from atb.errors import InputError
from atb.models import Architecture
from atb.models.superplm import SuperPLM
from atb.training import Batch, Student, Teacher
from atb.training.one_shot.evaluation import one_thread
from atb.training.one_shot.scoring_teacher import ScoreTeacher, score_teacher

#: Nearest sentences of each sentence that are looked up.
NEAREST = 10
#: Tokens at which a sentence is cut off.
_LONGEST = 128

#: Every so-many-th pair makes a rough score.
ROUGH_EVERY = 4

_Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Agreement:
    """How well a model keeps what its teacher says of sentences; 1 is all of it.

    Attributes:
        ranking: Spearman's correlation between its cosines of pairs and the teacher's.
        nearest: Share of the ten nearest sentences of each sentence, by the teacher, that are among
            the ten nearest by the model.
        scores: Spearman's correlation between its cosines and the scores that people gave the
            pairs; None where there are none.
        teacher_scores: The same of the teacher.
    """

    ranking: float
    nearest: float
    scores: float | None
    teacher_scores: float | None


class AgreementScorer:
    """Pairs of sentences made ready once, on which any number of slices are scored.

    Attributes:
        teacher: The teacher; None for the whole SuperPLM.
        teacher_description: The same in words.
        pairs: The pairs.
    """

    def __init__(
        self,
        superplm: SuperPLM,
        vocabulary: Vocabulary,
        pairs: SentencePairs | None = None,
        *,
        teacher: Teacher | None = None,
        batch_size: int = 64,
    ) -> None:
        """Cut the sentences into tokens and run the teacher over them.

        Args:
            superplm: The SuperPLM that holds the slices.
            vocabulary: Its vocabulary.
            pairs: The shipped ones by default.
            teacher: By default the one that the SuperPLM learnt from where `score_teacher` finds
                it, else the whole SuperPLM.
            batch_size: Sentences in one forward pass.

        Raises:
            InputError: The SuperPLM has no projection, or the teacher has another vocabulary.
        """
        if superplm.config.projection_size is None:
            raise InputError("This SuperPLM has no projection: it tells no vectors of sentences.")
        found = score_teacher(superplm) if teacher is None else ScoreTeacher.given(teacher)
        asked = found.teacher or Teacher.of(superplm)
        if asked.vocabulary_sha256 not in (None, vocabulary.sha256):
            raise InputError(
                "The teacher has another vocabulary than the SuperPLM: give the teacher that the "
                "SuperPLM learnt from."
            )
        self.pairs = pairs or SentencePairs.read()
        self.teacher, self.teacher_description = found.teacher, found.description
        self._superplm = superplm.eval()
        longest = min(_LONGEST, superplm.config.max_position_embeddings, asked.positions)
        text = self.pairs.tokens(vocabulary, longest)
        self.sha256 = text.sha256
        numbers = np.arange(len(self.pairs))
        rough = numbers % ROUGH_EVERY == 0
        self._parts = {
            is_rough: _Sentences.of(text, chosen, batch_size, next(superplm.parameters()).device)
            for is_rough, chosen in ((True, numbers[rough]), (False, numbers[~rough]))
        }
        self._wanted = {
            is_rough: part.vectors(asked.sentences) for is_rough, part in self._parts.items()
        }

    def score(self, architecture: Architecture, other: SuperPLM | None = None) -> Agreement:
        """All that is told of a slice, of this SuperPLM or of another one."""
        found = {
            is_rough: self._vectors(architecture, rough=is_rough, other=other)
            for is_rough in (True, False)
        }
        wanted_nearest, nearest = (
            _nearest(
                np.concatenate([part.reshape(-1, part.shape[-1]) for part in vectors.values()])
            )
            for vectors in (self._wanted, found)
        )
        numbers = np.concatenate([part.pairs for part in self._parts.values()])
        cosines, wanted = _cosines(*found.values()), _cosines(*self._wanted.values())
        graded = None if self.pairs.scores is None else np.array(self.pairs.scores)[numbers]
        return Agreement(
            _spearman(cosines, wanted),
            float((nearest & wanted_nearest).sum(1).mean() / NEAREST),
            None if graded is None else _spearman(cosines, graded),
            None if graded is None else _spearman(wanted, graded),
        )

    def cosines(self, architecture: Architecture, *, rough: bool) -> _Floats:
        """Of the two sentences of each pair, of a fourth of the pairs or of the rest, [n]."""
        return _cosines(self._vectors(architecture, rough=rough))

    def ranking(self, rough: _Floats, rest: _Floats | None = None) -> float:
        """`Agreement.ranking` by the cosines of a fourth of the pairs, or of all of them."""
        if rest is None:
            return _spearman(rough, _cosines(self._wanted[True]))
        return _spearman(np.concatenate([rough, rest]), _cosines(*self._wanted.values()))

    def _vectors(
        self, architecture: Architecture, *, rough: bool, other: SuperPLM | None = None
    ) -> _Floats:
        superplm = self._superplm if other is None else other.eval()

        def sentences(batch: Batch) -> torch.Tensor:
            output = superplm(architecture, batch.input_ids, batch.attention_mask)
            return Student(superplm, architecture, batch, output).sentences()

        return self._parts[rough].vectors(sentences)


@dataclass(frozen=True, slots=True)
class _Sentences:
    """The sentences of some pairs, in batches of like length, so that little is padding.

    Attributes:
        pairs: Numbers of the pairs, [n].
        order: Places of the batches' sentences among all first and then all second ones, [2 n].
        batches: The sentences.
    """

    pairs: npt.NDArray[np.int64]
    order: npt.NDArray[np.int64]
    batches: list[Batch]

    @classmethod
    def of(
        cls, text: TokenShards, pairs: npt.NDArray[np.int64], batch_size: int, device: torch.device
    ) -> _Sentences:
        rows = np.concatenate([pairs, pairs + len(text) // 2])
        order = np.argsort(text.lengths_of(rows), kind="stable")
        batches = []
        for start in range(0, len(rows), batch_size):
            ids, mask = text.batch(rows[order[start : start + batch_size]])
            batches.append(Batch(torch.from_numpy(ids), torch.from_numpy(mask)).to(device))
        return cls(pairs, order, batches)

    @torch.no_grad()
    def vectors(self, sentences: Callable[[Batch], torch.Tensor]) -> _Floats:
        """Vectors of length one: of all first sentences and of all second ones, [2, n, width]."""
        with one_thread():
            found = torch.cat([sentences(batch).float() for batch in self.batches])
        vectors = np.empty(found.shape, np.float32)
        vectors[self.order] = functional.normalize(found, dim=-1).cpu().numpy()
        return vectors.reshape(2, len(self.pairs), -1)


def _cosines(*parts: _Floats) -> _Floats:
    """Of the two sentences of each pair: [2, n, width] each to [n] of all."""
    return np.concatenate([(first * second).sum(1) for first, second in parts])


def _nearest(vectors: _Floats) -> npt.NDArray[np.bool_]:
    """Which sentences are the ten nearest of each but itself, [n, n]."""
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -np.inf)
    places = np.argpartition(-cosines, NEAREST, axis=1)[:, :NEAREST]
    nearest = np.zeros(cosines.shape, np.bool_)
    np.put_along_axis(nearest, places, values=True, axis=1)
    return nearest


def _spearman(one: npt.ArrayLike, other: npt.ArrayLike) -> float:
    from scipy.stats import spearmanr

    return float(spearmanr(one, other).statistic)
