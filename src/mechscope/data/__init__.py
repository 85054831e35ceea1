"""Text, digits and synthetic sequences: what goes into a model, and where it lies on disk."""
