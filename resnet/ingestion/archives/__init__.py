"""Zip and tar archives as sources of images, hostile ones among them. `reading.read_archive` is the way in."""
