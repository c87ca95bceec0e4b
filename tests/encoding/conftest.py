"""Tiny CAANs and a split whose categories are colours."""

from colours import late_caan, split, split_rows, tiny_caan

__all__ = ["late_caan", "split", "split_rows", "tiny_caan"]
