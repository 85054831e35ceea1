"""The demos of entries: functions without arguments that return a figure, in modules named after the sections."""
