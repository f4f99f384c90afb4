"""Runtimes, a folder each, and what all share: the artefact cache, the output check."""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
