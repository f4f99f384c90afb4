"""What a worker is started with, on this machine and on remote devices: the core and one runner."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from pathlib import Path

from atb.devices.worker import core

#: Files of the core, each after those that it needs.
_CORE = ("interface", "inputs", "timing", "memory", "worker")

#: What Python runs as the text of `-c`: it reads one line of sources from stdin, and nothing is
#: written to a disk. `sys.path` loses the current folder, whose files could shadow libraries.
WORKER_PROGRAM = (
    "import sys;sys.path=[p for p in sys.path if p];"
    "import json,types\n"
    "core,runner=json.loads(sys.stdin.buffer.readline())\n"
    "for name,source in core.items():\n"
    " module=sys.modules[name]=types.ModuleType(name)\n"
    " exec(compile(source,name,'exec'),module.__dict__)\n"
    "module.main(runner)\n"
)


def sent_sources(runner: Path) -> bytes:
    """The line of sources that a worker reads first: the core by module, and a runner."""
    return json.dumps([_core_sources(), runner.read_text("utf-8")]).encode() + b"\n"


@cache
def _core_sources() -> dict[str, str]:
    return {
        f"{core.__name__}.{name}": (files(core) / f"{name}.py").read_text("utf-8") for name in _CORE
    }
