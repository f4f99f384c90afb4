from __future__ import annotations

import os
from pathlib import Path

from atb.devices.host.clusters import cpu_clusters, within
from atb.devices.local import LocalDevice


def write(root: Path, name: str, text: str) -> None:
    path = root / "sys/devices/system/cpu" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{text}\n", "ascii")


def test_a_phone_has_its_big_cores_first(tmp_path: Path) -> None:
    write(tmp_path, "online", "0-7")
    for cpu, capacity in enumerate([250, 250, 250, 250, 800, 800, 800, 1024]):
        write(tmp_path, f"cpu{cpu}/cpu_capacity", str(capacity))
        # the same frequency for all: the capacity sees what it does not
        write(tmp_path, f"cpu{cpu}/cpufreq/cpuinfo_max_freq", "2000000")
    assert cpu_clusters(tmp_path) == ((7,), (4, 5, 6), (0, 1, 2, 3))


def test_a_hybrid_desktop_is_grouped_by_frequency_and_its_best_cores_are_no_kind_of_their_own(
    tmp_path: Path,
) -> None:
    write(tmp_path, "online", "0-3,6,7")
    for cpu, kilohertz in {0: 5500, 1: 5500, 2: 5800, 3: 5800, 6: 4300, 7: 4300}.items():
        write(tmp_path, f"cpu{cpu}/cpufreq/cpuinfo_max_freq", str(1000 * kilohertz))
    assert cpu_clusters(tmp_path) == ((0, 1, 2, 3), (6, 7))


def test_a_machine_that_tells_of_no_speed_or_not_of_all_cpus_is_one_group(tmp_path: Path) -> None:
    assert cpu_clusters(tmp_path) == (tuple(range(os.cpu_count() or 1)),)
    write(tmp_path, "online", "0-2")
    assert cpu_clusters(tmp_path) == ((0, 1, 2),)
    write(tmp_path, "cpu1/cpufreq/cpuinfo_max_freq", "1000000")
    assert cpu_clusters(tmp_path) == ((0, 1, 2),)


def test_this_machine_is_divided_completely() -> None:
    cpus = [cpu for group in cpu_clusters() for cpu in group]
    assert len(set(cpus)) == len(cpus)
    assert os.sched_getaffinity(0) <= set(cpus)


def test_cpus_that_may_not_be_used_are_no_part_of_a_cluster() -> None:
    clusters = ((7,), (4, 5, 6), (0, 1))
    assert within(clusters, [0, 5, 6]) == ((5, 6), (0,))
    assert within(clusters, None) == clusters
    assert within(clusters, []) == ()


def test_the_clusters_of_this_machine_can_all_be_pinned_to() -> None:
    cpus = [cpu for group in LocalDevice().clusters for cpu in group]
    assert cpus
    assert set(cpus) <= os.sched_getaffinity(0)
