"""The explainer: entries about the terms of the field, and demos that run."""
