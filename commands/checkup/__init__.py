"""What `train-resnet doctor` looks at."""
