"""Where a training's activations come from: a model's hook point over text, or features that are known."""
