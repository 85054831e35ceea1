"""Sources of activations for training and evaluation: a model's hook point over text, or known features."""
