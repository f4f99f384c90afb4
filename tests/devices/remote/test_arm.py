"""An ARM board, as far as there is one without a board: Debian in qemu behind a real sshd.

What it computes is checked, and what becomes of its latencies, which say nothing.
"""

from __future__ import annotations

import collections
from collections.abc import Iterator
from pathlib import Path

import pytest
from openssh import OpenSsh
from remote_devices import save_device

from atb.devices.remote.device import SshDevice
from atb.devices.remote.saved_devices import SavedDevice
from atb.devices.runtimes.reference import check_device
from atb.devices.settings import RunSettings
from atb.errors import InputError
from atb.models.architecture import Architecture
from atb.predictor.training_set import TrainingSet
from atb.profiler.campaign.campaign import CampaignResult, run_campaign
from atb.profiler.campaign.plan import Plan
from atb.profiler.database.writer import ProfileDatabase
from atb.profiler.statistics.measurement import Measurement

pytestmark = pytest.mark.slow

ARCHITECTURES = tuple(Architecture(1, hidden, 2, 12, 40) for hidden in (20, 28, 36))
SENTINEL = Architecture(1, 16, 2, 8, 16)
# a busy machine adds blocks to a launch, and without `repeats=0` launches as well
PLAN = Plan(ARCHITECTURES, launches=3, fewest_launches=3, blocks=2, repeats=0, sentinel=SENTINEL)
SETTINGS = RunSettings(sequence_length=16)


@pytest.fixture(scope="module")
def saved(arm64_server: OpenSsh) -> SavedDevice:
    return save_device(arm64_server, name="arm64", python="python3")


@pytest.fixture(scope="module")
def device(saved: SavedDevice) -> Iterator[SshDevice]:
    device = SshDevice(saved)
    yield device
    device.close()


@pytest.fixture(scope="module")
def narrow_device(armhf_server: OpenSsh) -> Iterator[SshDevice]:
    device = SshDevice(save_device(armhf_server, name="armhf", python="python3"))
    yield device
    device.close()


def test_it_says_what_it_is_and_that_it_is_emulated(device: SshDevice) -> None:
    assert device.platform["architecture"] == "aarch64"
    assert device.platform["system"] == "Linux"
    assert device.platform["emulated"] == "qemu-aarch64"
    assert device.runtimes["onnxruntime"].version == "1.22.1"
    assert "openvino" not in device.runtimes


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("runtime", ["onnxruntime", "onnxruntime-ort"])
def test_it_computes_the_reference(runtime: str, precision: str, device: SshDevice) -> None:
    settings = RunSettings(precision=precision, sequence_length=16)
    result = check_device(device, device.runtimes[runtime], settings)
    assert result.passed, result
    assert result.providers == ("CPUExecutionProvider",)


def test_one_of_32_bits_says_so_too(narrow_device: SshDevice) -> None:
    assert narrow_device.platform["architecture"] == "armv7l"
    assert narrow_device.platform["emulated"] == "qemu-arm"
    assert list(narrow_device.runtimes) == ["ncnn"]


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_one_of_32_bits_computes_the_reference(
    precision: str, narrow_device: SshDevice, tmp_path: Path
) -> None:
    runtime = narrow_device.runtimes["ncnn"]
    settings = RunSettings(precision=precision, sequence_length=16)
    result = check_device(narrow_device, runtime, settings)
    assert result.passed, result
    with narrow_device.launch(runtime, settings) as launch:
        launch.load("model", runtime.build(ARCHITECTURES[0], settings, tmp_path))
        block = launch.run("model", iterations=3, warmup=1)
    assert min(block.wall_seconds) > 0
    assert min(block.cpu_seconds) > 0


@pytest.fixture(scope="module")
def campaign(
    saved: SavedDevice, arm64_server: OpenSsh, tmp_path_factory: pytest.TempPathFactory
) -> CampaignResult:
    """A campaign whose connection is cut in the middle."""
    device = SshDevice(saved)
    cuts = [5]

    def cut(done: int, wanted: int, what: str) -> None:
        if cuts and done >= cuts[0]:
            cuts.pop()
            arm64_server.cut()

    path: Path = tmp_path_factory.mktemp("campaign") / "profile.db"
    with ProfileDatabase(path, create=True) as database:
        found = run_campaign(
            device, device.runtimes["onnxruntime"], SETTINGS, PLAN, database, progress=cut
        )
    device.close()
    assert not cuts
    return found


def test_a_campaign_goes_on_after_a_cut_and_nothing_is_lost_or_doubled(
    campaign: CampaignResult,
) -> None:
    assert campaign.ended_by == "complete"
    assert [failure.cause for failure in campaign.failures] == ["device-gone"]
    assert {m.architecture for m in campaign.measurements} == set(ARCHITECTURES)
    for measurement in campaign.measurements:
        counted = collections.Counter((b.launch, b.block) for b in measurement.blocks)
        assert set(counted.values()) == {1}
        blocks = collections.Counter(launch for launch, _ in counted)
        assert len(blocks) == PLAN.launches
        assert min(blocks.values()) >= PLAN.blocks


def test_its_latencies_are_flagged_and_refused_by_the_predictor_unless_forced(
    campaign: CampaignResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = campaign.measurements
    assert all("emulated by qemu-aarch64" in m.reasons for m in measured)
    monkeypatch.setattr(Measurement, "usable", True)  # however busy this machine is
    with pytest.raises(InputError, match=r"emulator qemu-aarch64.*--force"):
        TrainingSet.from_measurements(measured, least_rows=3)
    assert len(TrainingSet.from_measurements(measured, least_rows=3, emulated=True)) == 3
