"""The six stages of the pipeline, each a module that runs alone: `python -m tasks.train`."""
