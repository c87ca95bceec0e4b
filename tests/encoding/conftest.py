"""A tiny CAAN and a split whose categories are colours."""

from colours import split, split_rows, tiny_caan

__all__ = ["split", "split_rows", "tiny_caan"]
