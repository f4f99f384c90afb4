"""What there is to measure on."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["list_devices"]


def list_devices() -> pd.DataFrame:
    """Devices and their runtimes, a row for each pair.

    Returns:
        Columns `device`, `runtime`, `version`, `precisions`, `available` and `note`, which says
        what to install for a runtime that is absent.
    """
    import pandas as pd

    from atb.devices import list_devices as list_all

    return pd.DataFrame(
        {
            "device": entry.device,
            "runtime": entry.runtime,
            "version": entry.version,
            "precisions": " ".join(entry.precisions),
            "available": entry.available,
            "note": entry.note,
        }
        for entry in list_all()
    )
