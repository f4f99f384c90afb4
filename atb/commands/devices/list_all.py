"""`atb devices list`: what can be measured here, why not, and what is known of other devices."""

from __future__ import annotations

from atb.commands.arguments import Json
from atb.commands.devices.known import known_table, known_to_json, list_known
from atb.commands.output import Table, print_result


def list_all(json: Json = False) -> None:
    """List devices and their runtimes, and what to install for a runtime that is missing.

    Known devices come last: latencies on them can be predicted without having them.

    Example:
        atb devices list
    """
    from atb.devices import list_devices

    entries, known = list_devices(), list_known()
    found = [
        (entry.device, entry.runtime, entry.version, " ".join(entry.precisions), entry.note)
        for entry in entries
        if entry.version is not None
    ]
    header = ("device", "runtime", "version", "precisions", "note")
    tables = [Table(header, found, left=(0, 1, 2, 3, 4), prose=True)]
    missing = [(e.device, e.runtime, e.note) for e in entries if not e.available]
    if missing:
        header_missing = ("device", "runtime", "why it cannot be used")
        tables.append(Table(header_missing, missing, left=(0, 1, 2), prose=True))
    if known:
        tables.append(known_table(known))
    print_result(
        {
            "devices": [entry.to_json() for entry in entries],
            "known_devices": [known_to_json(path, found) for path, found in known],
        },
        *tables,
        json=json,
    )
