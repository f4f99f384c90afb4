"""What a machine says of itself: facts that identify it, its state, clusters of its CPUs."""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
