"""Command line `caan-hub`."""
