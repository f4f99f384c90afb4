"""Facts that identify a machine; read here and, sent as source text, on remote devices.

Standard library only, and Python 3.9, since this very file is what runs on the device.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from pathlib import Path

# Flags that decide which kernels a runtime takes; a virtual machine may hide some of them.
_TELLING_FLAGS = frozenset(
    (
        "avx",
        "avx2",
        "avx512f",
        "avx512_vnni",
        "avx512_bf16",
        "avx_vnni",
        "amx_int8",
        "amx_bf16",
        "asimd",
        "asimdhp",
        "asimddp",
        "i8mm",
        "bf16",
        "sve",
        "sve2",
    )
)


def read_platform(root: Path = Path("/")) -> dict[str, str]:
    """Facts that identify this machine's hardware and stay the same from day to day.

    An entry `emulated` is there only where an emulator runs this process, and names it.

    Args:
        root: Where `proc` is; another one for tests.
    """
    processors = _fields(root / "proc/cpuinfo")
    flags = set((processors.get("flags") or processors.get("Features") or "").split())
    emulator = _emulator(root)
    return {
        "processor": _processor(root, processors),
        "architecture": platform.machine() or "unknown",
        "instruction_sets": " ".join(sorted(flags & _TELLING_FLAGS)) or "unknown",
        "logical_cpus": str(os.cpu_count() or "unknown"),
        "memory": _memory(root),
        "system": platform.system() or "unknown",
        **({} if emulator is None else {"emulated": emulator}),
    }


def _fields(path: Path) -> dict[str, str]:
    """Lines `name : value`; the first of each name, which is the first processor."""
    try:
        lines = path.read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    fields: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if colon:
            fields.setdefault(name.strip(), value.strip())
    return fields


def _processor(root: Path, processors: Mapping[str, str]) -> str:
    """Model name; ARM kernels tell a part number, and boards a name."""
    if "model name" in processors:
        return " ".join(processors["model name"].split())
    try:
        return (root / "proc/device-tree/model").read_text("utf-8").strip("\0\n ")
    except (OSError, UnicodeDecodeError):
        pass  # not a board
    if "CPU part" in processors:
        return f"implementer {processors.get('CPU implementer', '?')} part {processors['CPU part']}"
    return platform.processor() or "unknown"


def _emulator(root: Path) -> str | None:
    """What translates this process from another processor's instructions, such as `qemu-aarch64`.

    Such a program answers for what it runs where `/proc/self` is read, and only there. A whole
    emulated machine is not seen.
    """
    try:
        told, true = ((root / f"proc/{name}/exe").readlink() for name in ("self", "thread-self"))
    except OSError:
        return None
    return None if told == true else true.name.removesuffix("-static")


def _memory(root: Path) -> str:
    """In whole gibibytes, since kernels reserve a little that differs between versions."""
    words = _fields(root / "proc/meminfo").get("MemTotal", "").split()
    if not words or not words[0].isdigit():
        return "unknown"
    return f"{max(1, round(int(words[0]) / 2**20))} GiB"
