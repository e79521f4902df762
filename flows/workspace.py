"""Where a run works, and what it was asked for: the work tree itself, or a checkout of its own at a revision."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from flows.checkout import changed_files, clone, experiment_name, git, private_folder, resolve, snapshot
from flows.dvc_process import DvcProcess
from flows.locks import held
from flows.overrides import apply_overrides, check_overrides
from resnet.errors import UserError
from tasks.graph import DVC_YAML, read_graph
from tasks.params import PARAMS_YAML

PROJECT = Path(__file__).resolve().parent.parent
_SHOWN = 5


@dataclass(frozen=True)
class Request:
    """What a run is asked for; see `flows/train_resnet.py`."""

    overrides: Mapping[str, Any] = field(default_factory=dict)
    rev: str = "HEAD"
    experiment: str | None = None
    in_place: bool = False
    include_changes: bool = False
    keep_checkout: bool = False

    def check(self, home: Path = PROJECT) -> str:
        """Refuses what cannot be, before a run is made of it.

        Returns:
            The commit that the run is an experiment on.

        Raises:
            UserError: says what cannot be.
        """
        commit = resolve(home, self.rev)
        head = resolve(home, "HEAD")
        if self.in_place and (self.overrides or self.keep_checkout or commit != head):
            raise UserError(
                "a run in place takes the work tree as it is; overrides and revisions need a checkout: leave out in_place."
            )
        if self.include_changes and commit != head:
            raise UserError(f"uncommitted changes belong to HEAD, not to {self.rev!r}; leave out one of the two.")
        if self.overrides and commit == head:  # another revision may know other parameters; its own stages check them
            text = (
                (home / PARAMS_YAML).read_text("utf-8")
                if self.include_changes
                else git(home, "show", f"{commit}:{PARAMS_YAML}")
            )
            check_overrides(text, self.overrides, read_graph(home / DVC_YAML))
        return commit


@dataclass(frozen=True)
class Workspace:
    """Where a run works.

    Attributes:
        home: the project that the run belongs to.
        root: the work tree of the run, which is `home` for one in place.
        commit: that the run is an experiment on.
        dvc: the run's own DVC.
    """

    home: Path
    root: Path
    commit: str
    dvc: DvcProcess

    def look(self, stage: str) -> dict[str, Any]:
        """Whether a stage is up to date; see `flows/dvc_program.py`."""
        return self.dvc.request("look", root=str(self.root), stage=stage)

    def reproduce(self, stage: str, environment: Mapping[str, str], on_line: Callable[[str], None]) -> bool:
        """Brings one stage up to date; says whether its command was run."""
        ran: bool = self.dvc.request("reproduce", on_line, root=str(self.root), stage=stage, environment=dict(environment))[
            "ran"
        ]
        return ran

    def lock(self, name: str, on_wait: Callable[[], None] = lambda: None) -> AbstractContextManager[None]:
        """Holds a lock among the runs of the project."""
        return held(self.home / ".dvc" / "tmp" / "flows" / "locks" / f"{name}.lock", on_wait)

    def save(self, wanted: str, on_line: Callable[[str], None]) -> str:
        """Saves the results as an experiment of the project and returns its name."""
        with self.lock("experiments"):
            name = experiment_name(wanted, git(self.home, "for-each-ref", "--format=%(refname)", "refs/exps"))
            self.dvc.request("save", on_line, root=str(self.root), name=name, push=self.root != self.home)
        return name


@contextmanager
def opened(request: Request, name: str, say: Callable[[str], None], home: Path = PROJECT) -> Iterator[Workspace]:
    """Makes the place for a run, and takes it down again.

    Args:
        request: what is asked for.
        name: of the run.
        say: for what the user should know.
        home: the project.

    Raises:
        UserError: what is asked for cannot be.
    """
    commit = request.check(home)
    with ExitStack() as stack:
        root = home
        if not request.in_place:
            prefix = experiment_name(name, "")
            root = stack.enter_context(
                private_folder(home, prefix, request.keep_checkout, lambda path: say(f"The checkout is kept: {path}"))
            )
        dvc = stack.enter_context(DvcProcess(home))
        workspace = Workspace(home, root, commit, dvc)
        if request.in_place:
            stack.enter_context(workspace.lock("work-tree", lambda: say("Another run in place is under way; waiting for it.")))
        else:
            _fill(workspace, request, say)
        yield workspace


def _fill(workspace: Workspace, request: Request, say: Callable[[str], None]) -> None:
    changed = changed_files(workspace.home, workspace.commit)
    if changed:
        verb = "are taken along" if request.include_changes else "are left out; include_changes takes them along"
        more = f" and {len(changed) - _SHOWN} more" if len(changed) > _SHOWN else ""
        say(f"Files that differ from {request.rev} {verb}: {', '.join(changed[:_SHOWN])}{more}")
    tree = snapshot(workspace.home) if request.include_changes else None
    clone(workspace.home, workspace.root, workspace.commit, tree)
    apply_overrides(workspace.root / PARAMS_YAML, request.overrides)
    workspace.dvc.request("share_cache", root=str(workspace.root), source=str(workspace.home))
    _check_source(workspace)


def _check_source(workspace: Workspace) -> None:
    """DVC would say no more than that a file is missing."""
    source = YAML(typ="safe", pure=True).load(workspace.root / PARAMS_YAML)["ingest"]["source"]
    if not (workspace.root / source).exists():
        raise UserError(
            f"ingest.source is {source}, which is not in the run's checkout; track it with `dvc add` and commit that, or give "
            "its absolute path."
        )
