from __future__ import annotations

import time

import numpy as np
import pytest

from atb.devices.fake import device as fake
from atb.devices.fake.device import FakeDevice
from atb.devices.runtimes import reference
from atb.devices.runtimes.reference import CheckResult, check_device, check_output, timing_output
from atb.devices.settings import RunSettings
from atb.models.architecture import Architecture
from atb.models.published import resolve


def test_a_right_device_passes() -> None:
    device = FakeDevice()
    result = check_device(device, device.runtimes["fake"], RunSettings(sequence_length=16))
    assert result.passed
    assert result.max_difference == 0
    assert result.providers == ("simulated",)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_device_that_leaves_the_attention_out_fails(
    precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_attention(launch: fake._FakeSession, key: str) -> object:
        draw = reference.timing_weights
        with monkeypatch.context() as patched:
            patched.setattr(
                reference,
                "timing_weights",
                lambda *arguments: {
                    name: 0 * weight if "attention.output.dense" in name else weight
                    for name, weight in draw(*arguments).items()
                },
            )
            return timing_output.__wrapped__(launch._model(key), settings)

    settings = RunSettings(precision=precision)
    monkeypatch.setattr(fake._FakeSession, "output", without_attention)
    device = FakeDevice()
    assert not check_device(device, device.runtimes["fake"], settings).passed


@pytest.mark.parametrize("output", [np.zeros((1, 128, 7)), np.full((1, 128, 180), np.nan)])
def test_an_output_of_another_shape_or_without_numbers_fails(
    output: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fake._FakeSession, "output", lambda launch, key: output)
    device = FakeDevice()
    assert not check_device(device, device.runtimes["fake"], RunSettings()).passed


def test_a_difference_at_the_bound_passes() -> None:
    assert CheckResult(1e-4, 1e-4, ()).passed
    assert not CheckResult(1.1e-4, 1e-4, ()).passed


def test_an_output_is_judged_by_the_architecture_that_it_is_of() -> None:
    right, other = Architecture(2, 60, 6, 42, 100), Architecture(2, 60, 6, 42, 104)
    settings = RunSettings(sequence_length=16, batch=2)
    output = timing_output(right, settings).copy()
    assert check_output(right, settings, output).passed
    assert not check_output(other, settings, output).passed
    assert not check_output(right, settings, output[:1]).passed
    output[0, 3, 7] = np.nan
    assert not check_output(right, settings, output).passed


def test_nothing_of_the_check_runs_on_beside_what_is_timed_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reference, "timing_output", timing_output.__wrapped__)  # nothing is kept
    # the threads of a BLAS spin for a while after their last product, if they had any part in it
    settings = RunSettings()
    check_output(resolve("minilm-6"), settings, np.zeros((1, 128, 384), np.float32))
    begun = time.process_time()
    time.sleep(0.2)
    assert time.process_time() - begun < 0.1 * 0.2
