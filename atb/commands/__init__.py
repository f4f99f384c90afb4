"""One thin file per command of `atb`."""
