"""The process that times models: what is sent, and the client that talks to it."""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
