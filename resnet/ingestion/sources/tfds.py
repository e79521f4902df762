"""A data set of TensorFlow Datasets as a source: `tfds:dtd`, `tfds:cats_vs_dogs:4.0.1`. It needs the extra `tfds`."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeVar

from resnet.core.errors import UserError
from resnet.images.outcomes import Candidate, Outcome, Reason, Rejected
from resnet.ingestion.sources.layout import SPLIT_NAMES
from resnet.ingestion.sources.source import Source

T = TypeVar("T")

_WAITS = (2.0, 10.0, 30.0)  # seconds before another try


def tfds_source(name: str) -> Source:
    """The images of a data set, encoded as it stores them; it is downloaded and prepared if it is not there yet.

    It is looked for, and put, where TensorFlow Datasets does: `~/tensorflow_datasets`, or `TFDS_DATA_DIR`.

    Args:
        name: as `tensorflow_datasets.builder` takes it, with a configuration and a version if wanted.

    Raises:
        UserError: the package is missing, the name is unknown, the data set cannot be fetched, or it has no image or no class
            label.
    """
    builder = prepared_builder(name)
    features = builder.info.features
    image, label = _keys(name, builder.info)
    known = [split for split in builder.info.splits if split in SPLIT_NAMES]
    splits = known if "train" in known else list(builder.info.splits)
    others = [split for split in builder.info.splits if split not in splits]
    return Source(
        list(features[label].names),
        partial(_files, builder, splits, image, label),
        (f"the splits {', '.join(others)} of {name} were left out",) if others else (),
    )


def prepared_builder(name: str) -> Any:
    """The builder of a data set whose files are there; see `tfds_source`."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise UserError(
            f"tfds:{name} needs the package tensorflow-datasets, which is not installed: `pip install -e '.[tfds]'`."
        ) from error
    try:
        builder = _with_patience(lambda: tfds.builder(name))
        _with_patience(builder.download_and_prepare)
    except tfds.core.registered.DatasetNotFoundError as error:
        raise UserError(f"TensorFlow Datasets knows no data set {name}; `tfds.list_builders()` names all.") from error
    except Exception as error:  # whatever a data set's own code, the network or a host raises
        what = " ".join(str(error).split())[:300]
        raise UserError(f"tfds:{name} could not be fetched ({type(error).__name__}: {what}).") from error
    return builder


def _with_patience(fetch: Callable[[], T]) -> T:
    """Tries again after a while, as long as it is the network that fails: what was fetched already is kept by the package."""
    for seconds in _WAITS:
        try:
            return fetch()
        except Exception as error:
            if not _is_of_the_network(error):
                raise
            print(f"the network failed ({type(error).__name__}); trying again in {seconds:g} s", file=sys.stderr, flush=True)
            time.sleep(seconds)
    return fetch()


def _is_of_the_network(error: BaseException) -> bool:
    """Hosts that do not answer, of whichever package; a missing file or a full disk is none."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    return bool(
        kinds & {"ConnectionError", "TimeoutError", "URLError", "RequestException", "DownloadError", "UnavailableError"}
    )


def _keys(name: str, info: Any) -> tuple[str, str]:
    """The names of the image and of its label: those that the data set itself names, or the first of their kinds."""
    named: Any = info.supervised_keys or ()
    kinds = [type(info.features[key]).__name__ for key in named if isinstance(key, str)]
    if kinds == ["Image", "ClassLabel"]:
        return named[0], named[1]
    return _feature(name, info.features, "Image", "images"), _feature(name, info.features, "ClassLabel", "class labels")


def _feature(name: str, features: Any, kind: str, noun: str) -> str:
    """The name of the first feature of a kind."""
    for key, feature in features.items():
        if type(feature).__name__ == kind:
            return str(key)
    found = ", ".join(f"{key} ({type(feature).__name__})" for key, feature in features.items())
    raise UserError(f"tfds:{name} has no {noun}; its features are {found}: choose a data set for image classification.")


def _files(builder: Any, splits: list[str], image: str, label: str) -> Iterator[Outcome]:
    import tensorflow_datasets as tfds

    names = builder.info.features[label].names
    read_config = tfds.ReadConfig(interleave_cycle_length=1, add_tfds_id=True)  # one file after the other: a fixed order
    for split in splits:
        examples = builder.as_dataset(
            split=split, decoders={image: tfds.decode.SkipDecoding()}, shuffle_files=False, read_config=read_config
        )
        for example in examples.as_numpy_iterator():
            path = f"{split}/{example['tfds_id'].decode()}"
            number = int(example[label])
            if not 0 <= number < len(names):  # -1 stands for none, as in test splits whose labels are secret
                yield Rejected(path, Reason.NO_LABEL, f"its label is {number}")
                continue
            yield Candidate(path, names[number], partial(bytes, example[image]), SPLIT_NAMES.get(split))
