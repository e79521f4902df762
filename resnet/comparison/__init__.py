"""The page that sets two runs side by side; in a folder of its own, so that `render` does not depend on it."""
