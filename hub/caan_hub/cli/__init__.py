"""The command line `caan-hub`: one file a subcommand."""
