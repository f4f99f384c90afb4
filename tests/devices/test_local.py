from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from atb.devices.host.platform_facts import read_platform
from atb.devices.local import LocalDevice
from atb.devices.settings import RunSettings
from atb.errors import InputError
from atb.models.architecture import Architecture


def write(root: Path, name: str, text: str) -> None:
    path = root / "proc" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


def test_an_x86_machine_is_identified_by_model_and_telling_flags(tmp_path: Path) -> None:
    processor = (
        "processor\t: {}\nmodel name\t: Some  CPU @ 3.00GHz\nflags\t\t: fpu avx2 avx512f\n\n"
    )
    write(tmp_path, "cpuinfo", processor.format(0) + processor.format(1))
    write(tmp_path, "meminfo", "MemTotal:       16301234 kB\nMemFree: 1 kB\n")
    facts = read_platform(tmp_path)
    assert facts["processor"] == "Some CPU @ 3.00GHz"
    assert facts["instruction_sets"] == "avx2 avx512f"
    assert facts["memory"] == "16 GiB"


def test_an_arm_board_is_identified_by_its_name_or_its_part_number(tmp_path: Path) -> None:
    cpu = "Features\t: fp asimd asimddp\nCPU implementer\t: 0x41\nCPU part\t: 0xd0b\n"
    write(tmp_path, "cpuinfo", cpu)
    facts = read_platform(tmp_path)
    assert facts["processor"] == "implementer 0x41 part 0xd0b"
    assert facts["instruction_sets"] == "asimd asimddp"
    write(tmp_path, "device-tree/model", "Raspberry Pi 5\0")
    assert read_platform(tmp_path)["processor"] == "Raspberry Pi 5"


def test_a_machine_that_tells_nothing_has_unknown_facts(tmp_path: Path) -> None:
    facts = read_platform(tmp_path)
    assert facts["memory"] == facts["instruction_sets"] == "unknown"
    assert facts["processor"]


def link(root: Path, name: str, target: str) -> None:
    path = root / "proc" / name / "exe"
    path.parent.mkdir(parents=True)
    path.symlink_to(target)


def test_an_emulator_is_seen_where_it_does_not_answer_for_what_it_runs(tmp_path: Path) -> None:
    link(tmp_path, "self", "/usr/bin/python3.11")
    assert "emulated" not in read_platform(tmp_path)  # an old kernel
    link(tmp_path, "thread-self", "/usr/bin/qemu-aarch64-static")
    assert read_platform(tmp_path)["emulated"] == "qemu-aarch64"


def test_a_real_processor_has_the_facts_that_it_always_had(tmp_path: Path) -> None:
    link(tmp_path, "self", "/usr/bin/python3.11")
    link(tmp_path, "thread-self", "/usr/bin/python3.11")
    wanted = {
        "processor",
        "architecture",
        "instruction_sets",
        "logical_cpus",
        "memory",
        "system",
    }
    assert set(read_platform(tmp_path)) == set(read_platform()) == wanted


def test_its_runtimes_are_found_without_importing_them() -> None:
    script = (
        "import sys\n"
        "from atb.devices.local import LocalDevice\n"
        "assert list(LocalDevice().runtimes)[0] == 'onnxruntime'\n"
        "heavy = {'onnx', 'onnxruntime', 'openvino', 'torch', 'transformers', 'scipy'}\n"
        "heavy &= set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_cpus_that_are_not_there_are_refused() -> None:
    device = LocalDevice()
    runtime = device.runtimes["onnxruntime"]
    with pytest.raises(InputError, match="choose among the CPUs"):
        device.launch(runtime, RunSettings(affinity=(999,)))


def test_a_worker_is_pinned_and_told_its_threads() -> None:
    device = LocalDevice()
    runtime = device.runtimes["onnxruntime"]
    cpu = min(os.sched_getaffinity(0))
    with device.launch(runtime, RunSettings(affinity=(cpu,), threads=2)) as launch:
        pid = launch._channel.pid  # type: ignore[attr-defined]
        assert os.sched_getaffinity(pid) == {cpu}
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        assert b"OMP_NUM_THREADS=2" in environment


def test_its_state_names_the_builds_that_its_last_worker_ran(tmp_path: Path) -> None:
    device = LocalDevice()
    assert device.state()["library_builds"] is None
    runtime, settings = device.runtimes["onnxruntime"], RunSettings(sequence_length=8)
    artefact = runtime.build(Architecture(1, 8, 2, 8, 8), settings, tmp_path)
    with device.launch(runtime, settings) as launch:
        launch.load("model", artefact)
    builds = device.state()["library_builds"]
    assert f"onnxruntime {runtime.version}" in builds
    assert "numpy" in builds
