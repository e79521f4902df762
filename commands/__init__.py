"""The commands of `train-resnet COMMAND`. Each is a module with a function of the same name; `cli.py` registers them."""
