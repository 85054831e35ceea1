"""Model inputs: text, digits and synthetic sequences, and where they are on disk."""
