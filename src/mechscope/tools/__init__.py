"""The classic `tools`."""
