"""Contents of a published CAAN: weights with the code that loads them, training record, results and model card.

`caan_hub` pushes them to the Hub, and so does `CaanTrainer` with `push_to_hub`.
"""
