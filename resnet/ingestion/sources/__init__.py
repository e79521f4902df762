"""Where images come from: a module for each kind of source, and `catalog.open_source` that chooses."""
