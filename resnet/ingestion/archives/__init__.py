"""Zip and tar archives as sources of images, hostile ones included. The entry point is `reading.read_archive`."""
