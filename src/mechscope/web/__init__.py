"""The web lab: the pages of all rooms, served on this machine or written as a static site."""
