"""A training as one description that can be printed, saved and given back; and what comes of it in a folder."""
