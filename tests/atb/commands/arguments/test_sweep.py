import pytest

from atb.commands.arguments.sweep import SweepOptions, expand_affinity, parse_list
from atb.devices.registry import find_device
from atb.devices.remote.device import SshDevice
from atb.devices.remote.saved_devices import RemoteFacts, SavedDevice
from atb.devices.remote.ssh.address import SshAddress
from atb.errors import InputError


def test_a_list_keeps_its_order_and_drops_doubles():
    assert parse_list("4, 1,4,2", int, "--threads") == [4, 1, 2]


def test_a_part_that_cannot_be_read_is_told_with_its_option():
    with pytest.raises(InputError, match=r"--threads is '1,two'.*like 1,2"):
        parse_list("1,two", int, "--threads")


def test_sets_of_cpus_are_parted_by_slashes():
    fake = find_device("fake")
    assert expand_affinity("0,1/2", fake) == [(0, 1), (2,)]
    assert expand_affinity(None, fake) == [None]


def test_clusters_are_the_devices_own():
    assert expand_affinity("clusters", find_device("fake")) == [(0, 1, 2, 3)]
    board = SavedDevice(
        "board",
        SshAddress.parse("ssh://me@board"),
        RemoteFacts({}, ((4, 5), (0, 1, 2, 3), (6,)), (0, 1, 2, 5), {}, "3.11"),
        "python3",
    )
    # nobody is connected to; what its workers may not use is left out
    assert expand_affinity("clusters", SshDevice(board)) == [(5,), (0, 1, 2)]


def test_a_device_that_does_not_tell_its_clusters_is_asked_for_none():
    class Foreign:
        name = "foreign"

    with pytest.raises(InputError, match="foreign does not tell which"):
        expand_affinity("clusters", Foreign())


def test_every_combination_is_a_target():
    sweep = SweepOptions(precision="fp32,int8", threads="1,2", batch="1,4")
    found = sweep.targets(find_device("fake"))
    assert len(found) == len({target.conditions for target in found}) == 8
    assert found[0].settings.precision == "fp32"


def test_a_precision_that_is_not_served_is_refused():
    with pytest.raises(InputError, match="does not serve fp8"):
        SweepOptions(precision="fp8").targets(find_device("fake"))


def test_a_paced_scenario_without_an_interval_is_refused():
    with pytest.raises(InputError, match="--interval"):
        SweepOptions(scenario="fixed-rate").targets(find_device("fake"))
