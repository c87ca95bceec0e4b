"""From features to a ranking, for evaluation and galleries alike: order, smoothing, hubs, expansion, re-ranking."""
