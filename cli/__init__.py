"""The `dragoman` command. One file a subcommand; `main` loads only the one that is called."""
