"""Where a model runs: devices, runtimes, settings, and the worker that times."""
