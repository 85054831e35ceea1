"""Demos of glossary entries: each function is named like its entry and returns a figure."""
