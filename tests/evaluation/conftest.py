"""Fixtures of the evaluation tests."""

from colours import late_caan, split, split_rows, tiny_caan

__all__ = ["late_caan", "split", "split_rows", "tiny_caan"]
