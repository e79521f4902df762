"""Other values of parameters, in the grammar of `dvc exp run -S`, which is Hydra's: DVC itself reads and applies them."""

import math
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from operator import itemgetter
from pathlib import Path
from tempfile import TemporaryDirectory

from resnet.core.errors import UserError, printable
from tasks.stage.params import PARAMS_YAML

_MOST = 1000  # experiments that are checked at once


@dataclass(frozen=True)
class Experiment:
    """An experiment that `dvc exp run` or `dvc exp run --queue` would make.

    Attributes:
        path: of a copy of `params.yaml` with its values.
        overrides: its values, as "train.epochs=3".
        refused: a sentence for each value that DVC cannot apply, with its place among the overrides.
    """

    path: Path
    overrides: Sequence[str]
    refused: list[tuple[int, str]] = field(default_factory=list)

    def mistakes(self, found: Iterable[str]) -> list[str]:
        """All that is wrong with it, in the order of its values. A sentence begins with the values or the file at fault.

        Args:
            found: what is wrong with the copy.
        """
        placed = [*self.refused, *map(self._placed, found)]
        return [sentence for _, sentence in sorted(placed, key=itemgetter(0))]

    def _placed(self, sentence: str) -> tuple[int, str]:
        words = sentence.replace(str(self.path), str(PARAMS_YAML))
        of_file = words.startswith(f"{PARAMS_YAML}: ")
        named = [place for place, one in enumerate(self.overrides) if of_file and _is_named(one, words)]
        if not named:
            return len(self.overrides), words
        values = " ".join(f"-S {self.overrides[place]}" for place in named)
        return named[0], f"{values}{words.removeprefix(str(PARAMS_YAML))}"


def _is_named(override: str, sentence: str) -> bool:
    """Whether a sentence is about the parameter of an override, which may have Hydra's + or ~ before its name."""
    name = override.lstrip("+~").partition("=")[0].strip()
    about, _, _ = sentence.partition("; known are ")
    return re.search(rf"(?<![\w.]){re.escape(name)}(?!\w)", about) is not None


def overridden(given: Sequence[str]) -> Iterator[Experiment]:
    """Yields each experiment that these values make; its copy of `params.yaml` exists until the next one.

    Args:
        given: such as "train.epochs=3", or "seed=1,2" for two experiments.

    Raises:
        UserError: DVC cannot read one of them.
    """
    for overrides in _experiments(given):
        with TemporaryDirectory() as folder:
            made = Experiment(Path(folder, PARAMS_YAML.name), overrides)
            shutil.copyfile(PARAMS_YAML, made.path)
            for place, one in enumerate(overrides):
                try:
                    _apply(made.path, one)
                except UserError as error:
                    made.refused.append((place, str(error)))
            yield made


def _experiments(given: Sequence[str]) -> list[list[str]]:
    from dvc.utils.cli_parse import to_path_overrides
    from dvc.utils.hydra import get_hydra_sweeps, to_hydra_overrides

    by_path: dict[str, list[str]] = to_path_overrides(given)
    for path in by_path:
        if path != str(PARAMS_YAML):
            raise UserError(f"-S names the file {path}, but the parameters are in {PARAMS_YAML}: leave the file out.")
    overrides = by_path[str(PARAMS_YAML)]
    if not all(one.strip() for one in overrides):
        raise UserError("-S is empty: write it as NAME=VALUE with the name of a parameter, as in -S train.epochs=3.")
    for one in overrides:
        try:
            to_hydra_overrides([one])
        except Exception as error:  # of Hydra's or of ANTLR's
            raise _refused(one, error) from error
    sweeping = [one for one in to_hydra_overrides(overrides) if one.is_sweep_override()]
    if not sweeping:
        return [overrides]
    try:
        count = math.prod(sum(1 for _ in islice(one.sweep_string_iterator(), _MOST + 1)) for one in sweeping)
        if count > _MOST:
            raise UserError(f"-S {printable(' '.join(overrides))} makes more than {_MOST:,} experiments: check fewer at once.")
        sweeps: list[dict[str, list[str]]] = get_hydra_sweeps(by_path)
    except UserError:
        raise
    except Exception as error:
        raise _refused(" ".join(overrides), error) from error
    return [one[str(PARAMS_YAML)] for one in sweeps]


def _apply(path: Path, override: str) -> None:
    from dvc.utils.hydra import apply_overrides

    try:
        apply_overrides(path, [override])
    except Exception as error:
        raise _refused(override, error.__cause__ or error) from error


def _refused(override: str, error: BaseException) -> UserError:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
    return UserError(
        f"-S {printable(override)} cannot be applied to {PARAMS_YAML} ({printable(reason)}): write it as NAME=VALUE with the "
        "name of a parameter, as in -S train.epochs=3."
    )
