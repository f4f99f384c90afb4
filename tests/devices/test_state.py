from __future__ import annotations

import os
from pathlib import Path

from atb.devices.state import STATE_FIELDS, read_state


def write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


def test_every_reading_is_found_on_a_machine_that_tells(tmp_path: Path) -> None:
    cpu = "sys/devices/system/cpu"
    ticks = os.sysconf("SC_CLK_TCK")
    write(tmp_path, "proc/loadavg", "1.25 0.80 0.40 2/99 1234\n")
    write(tmp_path, "proc/stat", f"cpu  1 2 3 4 5 6 7 {3 * ticks} 0 0\ncpu0 1 2 3 4 5 6 7 8 0 0\n")
    write(tmp_path, "proc/meminfo", "MemTotal: 2000 kB\nMemAvailable:    1000 kB\n")
    write(tmp_path, "proc/pressure/cpu", "some avg10=12.50 avg60=0.00 avg300=0.00 total=77\n")
    write(tmp_path, f"{cpu}/cpu0/cpufreq/scaling_governor", "performance\n")
    write(tmp_path, f"{cpu}/cpu1/cpufreq/scaling_governor", "powersave\n")
    write(tmp_path, f"{cpu}/cpu0/cpufreq/scaling_cur_freq", "1000000\n")
    write(tmp_path, f"{cpu}/cpu1/cpufreq/scaling_cur_freq", "3000000\n")
    write(tmp_path, f"{cpu}/cpu0/thermal_throttle/core_throttle_count", "4\n")
    write(tmp_path, "sys/class/thermal/thermal_zone0/temp", "41000\n")
    write(tmp_path, "sys/class/thermal/thermal_zone1/temp", "52500\n")
    write(tmp_path, "sys/fs/cgroup/cpu.stat", "usage_usec 5\nnr_periods 9\nnr_throttled 6\n")
    assert read_state(tmp_path) == {
        "load_average_1min": 1.25,
        "governor": "performance,powersave",
        "frequency_hertz": 2e9,
        "temperature_celsius": 52.5,
        "thermal_throttles": 4,
        "quota_throttles": 6,
        "cpu_pressure_10s": 0.125,
        "steal_seconds": 3.0,
        "memory_available_bytes": 1_024_000,
    }


def test_a_machine_that_tells_nothing_gives_none_for_every_field(tmp_path: Path) -> None:
    assert read_state(tmp_path) == dict.fromkeys(STATE_FIELDS)


def test_text_in_another_form_gives_none_and_spoils_no_other_reading(tmp_path: Path) -> None:
    write(tmp_path, "proc/loadavg", "high\n")
    write(tmp_path, "proc/pressure/cpu", "some nothing\n")
    write(tmp_path, "proc/stat", "cpu 1 2\n")
    write(tmp_path, "proc/meminfo", "MemAvailable: 3 kB\n")
    write(tmp_path, "sys/class/thermal/thermal_zone0/temp", "\n")
    readings = read_state(tmp_path)
    assert readings.pop("memory_available_bytes") == 3072
    assert set(readings.values()) == {None}


def test_the_older_control_groups_are_read_too(tmp_path: Path) -> None:
    write(tmp_path, "sys/fs/cgroup/cpu/cpu.stat", "nr_periods 9\nnr_throttled 2\n")
    assert read_state(tmp_path)["quota_throttles"] == 2
