"""Devices behind an OpenSSH server of tests and benchmarks."""

import sys

from atb.devices.remote.agent_client import RemoteAgent
from atb.devices.remote.device import SshDevice, read_facts
from atb.devices.remote.saved_devices import SavedDevice
from atb.devices.remote.ssh.address import SshAddress


def save_device(server, *, name="board", python=sys.executable, url=None):
    """Connect once, as `atb devices add` does, and describe the device."""
    address = SshAddress.parse(url or server.url)
    agent = RemoteAgent(address, python=python, key=server.key, known_hosts=server.known_hosts)
    try:
        facts = read_facts(agent)
    finally:
        agent.close()
    return SavedDevice(name, address, facts, python, server.key, server.known_hosts)


def remote_device(server, *, url=None, python=sys.executable, **options):
    """This machine, as it is seen through a server; to be closed in the end."""
    return SshDevice(save_device(server, url=url, python=python), **options)
