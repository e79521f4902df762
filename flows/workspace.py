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
from flows.dvc_process import DvcError, DvcProcess, list_experiments
from flows.locks import held
from flows.overrides import apply_overrides, check_overrides
from flows.worker_checks import here
from flows.worker_home import deliver, home_of, taken_names
from resnet.core.errors import UserError, printable
from resnet.ingestion.stored import SCHEME
from tasks.stage.git import git
from tasks.stage.graph import DVC_YAML, read_graph
from tasks.stage.params import PARAMS_YAML, load_params
from tasks.training import pause

PROJECT = Path(__file__).resolve().parent.parent  # the code of this run
HOME = home_of(
    PROJECT
)  # what the run belongs to: its Git repository, DVC's cache, checkpoints. Another folder on a worker only
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

    def check(self, home: Path = HOME) -> str:
        """Checks the request before the run starts.

        Args:
            home: the project.

        Returns:
            The hash of the commit that the experiment is based on.

        Raises:
            UserError: the request is invalid.
        """
        away = is_away(home)
        if away and (self.in_place or self.include_changes):
            raise UserError(
                "a worker gets the project from Git, so it has no uncommitted changes and no work tree of yours: commit and "
                "push, and leave out in_place and include_changes."
            )
        head = resolve(PROJECT if away else home, "HEAD")  # other runs move the HEAD of a worker's clone
        commit = head if self.rev == "HEAD" else resolve(home, self.rev)
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
        elif self.overrides:
            self.checker(commit, home)(self.overrides)
        return commit

    def checker(self, commit: str, home: Path = HOME) -> Callable[[Mapping[str, Any]], None]:
        """A function that checks overrides, of which a sweep has many.

        Args:
            commit: what `check` returned.
            home: the project.

        Returns:
            A function of the overrides, which raises `UserError` if they are invalid.
        """
        head = resolve(PROJECT if is_away(home) else home, "HEAD")
        # Another version of the code may define other parameters; its own stages check them.
        if commit != head or (not self.include_changes and _code_differs(home)):
            return lambda overrides: None
        changed = self.include_changes
        text = (home / PARAMS_YAML).read_text("utf-8") if changed else git(home, "show", f"{commit}:{PARAMS_YAML}")
        stages = list(read_graph(home / DVC_YAML))
        return lambda overrides: check_overrides(text, overrides, stages)


def is_away(home: Path) -> bool:
    """Whether a project is a worker's clone: data come from the DVC remote, and results go there and to Git."""
    return home == HOME != PROJECT


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
        """Saves the results as an experiment of the project and returns its name. A worker delivers them too.

        A run that is repeated, such as a fold of an audit that was interrupted, has its experiment already: same name, same
        baseline and same files.
        """
        if not is_away(self.home):
            name, ref = self._save(wanted)
            list_experiments(self.home, [ref], self.dvc)
            return name
        self.dvc.request("push", root=str(self.root))
        while True:
            name, ref = self._save(wanted, taken_names(self.home))
            if deliver(self.home, ref):
                return name

    def _save(self, wanted: str, taken: str = "") -> tuple[str, str]:
        """Saves the results in the project's repository; returns the name and the ref of the experiment.

        Args:
            wanted: the name.
            taken: further refs of experiments, whose names are taken.
        """
        in_place = self.root == self.home
        with self.lock("experiments"):
            # The index of a checkout has the uncommitted changes that it was given. The user's own index is not used.
            base = self.commit if in_place else git(self.root, "write-tree")
            tree = snapshot(self.root, base, _kept_by_git(self.root))
            if earlier := self._saved(wanted, tree):
                return earlier
            here = git(self.home, "for-each-ref", "--format=%(refname)", "refs/exps")
            name = experiment_name(wanted, f"{here}\n{taken}")
            made, ref = commit_experiment(self.root, self.commit, tree, name)
            if in_place:
                git(self.home, "update-ref", ref, made)
            else:
                git(self.root, "push", "--quiet", "origin", f"{made}:{ref}")
        return name, ref

    def _saved(self, wanted: str, tree: str) -> tuple[str, str] | None:
        """The experiment of this baseline that has these files and the wanted name, perhaps with a number: its name and ref."""
        refs = f"refs/exps/{self.commit[:2]}/{self.commit[2:]}/"
        plain = re.escape(experiment_name(wanted, ""))
        for line in git(self.home, "for-each-ref", "--format=%(tree) %(refname)", refs).splitlines():
            found, _, ref = line.partition(" ")
            name = ref.rpartition("/")[2]
            if found == tree and re.fullmatch(rf"{plain}(-\d+)?", name):
                return name, ref
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
    request: Request, name: str, say: Callable[[str], None], home: Path = HOME, environment: Mapping[str, str] | None = None
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
    away = is_away(workspace.home)
    changed = [] if away else changed_files(workspace.home, workspace.commit)
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
    if away:
        _fetch(workspace, say)
    _check_sources(workspace.root, "the run's checkout; track it with `dvc add` and commit that, or give its absolute path")


def _fetch(workspace: Workspace, say: Callable[[str], None]) -> None:
    """Gets what the run needs from the DVC remote.

    Raises:
        UserError: there is no remote, or this machine cannot use it.
    """
    root = str(workspace.root)
    try:
        remote = workspace.dvc.request("reach", root=root)["remote"]
    except DvcError as error:
        raise UserError(
            f"{here()} cannot use the DVC remote, through which it gets data and returns results ({error}); try `dvc push` "
            "there as the user of the worker, and correct the credentials or the address."
        ) from error
    if remote is None:
        raise UserError(
            f"{here()} would get data and return results through the default DVC remote, but this commit has none: run "
            "`dvc remote add --default NAME URL`, `dvc push`, commit `.dvc/config` and push."
        )
    missing = workspace.dvc.request("fetch", root=root)["missing"]
    if missing:
        say(f"Not in the remote {remote}, so it is computed here: {', '.join(missing)}; `dvc push` at home avoids this.")


def _check_sources(root: Path, place: str = "") -> None:
    """Reports a missing source by the name of its parameter; DVC would only say that a file is missing."""
    params = YAML(typ="safe", pure=True).load(root / PARAMS_YAML)
    # A revision from before build.weights was introduced lacks it.
    for section, name in (("ingest", "source"), ("build", "weights")):
        source = params[section].get(name, "")
        if not source.startswith(SCHEME) and not (root / source).exists():
            raise UserError(f"{section}.{name} is {source}, which is not in {place or f'{root}; correct the path'}.")
