"""The command simplepose: one file a subcommand."""
