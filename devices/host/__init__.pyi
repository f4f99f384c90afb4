from .clusters import cpu_clusters as cpu_clusters, within as within
from .platform_facts import read_platform as read_platform
from .state import (
    STATE_FIELDS as STATE_FIELDS,
    energy_between as energy_between,
    memory_kills as memory_kills,
    read_state as read_state,
)
