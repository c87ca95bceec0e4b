"""From pictures to features: encoders, their identity, the pipeline that feeds them, and the embedding cache."""
