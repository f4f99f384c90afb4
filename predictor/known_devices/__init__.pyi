from .bundling import (
    DeviceTrainingSets as DeviceTrainingSets,
    bundle_device as bundle_device,
    collect_training_sets as collect_training_sets,
)
from .known_device import (
    KnownDevice as KnownDevice,
    find_known_device as find_known_device,
    list_known_devices as list_known_devices,
    write_known_device as write_known_device,
)
