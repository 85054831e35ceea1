"""The classic package `tools`."""
