"""The classic `tools.analysis`."""
