"""Test what somebody thinks a unit does: rules, and how well they predict the unit on text that was not looked at."""
