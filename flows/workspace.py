"""Where a run works, and what it was asked for: the work tree itself, or a checkout of its own at a revision."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from commands.repair import repair_dvc_files
from flows.checkout import changed_files, clone, commit_experiment, experiment_name, private_folder, resolve, snapshot
from flows.dvc_process import DvcProcess
from flows.locks import held
from flows.overrides import apply_overrides, check_overrides
from resnet.core.errors import UserError
from tasks.stage.git import git
from tasks.stage.graph import DVC_YAML, read_graph
from tasks.stage.params import PARAMS_YAML

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
        if (
            self.overrides and commit == head and (self.include_changes or not self._knows_others(home))
        ):  # another revision may know other parameters; its own stages check them
            text = (
                (home / PARAMS_YAML).read_text("utf-8")
                if self.include_changes
                else git(home, "show", f"{commit}:{PARAMS_YAML}")
            )
            check_overrides(text, self.overrides, read_graph(home / DVC_YAML))
        return commit

    def _knows_others(self, home: Path) -> bool:
        """Whether the code of the work tree may know other parameters than the commit's."""
        return any(name.startswith("tasks/") or name == str(DVC_YAML) for name in changed_files(home))


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

    def save(self, wanted: str) -> str:
        """Saves the results as an experiment of the project and returns its name."""
        in_place = self.root == self.home
        with self.lock("experiments"):
            name = experiment_name(wanted, git(self.home, "for-each-ref", "--format=%(refname)", "refs/exps"))
            # What a checkout was given of uncommitted changes is in its index; the user's own index is not for runs.
            base = self.commit if in_place else git(self.root, "write-tree")
            made, ref = commit_experiment(self.root, self.commit, snapshot(self.root, base, _kept_by_git(self.root)), name)
            if in_place:
                git(self.home, "update-ref", ref, made)
            else:
                git(self.root, "push", "--quiet", "origin", f"{made}:{ref}")
        return name


def _kept_by_git(root: Path) -> list[str]:
    """What the pipeline writes and DVC's cache does not keep: before the first commit of results Git does not know it."""
    files = ["dvc.lock"]
    for entry in read_graph(root / DVC_YAML).values():
        for kind in ("outs", "metrics", "plots"):
            for item in entry.get(kind, []):
                if isinstance(item, dict):
                    (path, options), *_ = item.items()
                    files += [path] if options.get("cache") is False else []
    return files


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
    for sentence in repair_dvc_files(home):
        say(sentence)
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
    if request.overrides:
        apply_overrides(workspace.root / PARAMS_YAML, request.overrides)
    workspace.dvc.request("share_cache", root=str(workspace.root), source=str(workspace.home))
    _check_sources(workspace)


def _check_sources(workspace: Workspace) -> None:
    """DVC would say no more than that a file is missing."""
    params = YAML(typ="safe", pure=True).load(workspace.root / PARAMS_YAML)
    # The weights may be missing in a revision from before there was such a parameter.
    for section, name in (("ingest", "source"), ("build", "weights")):
        source = params[section].get(name, "")
        if not (workspace.root / source).exists():
            raise UserError(
                f"{section}.{name} is {source}, which is not in the run's checkout; track it with `dvc add` and commit that, "
                "or give its absolute path."
            )
