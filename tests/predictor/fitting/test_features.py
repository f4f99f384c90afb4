from __future__ import annotations

import numpy as np
import pytest

from atb.devices.settings import RunSettings
from atb.errors import InputError
from atb.models.published import PUBLISHED
from atb.models.space import FEATURES
from atb.predictor.fitting.features import (
    LANES,
    PADDING,
    QUANTITIES,
    WORK_TERMS,
    architecture_at,
    architecture_basis,
    bases_of,
    columns_of,
    rows_of,
)

SETTINGS = RunSettings()


def test_names_are_unique_since_files_store_by_name() -> None:
    assert len({term.name for term in WORK_TERMS}) == len(WORK_TERMS)
    assert len({quantity.name for quantity in QUANTITIES}) == len(QUANTITIES)


@pytest.mark.parametrize("name", ["bert-base", "kd-s1", "tinybert-4"])
@pytest.mark.parametrize("settings", [SETTINGS, RunSettings(batch=3, sequence_length=17)])
def test_the_multiply_adds_of_the_encoder_are_all_there(name: str, settings: RunSettings) -> None:
    amounts = architecture_basis(settings).amounts(rows_of([PUBLISHED[name]]))[0]
    encoder = sum(
        amount
        for term, amount in zip(WORK_TERMS, amounts, strict=True)
        if term.unit == "multiply-adds" and term.name != "pooler"
    )
    assert encoder == settings.batch * PUBLISHED[name].multiply_adds(settings.sequence_length)


@pytest.mark.parametrize("term", WORK_TERMS, ids=lambda term: term.name)
def test_each_formula_says_what_is_computed(term) -> None:
    row = rows_of([PUBLISHED["kd-s1"]])
    settings = RunSettings(batch=3, sequence_length=17)
    sizes = dict(zip("LHAQF", (int(value) for value in row[0]), strict=True))
    sizes |= {"D": sizes["Q"] // sizes["A"]}
    padding = {f"{name}_": -size % LANES for name, size in sizes.items()}
    written = term.formula.replace("·", "*").replace("²", "**2").replace("'", "_")
    names = {**sizes, **padding, "B": settings.batch, "S": settings.sequence_length}
    expected = eval(written, {"__builtins__": {}}, names)
    assert np.all(term.amount(columns_of(row), settings) == expected)


def test_the_largest_products_do_not_overflow() -> None:
    row = np.array([[12, 4095, 63, 4095, 16_383]], dtype=np.int32)
    assert np.all(architecture_basis(RunSettings(batch=64, sequence_length=512)).amounts(row) > 0)


def test_whole_vectors_have_no_padding() -> None:
    row = np.array([[12, 4096, 64, 4096, 16_384]], dtype=np.int32)
    padding = [term.name in PADDING for term in WORK_TERMS]
    assert sum(padding) == 3
    assert np.all(architecture_basis(SETTINGS).amounts(row)[0][padding] == 0)


def test_the_plainer_basis_differs_in_the_padding_alone() -> None:
    plain, full = bases_of(architecture_basis(SETTINGS))
    row = rows_of([PUBLISHED["kd-s1"]])
    different = plain.amounts(row)[0] != full.amounts(row)[0]
    assert [term.name for term in plain.terms] == [term.name for term in full.terms]
    assert list(different) == [term.name in PADDING for term in WORK_TERMS]


def test_rows_and_architectures_convert_both_ways() -> None:
    rows = rows_of(list(PUBLISHED.values()))
    assert rows.dtype == np.int32
    assert rows.shape == (len(PUBLISHED), len(FEATURES))
    assert [architecture_at(row) for row in rows] == list(PUBLISHED.values())
    assert rows_of([]).shape == (0, len(FEATURES))


def test_a_float_array_is_refused() -> None:
    with pytest.raises(InputError, match=r"float64\[2, 5\] is not one of architectures"):
        columns_of(np.ones((2, 5)))
