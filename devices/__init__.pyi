from .adding import add_device as add_device, remove_device as remove_device
from .contract import (
    COARSE_CLOCK as COARSE_CLOCK,
    Artefact as Artefact,
    ArtefactFile as ArtefactFile,
    Block as Block,
    Device as Device,
    LaunchFailure as LaunchFailure,
    Loaded as Loaded,
    OperatorTime as OperatorTime,
    Runtime as Runtime,
    WorkerRuntime as WorkerRuntime,
    WorkerSession as WorkerSession,
)
from .known_folder import (
    check_known_name as check_known_name,
    find_known_file as find_known_file,
    known_files as known_files,
    own_file as own_file,
)
from .local import (
    LocalDevice as LocalDevice,
    WorkerDevice as WorkerDevice,
    thread_environment as thread_environment,
)
from .registry import (
    device_names as device_names,
    find_device as find_device,
    find_runtime as find_runtime,
    list_devices as list_devices,
)
from .settings import PRECISIONS as PRECISIONS, SCENARIOS as SCENARIOS, RunSettings as RunSettings
from .user_folders import (
    cache_folder as cache_folder,
    configuration_folder as configuration_folder,
    home_folder as home_folder,
)
