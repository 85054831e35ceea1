"""The classic package `tools.analysis`."""
