"""The winner of a search is improved where that is asked for, scored on sentences, and exported."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atb.data.corpus import SentencePairs, TokenShards, held_out
from atb.data.tokenizer import Vocabulary, read_vocabulary, vocabulary_of
from atb.deploy.export import MANIFEST, export_model
from atb.deploy.model_card import extraction
from atb.errors import InputError
from atb.models import Stage
from atb.search import RESULT, Quality, SearchResult, write_result
from atb.search.scoring import as_deployed, superplm_sha256

if TYPE_CHECKING:
    from atb.models import Architecture
    from atb.models.superplm import SuperPLM
    from atb.training import Teacher
    from atb.training.one_shot import Agreement

#: Tokens at which sentences that a winner learns from are cut.
SENTENCE_TOKENS = 64


@dataclass(frozen=True, slots=True)
class Improvement:
    """How a winner is improved before it is handed over.

    Attributes:
        seconds: For how long it learns on.
        text: Sentences to learn from; those of the shipped sample when None.
    """

    seconds: float
    text: TokenShards | None = None

    def check(self, superplm: SuperPLM) -> None:
        """Refuse what would fail after the search.

        Raises:
            InputError: The SuperPLM has no projection or was fine-tuned on a task, or the text has
                too few sentences.
        """
        from atb.training.one_shot import check_sentences

        if self.text is not None:
            check_sentences(self.text)
        if superplm.config.projection_size is None or superplm.task_head is not None:
            raise InputError(
                "--improve needs a SuperPLM that tells vectors of sentences, with a projection and "
                "without a task: leave it out, or take another --superplm."
            )


@dataclass(frozen=True)
class _Handing:
    """What is handed over, from where."""

    result: SearchResult
    superplm: SuperPLM
    vocabulary: Vocabulary
    source: Path
    out: Path
    teacher: Teacher | None

    @property
    def architecture(self) -> Architecture:
        return self.result.winner.architecture

    def deployed(self, model: SuperPLM) -> SuperPLM:
        """As it computes in the precision of the search, where that can be told."""
        precision = self.result.conditions.settings.precision
        return as_deployed(model, "int8" if precision == "int8" else "fp32")

    def tells_sentences(self, pairs: SentencePairs | None) -> bool:
        """Whether the winner has vectors of sentences, and there are sentences in its words."""
        config, has_task = self.superplm.config, self.superplm.task_head is not None
        has_words = pairs is not None or self.vocabulary == read_vocabulary()
        return config.projection_size is not None and not has_task and has_words


def hand_over(
    result: SearchResult,
    superplm: SuperPLM,
    out: Path,
    *,
    source: Path,
    improvement: Improvement | None = None,
    pairs: SentencePairs | None = None,
    teacher: Teacher | None = None,
    teacher_seconds: float | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> SearchResult:
    """Write the model of a search's winner, and into `result.json` how good it is.

    The same call goes on where it was stopped, and does nothing where all is written.

    Args:
        result: The search.
        superplm: The SuperPLM whose slice has won.
        out: Folder of the search; the model is written to `model` in it.
        source: Folder of the SuperPLM, with its tokenizer and card.
        improvement: How the winner is improved; it is handed over as it is when None.
        pairs: Sentence pairs by which it is scored; the shipped ones when None, for models of
            their vocabulary.
        teacher: As for `AgreementScorer`.
        teacher_seconds: Latency of the whole SuperPLM, where it is known.
        progress: Called with the steps done, the steps in all, and a word.

    Returns:
        The result with the winner's quality.

    Raises:
        InputError: The SuperPLM tells no vectors of sentences and is to be improved, the text has
            too few sentences, or the folder cannot be written.
        RunError: What was written computes something else than torch, or the disk is full.
    """
    if improvement is not None:
        improvement.check(superplm)
    if _is_handed_over(result, out, improvement, pairs):
        return result
    handing = _Handing(result, superplm, vocabulary_of(source), source, out, teacher)
    if not handing.tells_sentences(pairs):
        _export(handing, superplm, None)
        return result
    model, quality = _scored(handing, pairs, improvement, progress)
    quality = replace(quality, teacher_seconds=teacher_seconds)
    _export(handing, model, quality)
    result = replace(result, quality=quality)
    write_result(result, out / RESULT)
    return result


def _scored(
    handing: _Handing,
    pairs: SentencePairs | None,
    improvement: Improvement | None,
    progress: Callable[[int, int, str], None] | None,
) -> tuple[SuperPLM, Quality]:
    """What is handed over, improved where that is asked for, and how good it is."""
    from atb.training.one_shot import AgreementScorer

    model, shape = handing.superplm, handing.architecture
    scorer = AgreementScorer(
        handing.deployed(model), handing.vocabulary, pairs, teacher=handing.teacher
    )
    found = scorer.score(shape)
    told = scorer.teacher_description, scorer.pairs.name, len(scorer.pairs)
    if improvement is None:
        return model, Quality(*told, **_figures(found))
    model = _improved(handing, improvement, progress)
    figures = _figures(scorer.score(shape, handing.deployed(model)))
    before = round(found.ranking, 5)
    return model, Quality(
        *told, **figures, improved_seconds=improvement.seconds, slice_ranking=before
    )


def _is_handed_over(
    result: SearchResult, out: Path, improvement: Improvement | None, pairs: SentencePairs | None
) -> bool:
    known, seconds = result.quality, 0.0 if improvement is None else improvement.seconds
    return (
        known is not None
        and known.improved_seconds == seconds
        and (pairs is None or known.pairs == pairs.name)
        and (out / "model" / MANIFEST).is_file()
    )


def _figures(found: Agreement) -> dict[str, Any]:
    return {
        name: None if value is None else round(value, 5) for name, value in asdict(found).items()
    }


def _improved(
    handing: _Handing,
    improvement: Improvement,
    progress: Callable[[int, int, str], None] | None,
) -> SuperPLM:
    """The winner after further training."""
    from atb.training import Teacher as AnyTeacher
    from atb.training.one_shot import improve, score_teacher, slice_alone

    superplm, result = handing.superplm, handing.result
    text = improvement.text or held_out(
        SENTENCE_TOKENS, vocabulary=handing.vocabulary, single_sentences=True
    )
    told = f"{result.request}:{improvement.seconds}:{text.sha256}"
    digest = hashlib.sha256(told.encode()).hexdigest()
    teacher = handing.teacher or score_teacher(superplm).teacher or AnyTeacher.of(superplm)
    return improve(
        slice_alone(superplm, handing.architecture),
        text,
        teacher,
        handing.out / "improvement" / digest[:12],
        seconds=improvement.seconds,
        seed=result.seed,
        progress=progress,
    )


def _export(handing: _Handing, model: SuperPLM, quality: Quality | None) -> None:
    """Write the model's folder."""
    superplm, result = handing.superplm, replace(handing.result, quality=quality)
    history: tuple[Stage, ...] | None = None
    if quality is not None and quality.improved_seconds:
        facts = {
            "teacher": quality.teacher,
            "seconds": quality.improved_seconds,
            "ranking_before": quality.slice_ranking,
            "ranking": quality.ranking,
        }
        digest = superplm_sha256(superplm)
        cut = extraction(superplm.architecture, digest, handing.source, result)
        history = (cut, Stage("improve", facts))
    export_model(
        model,
        handing.architecture,
        handing.out / "model",
        result=result,
        source=handing.source,
        history=history,
    )
