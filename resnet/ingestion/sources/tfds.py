"""Data sets of TensorFlow Datasets as sources: `tfds:dtd`, `tfds:cats_vs_dogs:4.0.1`. They need the extra `tfds`."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeVar

from resnet.core.errors import UserError
from resnet.images.outcomes import Candidate, Outcome, Reason, Rejected
from resnet.ingestion.sources.source import SPLIT_NAMES, Source

T = TypeVar("T")

_RETRY_DELAYS = (2.0, 10.0, 30.0)  # seconds


def tfds_source(name: str) -> Source:
    """The images of a data set, encoded as it stores them. The data set is downloaded and prepared if needed.

    Its folder is that of TensorFlow Datasets: `TFDS_DATA_DIR`, by default `~/tensorflow_datasets`.

    Args:
        name: as for `tensorflow_datasets.builder`, optionally with a configuration and a version.

    Raises:
        UserError: the package is missing, the name is unknown, the data set cannot be fetched, or it has no images or no class
            labels.
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
    """The builder of a data set, after its files were downloaded and prepared; see `tfds_source`."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise UserError(
            f"tfds:{name} needs the package tensorflow-datasets, which is not installed: `pip install -e '.[tfds]'`."
        ) from error
    try:
        builder = _with_retries(lambda: tfds.builder(name))
        _with_retries(builder.download_and_prepare)
    except tfds.core.registered.DatasetNotFoundError as error:
        raise UserError(f"TensorFlow Datasets knows no data set {name}; `tfds.list_builders()` lists all names.") from error
    except Exception as error:  # the code of data sets, the network and hosts raise errors of many types
        what = " ".join(str(error).split())[:300]
        raise UserError(
            f"tfds:{name} could not be fetched ({type(error).__name__}: {what}); check the name and the network."
        ) from error
    return builder


def _with_retries(fetch: Callable[[], T]) -> T:
    """Calls `fetch`, again after network errors. The package keeps the files that it has already downloaded."""
    for seconds in _RETRY_DELAYS:
        try:
            return fetch()
        except Exception as error:
            if not _is_network_error(error):
                raise
            print(f"network error ({type(error).__name__}); retrying in {seconds:g} s", file=sys.stderr, flush=True)
            time.sleep(seconds)
    return fetch()


def _is_network_error(error: BaseException) -> bool:
    """Whether a host could not be reached, by the names of exception types of various packages."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    return bool(
        kinds & {"ConnectionError", "TimeoutError", "URLError", "RequestException", "DownloadError", "UnavailableError"}
    )


def _keys(name: str, info: Any) -> tuple[str, str]:
    """The names of the image and label features: the supervised keys of the data set, or the first feature of each type."""
    named: Any = info.supervised_keys or ()
    kinds = [type(info.features[key]).__name__ for key in named if isinstance(key, str)]
    if kinds == ["Image", "ClassLabel"]:
        return named[0], named[1]
    return _feature(name, info.features, "Image", "images"), _feature(name, info.features, "ClassLabel", "class labels")


def _feature(name: str, features: Any, kind: str, noun: str) -> str:
    """The name of the first feature of a type."""
    for key, feature in features.items():
        if type(feature).__name__ == kind:
            return str(key)
    found = ", ".join(f"{key} ({type(feature).__name__})" for key, feature in features.items())
    raise UserError(f"tfds:{name} has no {noun}; its features are {found}: choose a data set for image classification.")


def _files(builder: Any, splits: list[str], image: str, label: str) -> Iterator[Outcome]:
    import tensorflow_datasets as tfds

    names = builder.info.features[label].names
    read_config = tfds.ReadConfig(interleave_cycle_length=1, add_tfds_id=True)  # files one after another, in a fixed order
    for split in splits:
        examples = builder.as_dataset(
            split=split, decoders={image: tfds.decode.SkipDecoding()}, shuffle_files=False, read_config=read_config
        )
        for example in examples.as_numpy_iterator():
            path = f"{split}/{example['tfds_id'].decode()}"
            number = int(example[label])
            if not 0 <= number < len(names):  # -1 means no label, as in test splits with secret labels
                yield Rejected(path, Reason.UNLABELLED if number == -1 else Reason.NO_LABEL, f"its label is {number}")
                continue
            yield Candidate(path, names[number], partial(bytes, example[image]), SPLIT_NAMES.get(split))
