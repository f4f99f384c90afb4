"""Tables of other measurements: columns to learn from, and numbers in their cells."""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
