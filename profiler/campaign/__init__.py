"""A campaign: what is measured, in which order, in which worker session."""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
