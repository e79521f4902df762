"""Compares runs on the same test images. Not part of `pictures`, so that the stage `render` does not depend on it."""
