"""How long it would take: the latency predictor, its file, and its training set."""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
