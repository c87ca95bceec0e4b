"""Galleries over a network: what the demo and `caan serve` share, and the service itself."""
