"""The command line: a thin layer without any science."""
