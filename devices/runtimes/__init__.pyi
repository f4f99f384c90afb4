from .artefacts import (
    ArtefactCache as ArtefactCache,
    CachedRuntime as CachedRuntime,
    default_folder as default_folder,
    describe_artefact as describe_artefact,
    describe_model as describe_model,
    gather as gather,
)
from .library_runtime import (
    LibraryRuntime as LibraryRuntime,
    RuntimeAbsent as RuntimeAbsent,
    installed_version as installed_version,
)
from .reference import (
    TIMING_VOCABULARY as TIMING_VOCABULARY,
    check_device as check_device,
    check_output as check_output,
    timing_output as timing_output,
    timing_sizes as timing_sizes,
    timing_weights as timing_weights,
)
from .registry import (
    all_runtimes as all_runtimes,
    available_runtimes as available_runtimes,
    find_runner as find_runner,
    package_of as package_of,
    runtime_names as runtime_names,
    unavailable as unavailable,
)
