"""Answers to questions: the best span by a model's logits, and SQuAD's official scores."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["answer_scores", "best_answers"]

# Of the best starts and ends, how many are combined; tokens of the longest answer (BERT's).
_BEST, _LONGEST_ANSWER = 20, 30
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = set(string.punctuation)

_Logits = npt.NDArray[np.float32]


def best_answers(
    contexts: Sequence[str],
    windows: Sequence[tuple[int, npt.NDArray[np.integer[Any]]]],
    start_logits: _Logits,
    end_logits: _Logits,
    *,
    may_be_empty: bool,
) -> list[str]:
    """For each paragraph, the text of the span with the largest sum of logits.

    Args:
        contexts: Texts of the paragraphs.
        windows: For each window the number of its paragraph, and [T, 2] the first character of each
            token and the one behind its last, -1 where a token is not of the paragraph.
        start_logits: Logits of an answer's first token, [windows, longest].
        end_logits: Logits of an answer's last token, [windows, longest].
        may_be_empty: Whether the answer is empty where `[CLS]` scores above every span: in the
            window where it scores least, since another window may hold the answer.
    """
    best: list[tuple[float, str]] = [(-np.inf, "")] * len(contexts)
    nothing = np.full(len(contexts), np.inf)
    for (number, spans), starts, ends in zip(windows, start_logits, end_logits, strict=True):
        nothing[number] = min(nothing[number], float(starts[0] + ends[0]))
        found = _best_span(spans, starts[: len(spans)], ends[: len(spans)])
        if found is not None and found[0] > best[number][0]:
            score, first, last = found
            # tokens of some vocabularies begin with the white space before a word
            text = contexts[number][spans[first, 0] : spans[last, 1]].strip()
            best[number] = (score, text)
    return [
        "" if may_be_empty and nothing[number] > score else text
        for number, (score, text) in enumerate(best)
    ]


def _best_span(
    spans: npt.NDArray[np.integer[Any]], starts: _Logits, ends: _Logits
) -> tuple[float, int, int] | None:
    """Score, first and last token of the best span in a window."""
    is_text = spans[:, 0] >= 0
    first = np.argsort(-starts, kind="stable")[:_BEST]
    last = np.argsort(-ends, kind="stable")[:_BEST]
    first, last = first[is_text[first]], last[is_text[last]]
    length = last[None, :] - first[:, None] + 1
    scores = starts[first][:, None] + ends[last][None, :]
    scores = np.where((length >= 1) & (length <= _LONGEST_ANSWER), scores, -np.inf)
    if not scores.size or not np.isfinite(scores.max()):
        return None
    row, column = np.unravel_index(int(scores.argmax()), scores.shape)
    return float(scores[row, column]), int(first[row]), int(last[column])


def answer_scores(
    wanted: Sequence[Sequence[str]], found: Sequence[str], *, unanswerable: bool
) -> dict[str, float]:
    """Exact match and F1 as the official scripts of SQuAD 1.1 and 2.0 compute them.

    Args:
        wanted: All right answers of each question; none for an unanswerable one.
        found: The answer that a model gave to each question.
        unanswerable: Whether the rules of 2.0 hold; scores of questions with and without an
            answer are then told apart too.

    Returns:
        `exact` and `f1` as fractions, and for 2.0 `answered_f1`, `unanswered_f1` and the like,
        where there are such questions.
    """
    exact, f1 = [], []
    for answers, answer in zip(wanted, found, strict=True):
        # 2.0 leaves out answers that are nothing once normalised, and wants "" where none is left
        kept = [text for text in answers if _normalised(text)] if unanswerable else list(answers)
        right = kept or ([""] if unanswerable else [])
        exact.append(max((_exact(text, answer) for text in right), default=0.0))
        f1.append(max((_f1(text, answer, empty=unanswerable) for text in right), default=0.0))
    scores = {"f1": _mean(f1), "exact": _mean(exact)}
    if unanswerable:
        has_answer = np.array([bool(answers) for answers in wanted])
        for name, chosen in (("answered", has_answer), ("unanswered", ~has_answer)):
            if chosen.any():
                scores[f"{name}_f1"] = _mean(np.array(f1)[chosen])
                scores[f"{name}_exact"] = _mean(np.array(exact)[chosen])
    return scores


def _mean(values: Sequence[float] | npt.NDArray[Any]) -> float:
    return float(np.mean(values)) if len(values) else 0.0


def _normalised(text: str) -> str:
    """Lower case, no punctuation, no articles, single spaces."""
    kept = "".join(letter for letter in text.lower() if letter not in _PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", kept).split())


def _exact(wanted: str, found: str) -> float:
    return float(_normalised(wanted) == _normalised(found))


def _f1(wanted: str, found: str, *, empty: bool) -> float:
    """Overlap of words; where either side is nothing, 2.0 asks that both are."""
    right, given = _normalised(wanted).split(), _normalised(found).split()
    if empty and not (right and given):
        return float(right == given)
    common = sum((Counter(right) & Counter(given)).values())
    if not common:
        return 0.0
    precision, recall = common / len(given), common / len(right)
    return 2 * precision * recall / (precision + recall)
