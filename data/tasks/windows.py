"""Windows over long paragraphs behind their questions, cut by the tokenizer itself."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from atb.data.tasks.tasks import Feature
from atb.errors import InputError

# Tokens from one window over a long paragraph to the next, and of the longest question.
_WINDOW_STEP, _LONGEST_QUESTION = 128, 64
# Pairs that are tokenized at once: enough for speed, few enough for memory.
_AT_ONCE = 1000


def windows_of(
    questions: Sequence[str], contexts: Sequence[str], tokenizer: Any, sequence_length: int
) -> list[list[Feature]]:
    """For each question the windows over its paragraph, in the tokenizer's layout of a pair.

    A window begins 128 tokens behind the one before it, or half a window where that is less, so
    that each token is in one of them at least.

    Args:
        questions: Texts of the questions; each is cut to 64 tokens.
        contexts: Texts of their paragraphs, in the same order.
        tokenizer: A fast tokenizer of transformers.
        sequence_length: Most tokens of a window, the question's and special ones included.

    Returns:
        Of each window what the tokenizer gives a model (`input_ids` and the like, [T]), and
        `spans` [T, 2]: characters of the paragraph from and to, -1 where a token is not of it.

    Raises:
        InputError: The sequence length leaves no room for a paragraph.
    """
    special = tokenizer.num_special_tokens_to_add(pair=True)
    if sequence_length <= _LONGEST_QUESTION + special:
        raise InputError(
            f"A sequence length of {sequence_length} leaves no room beside a question of "
            f"{_LONGEST_QUESTION} tokens and {special} special ones: give 384."
        )
    if not questions:
        return []
    cut, lengths = _cut_questions(questions, tokenizer)
    by_length = defaultdict(list)
    for number, length in enumerate(lengths):
        by_length[length].append(number)
    found: list[list[Feature]] = [[] for _ in questions]
    for length, numbers in by_length.items():
        room = sequence_length - special - length
        for start in range(0, len(numbers), _AT_ONCE):
            part = numbers[start : start + _AT_ONCE]
            encoded = tokenizer(
                [cut[number] for number in part],
                [contexts[number] for number in part],
                truncation="only_second",
                max_length=sequence_length,
                stride=room - min(_WINDOW_STEP, (room + 1) // 2),  # tokens that two windows share
                return_overflowing_tokens=True,
                return_offsets_mapping=True,
            )
            for place, feature in _features(encoded, tokenizer.model_input_names):
                found[part[place]].append(feature)
    return found


def _cut_questions(questions: Sequence[str], tokenizer: Any) -> tuple[list[str], list[int]]:
    """Questions up to the longest that is kept, and their numbers of tokens."""
    plain = {"add_special_tokens": False, "return_offsets_mapping": True, "verbose": False}
    offsets = tokenizer(list(questions), **plain)["offset_mapping"]
    cut = list(questions)
    for number, spans in enumerate(offsets):
        while len(spans) > _LONGEST_QUESTION:
            # a character may be several tokens, so that less than the token is cut off
            end = min(spans[_LONGEST_QUESTION][0], len(cut[number]) - 1)
            cut[number] = cut[number][:end]
            spans = tokenizer(cut[number], **plain)["offset_mapping"]  # noqa: PLW2901
        offsets[number] = spans
    return cut, [len(spans) for spans in offsets]


def _features(encoded: Any, names: Sequence[str]) -> Iterator[tuple[int, Feature]]:
    """The windows of some pairs, each with the place of its pair."""
    for row, place in enumerate(encoded["overflow_to_sample_mapping"]):
        feature: Feature = {
            name: np.array(encoded[name][row], np.int32) for name in names if name in encoded
        }
        spans = np.array(encoded["offset_mapping"][row], np.int32).reshape(-1, 2)
        spans[[part != 1 for part in encoded.sequence_ids(row)]] = -1
        yield place, {**feature, "spans": spans}


def set_positions(
    windows: Sequence[Feature], answers: Sequence[Mapping[str, Any]], characters: int
) -> None:
    """First and last token of the first answer; `[CLS]` where it is not wholly in a window.

    Args:
        windows: Those of one question, in their order.
        answers: Each with its `text` and `start`; none for an unanswerable question.
        characters: Length of the paragraph.
    """
    for number, window in enumerate(windows):
        window["start_positions"] = window["end_positions"] = 0
        if not answers:
            continue
        first = answers[0]["start"]
        last = first + len(answers[0]["text"])
        spans = window["spans"]
        of_text = spans[spans[:, 0] >= 0]
        inside = np.flatnonzero((spans[:, 1] > first) & (spans[:, 0] < last) & (spans[:, 0] >= 0))
        # a paragraph may begin and end with characters that are in no token
        begins = 0 if number == 0 else of_text[0, 0]
        ends = characters if number == len(windows) - 1 else of_text[-1, 1]
        if len(inside) and begins <= first and last <= ends:
            window["start_positions"], window["end_positions"] = int(inside[0]), int(inside[-1])
