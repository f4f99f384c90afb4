from .agent_client import RemoteAgent as RemoteAgent
from .device import SshDevice as SshDevice, read_facts as read_facts
from .saved_devices import (
    SavedDevice as SavedDevice,
    check_name as check_name,
    read_devices as read_devices,
    write_devices as write_devices,
)
