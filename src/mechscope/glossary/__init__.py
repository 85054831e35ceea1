"""The explainer: short entries on the terms of the field, with demos that run."""
