"""What a published CAAN consists of: weights with the code to load them, where it comes from, and its model card.

How it gets to the Hub is the business of `caan_hub`, and of `CaanTrainer` with `push_to_hub`.
"""
