"""Images on their way from a source to arrays that a training step can read."""
