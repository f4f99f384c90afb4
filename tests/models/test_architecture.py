"""Architectures: the text form, what cannot exist, and the golden counts of the paper's models."""

from __future__ import annotations

import pytest

from atb.errors import BadArchitecture
from atb.models.architecture import Architecture
from atb.models.published import PUBLISHED, resolve


def test_the_text_form_is_read_and_printed_alike() -> None:
    text = "L5-H564-A12-Q528-F1024"
    architecture = Architecture.parse(text)
    assert architecture == Architecture(5, 564, 12, 528, 1024)
    assert str(architecture) == text
    assert architecture.head_size == 44


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "not an architecture"),
        ("L4-H312", "not an architecture"),
        ("L4-H312-A12-Q312-F1200-X1", "not an architecture"),
        ("L-1-H312-A12-Q312-F1200", "not an architecture"),
        ("L0-H312-A12-Q312-F1200", "layers"),
        ("L4-H312-A0-Q312-F1200", "heads"),
        ("L4-H312-A12-Q313-F1200", "do not divide"),
        ("L4-H99999999-A12-Q312-F1200", "hidden"),
    ],
)
def test_an_impossible_architecture_is_refused_in_one_sentence(text: str, told: str) -> None:
    with pytest.raises(BadArchitecture, match=told) as caught:
        Architecture.parse(text)
    assert "\n" not in str(caught.value)


def test_heads_that_do_not_divide_get_the_nearest_width_as_advice() -> None:
    with pytest.raises(BadArchitecture, match="try Q312"):
        Architecture(4, 312, 12, 313, 1200)


# Parameters without the KD projection, and multiply-adds of the encoder at 128 tokens
@pytest.mark.parametrize(
    ("name", "parameters", "giga_multiply_adds"),
    [
        ("s1", 29_573_882, 1.584),
        ("s2", 16_874_724, 0.615),
        ("s3", 16_707_024, 0.430),
        ("s4", 12_195_168, 0.300),
        ("kd-s1", 29_585_252, 1.588),
        ("kd-s2", 14_222_712, 0.571),
        ("kd-s3", 11_763_620, 0.427),
        ("kd-s4", 9_791_360, 0.252),
        ("bert-base", 109_482_240, 11.17),
    ],
)
def test_the_counts_are_those_of_the_published_models(
    name: str, parameters: int, giga_multiply_adds: float
) -> None:
    architecture = PUBLISHED[name]
    assert architecture.parameters() == parameters
    digits = 2 if name == "bert-base" else 3
    assert round(architecture.multiply_adds(128) / 1e9, digits) == giga_multiply_adds


def test_a_name_is_accepted_wherever_an_architecture_is() -> None:
    assert resolve("TinyBERT-4") == Architecture(4, 312, 12, 312, 1200)
    assert resolve("L4-H312-A12-Q312-F1200") == PUBLISHED["tinybert-4"]
    assert resolve("miniature-2-128") == PUBLISHED["bert-tiny"]


def test_an_unknown_name_is_told_the_nearest_one() -> None:
    with pytest.raises(BadArchitecture, match="did you mean tinybert-4"):
        resolve("tinybert4")


def test_a_super_model_holds_what_is_smaller_in_every_dimension() -> None:
    largest = PUBLISHED["superplm"]
    assert PUBLISHED["kd-s1"].fits(largest)
    assert not PUBLISHED["bert-base"].fits(largest)  # twelve layers
    # one head of 96 is narrower than twelve of 64, yet no head of the super-model is that wide
    assert not Architecture(1, 128, 1, 96, 128).fits(largest)


def test_a_long_text_that_is_none_is_quoted_in_part() -> None:
    with pytest.raises(BadArchitecture) as caught:
        Architecture.parse("L6-H384" * 100)
    assert len(str(caught.value)) < 200
