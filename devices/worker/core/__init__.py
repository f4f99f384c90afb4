"""The core of the worker: what is sent to a device together with one runner."""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
