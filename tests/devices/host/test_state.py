from __future__ import annotations

import os
from pathlib import Path

import pytest

from atb.devices.host.state import STATE_FIELDS, energy_between, read_state


def write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


def test_every_reading_is_found_on_a_machine_that_tells(tmp_path: Path) -> None:
    cpu = "sys/devices/system/cpu"
    ticks = os.sysconf("SC_CLK_TCK")
    write(tmp_path, "proc/loadavg", "1.25 0.80 0.40 2/99 1234\n")
    write(tmp_path, "proc/stat", f"cpu  1 2 3 4 5 6 7 {3 * ticks} 0 0\ncpu0 1 2\nctxt 4242\n")
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
    write(tmp_path, "proc/self/status", "Name:\tpython\nCpus_allowed_list:\t0-3,6\n")
    write(tmp_path, "sys/fs/cgroup/cpu.max", "250000 100000\n")
    write(tmp_path, "proc/self/cgroup", "9:cpu:/old\n0::/jobs/mine\n")
    group = "sys/fs/cgroup/jobs/mine"
    write(tmp_path, f"{group}/cpu.pressure", "some avg10=50.00 avg60=0.00 avg300=0.00 total=7\n")
    cooling = "sys/class/thermal/cooling_device"
    for number, (kind, step) in enumerate(
        [("thermal-cpufreq-0", 2), ("Processor", 1), ("pwm-fan", 9)]
    ):
        write(tmp_path, f"{cooling}{number}/type", f"{kind}\n")
        write(tmp_path, f"{cooling}{number}/cur_state", f"{step}\n")
    write(tmp_path, "sys/devices/platform/soc/soc:firmware/get_throttled", "50005\n")
    write_package(tmp_path, 0, "package-0", 1_500_000, 262_000_000_000)
    write_package(tmp_path, 1, "package-1", 500_000, 262_000_000_000)
    write_package(tmp_path, 2, "psys", 9_000_000, 1_000_000_000)
    write_package(tmp_path, "0:0", "core", 1_000_000, 262_000_000_000)
    write_supply(tmp_path, "BAT0", type="Battery", status="Discharging", energy_now="1000000")
    write_supply(
        tmp_path,
        "BAT1",
        type="Battery",
        status="Full",
        charge_now="2000000",
        voltage_now="12000000",
    )
    write_supply(tmp_path, "AC", type="Mains", online="0")
    write_supply(tmp_path, "ucsi", type="USB", online="1")
    assert read_state(tmp_path) == {
        "load_average_1min": 1.25,
        "running_tasks": 2,
        "governor": "performance,powersave",
        "frequency_hertz": 2e9,
        "frequency_lowest_hertz": 1e9,
        "frequency_highest_hertz": 3e9,
        "temperature_celsius": 52.5,
        "thermal_throttles": 4,
        "cooling_steps": 3,
        "firmware_throttled": "50005",
        "quota_throttles": 6,
        "usable_cpus": 2.5,
        "cpu_pressure_10s": 0.125,
        "group_cpu_pressure_10s": 0.5,
        "steal_seconds": 3.0,
        "context_switches": 4242,
        "memory_available_bytes": 1_024_000,
        "energy_joules": 2.0,
        "energy_range_joules": 262_000.0,
        "battery_joules": pytest.approx(3_600 + 24 * 3_600),  # a watt hour, and two times twelve
        "battery_state": "Discharging,Full",
        "charger": "connected",
        "library_builds": None,
    }


def write_package(root: Path, place: int | str, name: str, used: int, turn: int) -> None:
    folder = f"sys/class/powercap/intel-rapl:{place}"
    write(root, f"{folder}/name", f"{name}\n")
    write(root, f"{folder}/energy_uj", f"{used}\n")
    write(root, f"{folder}/max_energy_range_uj", f"{turn}\n")


def write_supply(root: Path, name: str, **fields: str) -> None:
    for field, value in fields.items():
        write(root, f"sys/class/power_supply/{name}/{field}", f"{value}\n")


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


@pytest.mark.parametrize(
    ("quota", "cpus"), [("-1", 5.0), ("150000", 1.5), ("900000", 5.0), ("unknown", None)]
)
def test_the_older_control_groups_tell_a_quota_too(tmp_path: Path, quota: str, cpus: float) -> None:
    write(tmp_path, "proc/self/status", "Cpus_allowed_list:\t0-3,6\n")
    write(tmp_path, "sys/fs/cgroup/cpu/cpu.cfs_quota_us", f"{quota}\n")
    write(tmp_path, "sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n")
    assert read_state(tmp_path)["usable_cpus"] == cpus


@pytest.mark.parametrize(
    ("limit", "left"),
    [("3000000", 3_000_000 - 2_500_000 + 400_000), ("max", 4096_000), ("9000000000", 4096_000)],
)
def test_a_containers_limit_leaves_less_memory(tmp_path: Path, limit: str, left: int) -> None:
    for names in (
        ("memory.max", "memory.current", "memory.stat", "inactive_file"),
        (
            "memory/memory.limit_in_bytes",
            "memory/memory.usage_in_bytes",
            "memory/memory.stat",
            "total_inactive_file",
        ),
    ):
        folder = tmp_path / names[0].replace("/", "-")
        write(folder, "proc/meminfo", "MemAvailable:    4000 kB\n")
        write(folder, f"sys/fs/cgroup/{names[0]}", f"{limit}\n")
        write(folder, f"sys/fs/cgroup/{names[1]}", "2500000\n")
        write(folder, f"sys/fs/cgroup/{names[2]}", f"anon 7\n{names[3]} 400000\n")
        assert read_state(folder)["memory_available_bytes"] == left


def test_energy_between_two_states_survives_a_counter_that_began_again(tmp_path: Path) -> None:
    states = []
    # two packages of a range of 100 J; the second one turns over in between
    for first, second in ((10_000_000, 99_000_000), (13_000_000, 2_000_000)):
        write_package(tmp_path, 0, "package-0", first, 100_000_000)
        write_package(tmp_path, 1, "package-1", second, 100_000_000)
        states.append(read_state(tmp_path))
    assert energy_between(*states) == pytest.approx(6.0)


def test_energy_of_a_counter_that_fell_for_no_known_reason_is_not_told() -> None:
    assert energy_between({"energy_joules": 5.0}, {"energy_joules": 4.0}) is None
    assert energy_between({"energy_joules": 4.0}, {"energy_joules": 5.0}) == 1.0


def test_charge_is_energy_by_the_voltage_that_a_battery_is_built_for(tmp_path: Path) -> None:
    fields = {"type": "Battery", "status": "Discharging", "charge_now": "1000000"}
    for volts in ("12600000", "11900000"):  # it sinks under load
        write_supply(tmp_path, "BAT0", **fields, voltage_now=volts, voltage_min_design="11400000")
        assert read_state(tmp_path)["battery_joules"] == pytest.approx(11.4 * 3600)


def test_the_battery_of_a_mouse_is_not_the_devices(tmp_path: Path) -> None:
    mouse = {"type": "Battery", "scope": "Device", "status": "Discharging", "energy_now": "5"}
    write_supply(tmp_path, "hidpp_battery_0", **mouse)
    assert read_state(tmp_path)["battery_state"] is None
    write_supply(tmp_path, "BAT0", type="Battery", status="Full", energy_now="1000000")
    readings = read_state(tmp_path)
    assert (readings["battery_state"], readings["battery_joules"]) == ("Full", 3600)


def test_no_energy_is_told_where_nothing_counts_it(tmp_path: Path) -> None:
    nothing = read_state(tmp_path)
    assert energy_between(nothing, nothing) is None
