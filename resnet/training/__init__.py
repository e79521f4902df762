"""From initial weights to trained ones."""
