"""The `caan` command: one small file a subcommand."""
