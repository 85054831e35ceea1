"""Demos of the explainer: one module per section, one function per entry."""
