"""Serves the deployments from this folder: `python -m flows.serve`. Runs start in processes of their own, oldest first."""

import argparse
import sys

from prefect import serve
from prefect.settings import get_current_settings

from flows.locks import slot_count
from flows.server import require_server
from flows.train_resnet import train_resnet
from resnet.errors import UserError


def main(arguments: list[str] | None = None) -> int:
    """Serves until it is told to stop; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m flows.serve", description=__doc__)
    parser.add_argument("--limit", type=int, help="runs at a time; as many as can train at once unless given")
    given = parser.parse_args(arguments)
    try:
        require_server(get_current_settings().api.url)
        limit = given.limit or slot_count()
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    serve(train_resnet.to_deployment("train-resnet"), limit=limit)
    return 0


if __name__ == "__main__":
    sys.exit(main())
