"""The request for a run, and the folder in which the run works: the project's work tree, or a checkout of one revision."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from commands.repair import refuse_conflicts, repair_dvc_files
from flows.checkout import changed_files, clone, commit_experiment, experiment_name, private_folder, resolve, snapshot
from flows.dvc_process import DvcProcess
from flows.locks import held
from flows.overrides import apply_overrides, check_overrides
from resnet.core.errors import UserError, printable
from tasks.stage.git import git
from tasks.stage.graph import DVC_YAML, read_graph
from tasks.stage.params import PARAMS_YAML, load_params
from tasks.training import pause

PROJECT = Path(__file__).resolve().parent.parent
_SHOWN = 5  # changed files to name


@dataclass(frozen=True)
class Request:
    """The arguments of a run; see `flows/train_resnet.py`."""

    overrides: Mapping[str, Any] = field(default_factory=dict)
    rev: str = "HEAD"
    experiment: str | None = None
    in_place: bool = False
    include_changes: bool = False
    keep_checkout: bool = False

    def check(self, home: Path = PROJECT) -> str:
        """Checks the request before the run starts.

        Args:
            home: the project.

        Returns:
            The hash of the commit that the experiment is based on.

        Raises:
            UserError: the request is invalid.
        """
        commit = resolve(home, self.rev)
        head = resolve(home, "HEAD")
        if self.in_place and (self.overrides or self.keep_checkout or commit != head):
            raise UserError(
                "a run in place uses the work tree as it is, but overrides and revisions need a checkout; leave out in_place."
            )
        if self.include_changes and commit != head:
            raise UserError(
                f"uncommitted changes belong to HEAD, not to {self.rev!r}; leave out the revision or include_changes."
            )
        if self.in_place or self.include_changes:
            refuse_conflicts(home)
        if self.in_place:
            _check_params(home)
            _check_sources(home)
        # Another version of the code may define other parameters; its own stages check them.
        elif self.overrides and commit == head and (self.include_changes or not _code_differs(home)):
            text = (
                (home / PARAMS_YAML).read_text("utf-8")
                if self.include_changes
                else git(home, "show", f"{commit}:{PARAMS_YAML}")
            )
            check_overrides(text, self.overrides, read_graph(home / DVC_YAML))
        return commit


def _check_params(home: Path) -> None:
    try:
        load_params(home / PARAMS_YAML, read_graph(home / DVC_YAML))
    except UserError as error:
        raise UserError(str(error).replace(f"{home}/", "")) from error


def _code_differs(home: Path) -> bool:
    """Whether the code that defines the parameters differs between the work tree and HEAD."""
    return any(name.startswith("tasks/") or name == str(DVC_YAML) for name in changed_files(home))


@dataclass(frozen=True)
class Workspace:
    """The folder in which a run works, and its DVC.

    Attributes:
        home: the project that the run belongs to.
        root: the work tree of the run; `home` itself for a run in place.
        commit: the hash of the commit that the experiment is based on.
        dvc: the DVC process of the run.
        environment: variables for the commands of all stages.
    """

    home: Path
    root: Path
    commit: str
    dvc: DvcProcess
    environment: Mapping[str, str] = field(default_factory=dict)

    def record(self, stage: str) -> Path:
        """The file in which a stage records its events."""
        return self.root / ".dvc" / "tmp" / "events" / f"{stage}.jsonl"

    def look(self, stage: str) -> dict[str, Any]:
        """Tells whether a stage is up to date; see `look` in `flows/dvc_program.py` for the answer."""
        return self.dvc.request("look", root=str(self.root), stage=stage)

    def reproduce(self, stage: str, environment: Mapping[str, str], on_line: Callable[[str], None]) -> bool:
        """Brings one stage up to date and returns whether its command ran.

        Args:
            stage: its name.
            environment: variables to add for the stage's command.
            on_line: called with each line of output.
        """
        ran: bool = self.dvc.request("reproduce", on_line, root=str(self.root), stage=stage, environment=dict(environment))[
            "ran"
        ]
        return ran

    def lock(self, name: str, on_wait: Callable[[], None] = lambda: None) -> AbstractContextManager[None]:
        """Holds a lock that all runs of the project share; calls `on_wait` first if another run holds it."""
        return held(self.home / ".dvc" / "tmp" / "flows" / "locks" / f"{name}.lock", on_wait)

    def save(self, wanted: str) -> str:
        """Saves the results as an experiment of the project and returns its name.

        A run that is repeated, such as a fold of an audit that was interrupted, has its experiment already: same name, same
        baseline and same files.
        """
        in_place = self.root == self.home
        with self.lock("experiments"):
            # The index of a checkout has the uncommitted changes that it was given. The user's own index is not used.
            base = self.commit if in_place else git(self.root, "write-tree")
            tree = snapshot(self.root, base, _kept_by_git(self.root))
            if earlier := self._saved(wanted, tree):
                return earlier
            name = experiment_name(wanted, git(self.home, "for-each-ref", "--format=%(refname)", "refs/exps"))
            made, ref = commit_experiment(self.root, self.commit, tree, name)
            if in_place:
                git(self.home, "update-ref", ref, made)
            else:
                git(self.root, "push", "--quiet", "origin", f"{made}:{ref}")
        return name

    def _saved(self, wanted: str, tree: str) -> str | None:
        """The name of the experiment of this baseline that has these files and the wanted name, perhaps with a number."""
        refs = f"refs/exps/{self.commit[:2]}/{self.commit[2:]}/"
        plain = re.escape(experiment_name(wanted, ""))
        for line in git(self.home, "for-each-ref", "--format=%(tree) %(refname)", refs).splitlines():
            found, _, ref = line.partition(" ")
            name = ref.rpartition("/")[2]
            if found == tree and re.fullmatch(rf"{plain}(-\d+)?", name):
                return name
        return None


def _kept_by_git(root: Path) -> list[str]:
    """Lists the outputs that belong in Git, not in DVC's cache; until results are committed, Git does not track them."""
    files = ["dvc.lock"]
    for entry in read_graph(root / DVC_YAML).values():
        for kind in ("outs", "metrics", "plots"):
            for item in entry.get(kind, []):
                if isinstance(item, dict):
                    (path, options), *_ = item.items()
                    files += [path] if options.get("cache") is False else []
    return files


@contextmanager
def opened(
    request: Request, name: str, say: Callable[[str], None], home: Path = PROJECT, environment: Mapping[str, str] | None = None
) -> Iterator[Workspace]:
    """Sets up the workspace of a run and removes it at the end.

    Args:
        request: the arguments of the run.
        name: of the run.
        say: called with each sentence for the user.
        home: the project.
        environment: variables for the commands of all stages.

    Raises:
        UserError: the request is invalid.
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
        workspace = Workspace(home, root, commit, dvc, environment or {})
        if request.in_place:
            stack.enter_context(workspace.lock("work-tree", lambda: say("Waiting for another run in place to end.")))
        else:
            _fill(workspace, request, say)
        yield workspace


def _fill(workspace: Workspace, request: Request, say: Callable[[str], None]) -> None:
    """Makes the checkout of a run."""
    changed = changed_files(workspace.home, workspace.commit)
    tree = snapshot(workspace.home) if request.include_changes else None
    clone(workspace.home, workspace.root, workspace.commit, tree)
    written = tuple(_kept_by_git(workspace.root))  # the run replaces these
    changed = [name for name in changed if name not in written and not name.startswith(tuple(f"{path}/" for path in written))]
    if changed:
        # The parts of a trial that pauses cannot include changes: see `check_pruning`.
        remedy = "commit them to include them" if pause.VARIABLE in workspace.environment else "include_changes includes them"
        verb = "are included" if request.include_changes else f"are left out; {remedy}"
        more = f" and {len(changed) - _SHOWN} more" if len(changed) > _SHOWN else ""
        say(f"Files that differ from {request.rev} {verb}: {', '.join(map(printable, changed[:_SHOWN]))}{more}")
    if request.overrides:
        apply_overrides(workspace.root / PARAMS_YAML, request.overrides)
    workspace.dvc.request("share_cache", root=str(workspace.root), source=str(workspace.home))
    _check_sources(workspace.root, "the run's checkout; track it with `dvc add` and commit that, or give its absolute path")


def _check_sources(root: Path, place: str = "") -> None:
    """Reports a missing source by the name of its parameter; DVC would only say that a file is missing."""
    params = YAML(typ="safe", pure=True).load(root / PARAMS_YAML)
    # A revision from before build.weights was introduced lacks it.
    for section, name in (("ingest", "source"), ("build", "weights")):
        source = params[section].get(name, "")
        if not (root / source).exists():
            raise UserError(f"{section}.{name} is {source}, which is not in {place or f'{root}; correct the path'}.")
