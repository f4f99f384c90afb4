"""What is done with whole databases: export, merge, inventory, repair."""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
