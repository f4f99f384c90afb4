"""Every device and runtime against the shipped suites."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from lowered import LoweredOnce
from openssh import OpenSsh
from remote_devices import save_device

from atb.devices.contract import Device, Runtime
from atb.devices.fake.device import FakeDevice, FakeRuntime
from atb.devices.local import LocalDevice
from atb.devices.remote.device import SshDevice
from atb.devices.remote.saved_devices import SavedDevice
from atb.devices.runtimes.artefacts import ArtefactCache, CachedRuntime, default_folder
from atb.devices.runtimes.executorch.xnnpack import ExecuTorchXnnpack
from atb.devices.runtimes.litert.xnnpack import LiteRtXnnpack
from atb.devices.runtimes.ncnn.cpu import NcnnCpu
from atb.devices.runtimes.onnxruntime import cuda as onnxruntime_cuda
from atb.devices.runtimes.onnxruntime.cpu import OnnxRuntimeCpu
from atb.devices.runtimes.onnxruntime.cuda import OnnxRuntimeCuda
from atb.devices.runtimes.onnxruntime.ort import OnnxRuntimeOrt
from atb.devices.runtimes.openvino.cpu import OpenVinoCpu
from atb.devices.runtimes.torch.cpu import TorchCompiled, TorchCpu
from atb.devices.settings import RunSettings
from atb.devices.testing import DeviceConformance, RuntimeConformance
from atb.models.architecture import Architecture


class TestFakeDevice(DeviceConformance):
    def make_device(self) -> Device:
        return FakeDevice()


class TestNoisyFakeDevice(DeviceConformance):
    def make_device(self) -> Device:
        return FakeDevice(noise=0.05, launch_noise=0.05, preemption=0.1)


class TestLocalDevice(DeviceConformance):
    slow_runtimes = frozenset({"executorch", "torch-compiled"})

    def make_device(self) -> Device:
        return LocalDevice()


@pytest.fixture(scope="module")
def saved(shared_openssh: OpenSsh) -> SavedDevice:
    return save_device(shared_openssh)


class TestSshDevice(DeviceConformance):
    slow_runtimes = frozenset({"torch"})

    @pytest.fixture(autouse=True)
    def connect(self, saved: SavedDevice) -> Iterator[None]:
        self.device = OfTheBaseInstall(saved)
        yield
        self.device.close()

    def make_device(self) -> Device:
        return self.device


class OfTheBaseInstall(SshDevice):
    """With two runtimes: what all of them compute is tested on this machine."""

    @property
    def runtimes(self) -> Mapping[str, Runtime]:
        return {name: r for name, r in super().runtimes.items() if name in ("onnxruntime", "torch")}


class TestFakeRuntime(RuntimeConformance):
    def make_runtime(self) -> Runtime:
        return FakeRuntime()


class TestOnnxRuntimeCpu(RuntimeConformance):
    def make_runtime(self) -> Runtime:
        return OnnxRuntimeCpu()


class TestOnnxRuntimeOrt(RuntimeConformance):
    def make_runtime(self) -> Runtime:
        return OnnxRuntimeOrt()


class TestOnnxRuntimeCuda(RuntimeConformance):
    @pytest.fixture(autouse=True)
    def as_if_its_library_were_there(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(onnxruntime_cuda, "_LIBRARY", "__init__.py")

    def make_runtime(self) -> Runtime:
        return OnnxRuntimeCuda()


class TestOpenVinoCpu(RuntimeConformance):
    def make_runtime(self) -> Runtime:
        return OpenVinoCpu()


class TestTorchCpu(RuntimeConformance):
    def make_runtime(self) -> Runtime:
        return TorchCpu()


def cached(runtime: Runtime) -> Runtime:
    """With a cache that every runtime of a test shares."""
    folder = default_folder()
    assert folder is not None
    cache = ArtefactCache(folder, limit_bytes=100_000_000, tell=pytest.fail)
    return CachedRuntime(runtime, cache, worth=lambda seconds, size: True)


class TestCachedOnnxRuntimeCpu(RuntimeConformance):
    def make_runtime(self) -> Runtime:
        return cached(OnnxRuntimeCpu())


class TestCachedFakeRuntime(RuntimeConformance):
    def make_runtime(self) -> Runtime:
        return cached(FakeRuntime())


class TestTorchCompiled(RuntimeConformance):
    def make_runtime(self) -> Runtime:
        return TorchCompiled()


class TestLiteRtXnnpack(RuntimeConformance):
    def make_runtime(self) -> Runtime:
        return LiteRtXnnpack()


class TestNcnnCpu(RuntimeConformance):
    def make_runtime(self) -> Runtime:
        return NcnnCpu()


@pytest.mark.slow
class TestExecuTorchXnnpack(RuntimeConformance):
    @pytest.fixture(autouse=True)
    def lower_once(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        pytest.importorskip("executorch", reason="the extra executorch is not installed")
        self.runtime = LoweredOnce(tmp_path_factory)

    def make_runtime(self) -> Runtime:
        return self.runtime

    def test_the_same_architecture_gives_the_same_bytes(self, tmp_path: Path) -> None:
        """A program that is lowered anew is the one that the other tests share."""
        architecture, settings = (
            Architecture(1, 20, 2, 12, 28),
            RunSettings(sequence_length=8, batch=2),
        )
        anew = ExecuTorchXnnpack().build(architecture, settings, tmp_path)
        (tmp_path / "shared").mkdir()
        shared = self.runtime.build(architecture, settings, tmp_path / "shared")
        assert anew.sha256 == shared.sha256
