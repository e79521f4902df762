"""Other values of parameters, in the grammar of `dvc exp run -S`, which is Hydra's: DVC itself reads and applies them."""

import math
import shutil
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

from resnet.core.errors import UserError, printable
from tasks.stage.params import PARAMS_YAML

_MOST = 1000  # experiments that are checked at once


def overridden(given: Sequence[str]) -> Iterator[Path]:
    """Yields a copy of `params.yaml` for each experiment that `dvc exp run` or `dvc exp run --queue` would make.

    Args:
        given: such as "train.epochs=3", or "seed=1,2" for two experiments.

    Raises:
        UserError: DVC would refuse one of them.
    """
    for overrides in _experiments(given):
        with TemporaryDirectory() as folder:
            path = Path(folder, PARAMS_YAML.name)
            shutil.copyfile(PARAMS_YAML, path)
            _apply(path, overrides)
            yield path


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


def _apply(path: Path, overrides: Sequence[str]) -> None:
    from dvc.utils.hydra import apply_overrides

    for one in overrides:
        try:
            apply_overrides(path, [one])
        except Exception as error:
            raise _refused(one, error.__cause__ or error) from error


def _refused(override: str, error: BaseException) -> UserError:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
    return UserError(
        f"-S {printable(override)} cannot be applied to {PARAMS_YAML} ({printable(reason)}): write it as NAME=VALUE with the "
        "name of a parameter, as in -S train.epochs=3."
    )
