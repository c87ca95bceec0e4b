"""Fixtures of an evaluation to publish."""

from colours import split, split_rows, tiny_caan

__all__ = ["split", "split_rows", "tiny_caan"]
