"""Write `reports/data.html`, a page to look at the data.

It needs the results of `preprocess`. The stage `render` writes the same page, after the training.
"""

from dataclasses import fields

from resnet.core.errors import UserError
from tasks.report.data import PreparedTables, RawTables, read_data, write_data_page
from tasks.stage.graph import project_paths


def look() -> None:
    """Writes the page.

    Raises:
        UserError: `ingest` or `preprocess` has not run, or one of their files is damaged.
    """
    paths = project_paths()
    for path in (paths["raw"], paths["prepared_sha256"]):
        if not path.exists():
            raise UserError(f"{path} is missing: run `dvc repro preprocess`, which trains nothing, and then this again.")
    prepared = PreparedTables(**{field.name: paths[field.name] for field in fields(PreparedTables)})
    write_data_page(read_data(RawTables(paths["raw"]), prepared), paths["data_html"])
    print(f"look: {paths['data_html']} shows the data")
