"""Where a model runs: the contract of devices and runtimes, settings, the registry."""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
