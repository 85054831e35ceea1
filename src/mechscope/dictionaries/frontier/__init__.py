"""Frontiers: architectures trained at several sparsities on the same activations, and what each L0 costs them."""
