"""Files that are no sources: the message names the format and the way."""

from pathlib import Path

import pytest

from resnet.core.errors import UserError
from resnet.ingestion.sources.catalog import open_source
from tests.pictures import picture, write_tree


@pytest.mark.parametrize(
    ("name", "what", "way"),
    [
        ("annotations.json", "JSON", "write a .csv with the columns path and label"),
        ("list.txt", "text", "write a .csv with the columns path and label"),
        ("labels.xlsx", "a spreadsheet", "save it as .csv"),
        ("clip.mp4", "a video", "extract its frames, for example with ffmpeg"),
        ("data.h5", "HDF5", "h5py"),
        ("data.mat", "a MATLAB file", "scipy.io.loadmat"),
        ("x_train.npy", "a single NumPy array", r"numpy.savez\(FILE, x=images, y=labels\)"),
        ("a.tfrecord", "TFRecord", "tfds:NAME"),
        ("train.tfrecord-00000-of-00010", "TFRecord", "tfds:NAME"),
        ("pets.7z", "an archive of a kind that is not read", "unpack it"),
        ("pets.rar", "an archive of a kind that is not read", "pack it as .zip or .tar"),
        ("labels.csv.gz", "a compressed file", "uncompress it"),
        ("batch.pkl", "a pickle, which can run code .* never loaded", "numpy.savez"),
        ("train-labels-idx1-ubyte.gz", "the labels of IDX images", "name the folder with both as the source"),
        ("photo.jpg", "a single image", "expected builtin/digits, a folder"),
        ("data.foo", "of no known kind", "expected builtin/digits, a folder"),
    ],
)
def test_a_file_of_another_format_is_named_with_the_way(tmp_path: Path, name: str, what: str, way: str) -> None:
    (tmp_path / name).write_bytes(b"PK\3\4" if name.endswith("xlsx") else b"1")
    with pytest.raises(UserError, match=f"the source .*{name} is {what}.*{way}"):
        open_source(str(tmp_path / name))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], "has no files: put images into it, in one folder for each class, or name another source"),
        (["cat/a.mp4", "cat/b.mp4", "dog/c.mp4", "readme.txt"], "has no images, but files such as cat/a.mp4, which is a video"),
        (["train/x.tfrecord-00000-of-00001"], "which is TFRecord"),
        (
            ["train.zip", "test.zip"],
            "files such as test.zip, which is an archive: if it is the right folder, name that archive as",
        ),
        (["cifar-10-batches-py/data_batch_1"], "a pickle, which can run code .* use the Parquet files .* or tfds:cifar10"),
    ],
)
def test_a_folder_of_other_formats_is_named_with_the_way(tmp_path: Path, files: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        open_source(str(write_tree(tmp_path, dict.fromkeys(files, b"1"))))


def test_images_without_an_extension_are_images(tmp_path: Path) -> None:
    files = {"cat/1": picture(1), "cat/notes.txt": b"1", "dog/2": picture(2)}
    assert open_source(str(write_tree(tmp_path, files))).classes == ["cat", "dog"]
