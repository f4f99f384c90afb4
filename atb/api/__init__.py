"""The Python face: what the commands do, as functions, with results that show themselves."""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
