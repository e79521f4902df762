"""The first-party modules that a module imports, read from its source."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = ("flows", "commands", "tasks", "resnet")
# Packages that take a noticeable part of a second to import.
HEAVY = ["tensorflow", "keras", "pandas", "matplotlib", "sklearn", "scipy", "pyarrow", "jinja2", "dvc", "prefect"]


def modules() -> dict[str, Path]:
    """All first-party modules by their dotted names."""
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            relative = path.relative_to(ROOT)
            parts = relative.parent.parts if path.name == "__init__.py" else relative.with_suffix("").parts
            found[".".join(parts)] = relative
    return found


MODULES = modules()


def imported_names(path: Path) -> Iterator[str]:
    """Dotted names that a file imports, also inside functions, but not those for type checkers only."""
    yield from _names(ast.parse((ROOT / path).read_text("utf-8")).body)


def _names(body: list[ast.stmt]) -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            yield from _names(node.orelse)
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        yield from _names([child for child in ast.walk(node) if isinstance(child, ast.stmt) and child is not node])


def direct(module: str) -> set[str]:
    """First-party modules that a module imports itself, with their packages."""
    names = set()
    for name in imported_names(MODULES[module]):
        parts = name.split(".")
        names |= {".".join(parts[:length]) for length in range(1, len(parts) + 1)}
    return names & MODULES.keys()


def closure(module: str) -> set[str]:
    """First-party modules that are imported together with a module, including itself and its packages."""
    parts = module.split(".")
    seen: set[str] = set()
    waiting = {".".join(parts[:length]) for length in range(1, len(parts) + 1)}
    while waiting:
        name = waiting.pop()
        seen.add(name)
        waiting |= direct(name) - seen
    return seen


def decides_something(module: str) -> bool:
    """Whether a module has more than a docstring; the `__init__.py` of a package often does not."""
    body = ast.parse((ROOT / MODULES[module]).read_text("utf-8")).body
    return any(not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)) for node in body)


def code_of(module: str) -> set[Path]:
    """The files that decide what a module does: all modules that it imports, and the templates beside them."""
    files = {MODULES[name] for name in closure(module) if decides_something(name)}
    for folder in {path.parent for path in files}:
        files |= {path.relative_to(ROOT) for path in (ROOT / folder).glob("*.html")}
    return files
