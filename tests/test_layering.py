"""The rooms and who may import whom; each stage's one word; each stage's code in `dvc.yaml`."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.stage.graph import read_graph, stage_code, stage_paths
from tasks.stage.params import section_class
from tests.imports import MODULES, ROOT, code_of, direct, imported_names

GRAPH = read_graph(ROOT / "dvc.yaml")
STAGES = ["ingest", "preprocess", "build", "train", "evaluate", "render"]


def listed_code(stage: str) -> list[Path]:
    return stage_code(GRAPH[stage])


def test_the_six_stages_stand_in_their_order() -> None:
    assert list(GRAPH) == STAGES


@pytest.mark.parametrize("stage", STAGES)
def test_one_word_in_all_places(stage: str) -> None:
    assert GRAPH[stage]["cmd"] == f"exec python -m tasks.{stage}"
    assert f"\n{stage}:" in (ROOT / "params.yaml").read_text("utf-8")
    assert section_class(stage).__name__ == stage.capitalize()
    assert section_class(stage).__module__ == f"tasks.{stage}"
    assert stage in GRAPH[stage]["params"]


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_imports_nothing_from_outside_its_deps(stage: str) -> None:
    folders = listed_code(stage)
    outside = {file for file in code_of(f"tasks.{stage}") if not any(file.is_relative_to(folder) for folder in folders)}
    # It hands names of the library to notebooks, and no module imports from it: see below.
    assert outside <= {Path("resnet/__init__.py")}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_no_folder_that_it_does_not_import_from(stage: str) -> None:
    imported = code_of(f"tasks.{stage}")
    assert [code for code in listed_code(stage) if not any(file.is_relative_to(code) for file in imported)] == []


def test_dvc_yaml_names_folders() -> None:
    assert sum(len(GRAPH[stage]["deps"]) for stage in STAGES) < 64
    assert [code for stage in STAGES for code in listed_code(stage) if not (ROOT / code).exists()] == []


@pytest.mark.parametrize("module", [name for name in MODULES if name.startswith("resnet")])
def test_the_library_knows_nothing_of_the_pipeline(module: str) -> None:
    names = {name.partition(".")[0] for name in imported_names(MODULES[module])}
    assert not names & {"flows", "commands", "tasks", "prefect", "dvc", "yaml", "ruamel", "pydantic"}


@pytest.mark.parametrize("module", [name for name in MODULES if name.startswith("tasks")])
def test_stages_import_no_commands_no_flows_and_no_prefect(module: str) -> None:
    assert not {name.partition(".")[0] for name in imported_names(MODULES[module])} & {"flows", "commands", "prefect"}


@pytest.mark.parametrize("module", [name for name in MODULES if name.startswith("commands")])
def test_commands_import_no_flows_and_no_prefect(module: str) -> None:
    assert not {name.partition(".")[0] for name in imported_names(MODULES[module])} & {"flows", "prefect"}


@pytest.mark.parametrize("module", [name for name in MODULES if name.startswith("tasks.")])
def test_stages_do_not_import_each_other(module: str) -> None:
    others = {f"tasks.{stage}" for stage in STAGES} - {module}
    assert not direct(module) & others


def test_the_flow_reads_as_dvc_yaml_does() -> None:
    """The same stages in the same order, and each is given exactly those that write what it reads."""
    writers = {str(path): stage for stage in STAGES for path in stage_paths({**GRAPH[stage], "deps": []})}
    expected = [
        (stage, {writers[out] for dep in GRAPH[stage]["deps"] for out in writers if f"{dep}/".startswith(f"{out}/")})
        for stage in STAGES
    ]
    assert list(stages_of_the_flow()) == expected


def stages_of_the_flow() -> Iterator[tuple[str, set[str]]]:
    """Calls of stages in the flow, as `prepared = preprocess(workspace, images)`, with the stages that they are given."""
    makers: dict[str, str] = {}
    tree = ast.parse((ROOT / MODULES["flows.train_resnet"]).read_text("utf-8"))
    flow = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "run_stages")
    for node in ast.walk(flow):
        call = getattr(node, "value", None)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in STAGES:
            yield call.func.id, {makers[argument.id] for argument in call.args[1:] if isinstance(argument, ast.Name)}
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                makers[node.targets[0].id] = call.func.id


def test_the_program_that_runs_dvc_serves_checkouts_of_any_revision() -> None:
    assert direct("flows.dvc_program") == set()


@pytest.mark.parametrize("module", MODULES)
def test_nothing_in_here_imports_from_the_package_root(module: str) -> None:
    # It hands its names out lazily, past the reach of a reader of import statements.
    for node in ast.walk(ast.parse((ROOT / MODULES[module]).read_text("utf-8"))):
        assert not (isinstance(node, ast.ImportFrom) and node.module in ("resnet", "tasks")), ast.unparse(node)


def test_the_library_can_be_imported_without_tensorflow() -> None:
    program = "import sys, resnet, resnet.dataset.arrays, resnet.pictures.curves; print('tensorflow' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"


def test_only_dvc_yaml_says_where_things_are() -> None:
    paths = {str(path) for stage in STAGES for path in stage_paths(GRAPH[stage]) if path.suffix not in (".py", ".html")}
    for name, file in MODULES.items():
        strings = {
            node.value
            for node in ast.walk(ast.parse((ROOT / file).read_text("utf-8")))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
        assert not strings & paths, name


def test_every_output_is_asked_for_by_its_stage() -> None:
    for stage in STAGES:
        source = (ROOT / "tasks" / f"{stage}.py").read_text("utf-8")
        for path in stage_paths({kind: GRAPH[stage].get(kind, []) for kind in ("outs", "metrics", "plots")}):
            assert f"{path.name.replace('.', '_')}: Path" in source, f"{stage} does not write {path}"
