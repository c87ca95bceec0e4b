"""Fixtures of the evaluation tests."""

from colours import split, split_rows, tiny_caan

__all__ = ["split", "split_rows", "tiny_caan"]
