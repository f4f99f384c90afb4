"""The tokenizer: WordPiece over the shipped vocabulary or a user's own files."""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
