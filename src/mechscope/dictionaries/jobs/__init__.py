"""Training jobs: a description that can be printed, saved and loaded, and its results in a folder."""
