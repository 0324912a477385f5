"""The command ``medcontext``: one file per command; nothing heavy is loaded before a command runs."""
