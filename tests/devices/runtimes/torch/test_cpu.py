from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from atb.devices.contract import LaunchFailure
from atb.devices.local import LocalDevice
from atb.devices.runtimes.artefacts import describe_artefact
from atb.devices.runtimes.reference import check_device
from atb.devices.runtimes.torch.cpu import TorchCpu
from atb.devices.settings import RunSettings
from atb.models.architecture import Architecture

SMALL = Architecture(2, 60, 6, 42, 100)


@pytest.mark.parametrize("settings", [RunSettings(), RunSettings(batch=3, sequence_length=9)])
def test_it_computes_what_the_reference_computes(settings: RunSettings) -> None:
    found = check_device(LocalDevice(), TorchCpu(), settings)
    assert found.passed, found
    assert found.providers == ("eager",)


@pytest.mark.slow
def test_its_operators_are_told(tmp_path: Path) -> None:
    settings = RunSettings(sequence_length=16)
    artefact = TorchCpu().build(SMALL, settings, tmp_path)
    with LocalDevice().launch(TorchCpu(), settings) as launch:
        launch.load("a", artefact)
        found = launch.operators("a", iterations=3)
    counts = {operator.operator: operator.count for operator in found}
    assert counts["native_layer_norm"] == 1 + 2 * SMALL.layers
    assert counts["gelu"] == SMALL.layers
    assert sum(operator.share for operator in found) == pytest.approx(1)


def test_a_file_that_does_not_say_what_it_is_is_a_load_error(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file({"a": np.zeros(3, np.float32)}, path)
    with (
        LocalDevice().launch(TorchCpu(), RunSettings()) as launch,
        pytest.raises(LaunchFailure, match="does not say its layers"),
    ):
        launch.load("a", describe_artefact(path))
