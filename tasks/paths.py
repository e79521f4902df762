"""Where things are, for commands that are no stage: what `dvc.yaml` lists, by the names that stages have for it."""

from pathlib import Path

from tasks.graph import DVC_YAML, read_graph, stage_paths


def project_paths() -> dict[str, Path]:
    """Every file and folder of the project in the current folder: `resnet_keras` is where `dvc.yaml` puts `resnet.keras`.

    Raises:
        UserError: there is no `dvc.yaml`, or it cannot be read.
    """
    return {path.name.replace(".", "_"): path for entry in read_graph(DVC_YAML).values() for path in stage_paths(entry)}
