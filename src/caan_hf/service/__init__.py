"""Galleries over a network: the service of `caan serve`, and the code that it shares with the demo."""
