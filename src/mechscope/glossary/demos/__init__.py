"""Demos of entries: functions without arguments, each of which returns a figure."""
