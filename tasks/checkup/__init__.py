"""What `python -m tasks.doctor` looks at."""
