"""Training: the loop, its state and checkpoints, and the parts of the recipe."""
