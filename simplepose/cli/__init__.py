"""The command simplepose, with one file for each subcommand."""
