from .bundling import Collected as Collected, bundle as bundle, collect as collect
from .known_device import (
    KnownDevice as KnownDevice,
    find_known_device as find_known_device,
    known_devices as known_devices,
    write_known_device as write_known_device,
)
