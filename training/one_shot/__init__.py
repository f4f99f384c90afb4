"""One-shot training of a SuperPLM: objectives, starting point, trainer, evaluation."""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
