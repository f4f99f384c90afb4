from . import devices as devices
