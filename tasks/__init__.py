"""The six stages of the pipeline, each a module that can run alone: `python -m tasks.train`."""
