"""`python -m caan_hf`, which is also what torchrun starts."""

from caan_hf.cli import caan

if __name__ == "__main__":
    caan()
