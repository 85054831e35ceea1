"""The explainer: entries on the ideas of the field, and demos of many of them."""
