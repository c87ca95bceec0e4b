"""From features to a ranking, for evaluation and galleries alike: exact order, query expansion, re-ranking."""
