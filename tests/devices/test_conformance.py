"""Every device and runtime against the shipped suites."""

from __future__ import annotations

import pytest

from atb.devices.contract import Device, Runtime
from atb.devices.executorch_xnnpack import ExecuTorchXnnpack
from atb.devices.fake import FakeDevice, FakeRuntime
from atb.devices.local import LocalDevice
from atb.devices.ncnn_cpu import NcnnCpu
from atb.devices.onnxruntime_cpu import OnnxRuntimeCpu
from atb.devices.testing import DeviceConformance, RuntimeConformance
from atb.devices.torch_cpu import TorchCpu


class TestFakeDevice(DeviceConformance):
    def make_device(self) -> Device:
        return FakeDevice()


class TestNoisyFakeDevice(DeviceConformance):
    def make_device(self) -> Device:
        return FakeDevice(noise=0.05, launch_noise=0.05, preemption=0.1)


class TestLocalDevice(DeviceConformance):
    def make_device(self) -> Device:
        return LocalDevice()


class TestFakeRuntime(RuntimeConformance):
    def make_runtime(self) -> Runtime:
        return FakeRuntime()


class TestOnnxRuntimeCpu(RuntimeConformance):
    def make_runtime(self) -> Runtime:
        return OnnxRuntimeCpu()


class TestTorchCpu(RuntimeConformance):
    def make_runtime(self) -> Runtime:
        return TorchCpu()


class TestNcnnCpu(RuntimeConformance):
    def make_runtime(self) -> Runtime:
        return NcnnCpu()


@pytest.mark.slow
class TestExecuTorchXnnpack(RuntimeConformance):
    def make_runtime(self) -> Runtime:
        pytest.importorskip("executorch", reason="the extra executorch is not installed")
        return ExecuTorchXnnpack()
