"""Windows over long paragraphs, with tokenizers of several layouts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from foreign_encoders import byte_level_tokenizer

from atb.data.tasks.windows import set_positions, windows_of
from atb.data.tokenizer.tokenizer_files import read_vocabulary
from atb.data.tokenizer.vocabulary import tokenizer_of
from atb.errors import InputError

TOKENIZERS = {
    "bert": lambda: tokenizer_of(read_vocabulary()),
    "roberta": byte_level_tokenizer,
}


@pytest.fixture(scope="module", params=TOKENIZERS)
def tokenizer(request: pytest.FixtureRequest) -> Any:
    return TOKENIZERS[request.param]()


@pytest.mark.parametrize("sequence_length", [70, 101, 200, 384])
@pytest.mark.parametrize("question", ["", "Who lit the lamp?", "which " * 90, "\U0001f989" * 50])
def test_every_word_is_in_a_window_that_keeps_to_its_length(
    tokenizer: Any, sequence_length: int, question: str
) -> None:
    context = " ".join(f"word{number}" for number in range(300))
    (windows,) = windows_of([question], [context], tokenizer, sequence_length)
    seen = np.zeros(len(context), int)
    firsts = []
    for window in windows:
        assert len(window["input_ids"]) <= sequence_length
        assert {name: len(values) for name, values in window.items()} == {
            name: len(window["input_ids"]) for name in [*tokenizer.model_input_names, "spans"]
        }
        spans = window["spans"][window["spans"][:, 0] >= 0]
        firsts.append(spans[0, 0])
        for start, end in spans:
            seen[start:end] += 1
    assert all(seen[[letter != " " for letter in context]])
    assert firsts == sorted(firsts)


def test_a_window_is_what_the_tokenizer_makes_of_the_pair(tokenizer: Any) -> None:
    questions, contexts = ["Who waits?", "Where is it?"], ["A heron waits.", "It is by the lake."]
    found = windows_of(questions, contexts, tokenizer, 80)
    wanted = tokenizer(questions, contexts)
    for row, (window,) in enumerate(found):
        for name in tokenizer.model_input_names:
            assert list(window[name]) == wanted[name][row]


def test_windows_come_in_the_order_of_their_questions(tokenizer: Any) -> None:
    contexts = [f"{'the lamp burns ' * (40 * (n % 3))}item {n}" for n in range(6)]
    questions = [f"{'why ' * (n % 4)}?" for n in range(6)]
    found = windows_of(questions, contexts, tokenizer, 90)
    assert len({len(windows) for windows in found}) > 2
    for question, context, windows in zip(questions, contexts, found, strict=True):
        assert windows[-1]["spans"].max() == len(context)
        (alone,) = windows_of([question], [context], tokenizer, 90)
        assert [list(w["input_ids"]) for w in windows] == [list(w["input_ids"]) for w in alone]


def test_an_answer_is_pointed_at_in_the_windows_that_hold_it(tokenizer: Any) -> None:
    context = "\u200b" + " ".join(f"word{number}" for number in range(150)) + " the end\u200b"
    for text in ("\u200bword0", "word77 word78", "the end\u200b"):
        (windows,) = windows_of(["Where?"], [context], tokenizer, 90)
        first = context.index(text)
        set_positions(windows, [{"text": text, "start": first}], len(context))
        pointing = [window for window in windows if window["start_positions"]]
        assert pointing
        for window in pointing:
            spans = window["spans"]
            found = context[spans[window["start_positions"], 0] : spans[window["end_positions"], 1]]
            assert found.strip(" \u200b") == text.strip("\u200b")
        set_positions(windows, [], len(context))
        assert not any(window["start_positions"] for window in windows)


def test_a_sequence_without_room_is_refused(tokenizer: Any) -> None:
    special = tokenizer.num_special_tokens_to_add(pair=True)
    with pytest.raises(InputError, match=rf"64 tokens and {special} special ones: give 384"):
        windows_of(["Who?"], ["A fox."], tokenizer, 64 + special)
    assert windows_of([], [], tokenizer, 80) == []
