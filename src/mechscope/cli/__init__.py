"""The command line: thin, no science in it."""
