"""Writes `reports/data.html`, a look at the data: `train-resnet look`, once `preprocess` has run.

The stage `render` writes the same page. This command does not wait for the training.
"""

import sys
from dataclasses import fields

from resnet.core.errors import UserError
from tasks.report.data import PreparedTables, RawTables, read_data, write_data_page
from tasks.stage.graph import project_paths


def main() -> int:
    """Returns the exit code."""
    try:
        paths = project_paths()
        prepared = PreparedTables(**{field.name: paths[field.name] for field in fields(PreparedTables)})
        write_data_page(read_data(RawTables(paths["raw"]), prepared), paths["data_html"])
    except UserError as error:
        print(f"look: {error}", file=sys.stderr)
        return 1
    print(f"look: {paths['data_html']} shows the data")
    return 0


if __name__ == "__main__":
    sys.exit(main())
