"""`python -m caan_hf`, which torchrun also starts."""

from caan_hf.cli import caan

if __name__ == "__main__":
    caan()
