"""Sources of images: a module for each kind, and `catalog.open_source`, which chooses one by name or path."""
