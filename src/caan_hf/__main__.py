"""`python -m caan_hf`, which is also what torchrun starts."""

from caan_hf.cli.main import main

if __name__ == "__main__":
    main()
