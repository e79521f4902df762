"""`python -m commands COMMAND` runs the code of the current folder, `train-resnet COMMAND` the installed code."""

from commands.cli import main

if __name__ == "__main__":
    main()
