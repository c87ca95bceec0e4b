"""What is published of an evaluation."""

from colours import split, split_rows, tiny_caan

__all__ = ["split", "split_rows", "tiny_caan"]
