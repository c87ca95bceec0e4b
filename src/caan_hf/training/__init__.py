"""How CAAN learns: triplets, collator, trainer, and the recipes that put them together."""
