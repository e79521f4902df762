"""What the columns of a table mean, by the names that data sets give them."""

import pytest

from resnet.core.errors import UserError
from resnet.ingestion.sources.columns import Choice, NotATable, find_columns, pick_label

AUTO = Choice()


def columns(header: str, first: str = "", choice: Choice = AUTO, there: str = "") -> tuple[str | None, ...]:
    names, cells = header.split(","), first.split(",")
    row = dict(zip(names, cells, strict=False))
    found = find_columns("x.csv", names, row, choice, there.split().__contains__)
    return found.path, found.label


@pytest.mark.parametrize(
    ("header", "path", "label"),
    [
        ("path,label", "path", "label"),
        ("file_name,label", "file_name", "label"),  # Hugging Face's image folders
        ("id,breed", "id", "breed"),  # Kaggle: dog-breed-identification
        ("image_id,label", "image_id", "label"),  # Kaggle: cassava-leaf-disease-classification
        ("id_code,diagnosis", "id_code", "diagnosis"),  # Kaggle: aptos2019-blindness-detection
        ("Image,Id", "Image", "Id"),  # Kaggle: humpback-whale-identification; the label is what is left
        ("lesion_id,image_id,dx,dx_type,age", "image_id", "dx"),  # HAM10000
        ("class id,filepaths,labels,data set", "filepaths", "labels"),  # Kaggle: butterfly-images40-species
        ("Image Path,Class", "Image Path", "Class"),
        ("FILENAME,Category,width", "FILENAME", "Category"),
        ("group,split,picture,label", "picture", "label"),  # the path is what is left
    ],
)
def test_names_of_known_data_sets_are_understood(header: str, path: str, label: str) -> None:
    assert columns(header) == (path, label)


def test_the_user_comes_before_the_names() -> None:
    assert columns("path,label,thumb,kind", choice=Choice("thumb", "kind")) == ("thumb", "kind")
    assert columns("Path,Label,Thumb Nail", choice=Choice(path_column="thumb_nail")) == ("Thumb Nail", "Label")
    with pytest.raises(
        NotATable, match="x.csv has no column nothing, which ingest.path_column names; its columns are path, lab"
    ):
        columns("path,label", choice=Choice("nothing"))


def test_two_columns_that_may_be_it_are_refused_with_the_parameter() -> None:
    message = "x.csv has several columns that may name the class, class, category: name the right one in ingest.label_column"
    with pytest.raises(UserError, match=message):
        columns("path,class,category", "a,b,c", there="a")
    with pytest.raises(NotATable, match=message):  # it describes no image, but perhaps the class folders beside it
        columns("path,class,category", "a,b,c")
    with pytest.raises(UserError, match="several columns that may name the image, file, image: name .* in ingest.path_column"):
        columns("file,image,label", "a,b,c", there="a b")


def test_of_two_columns_the_one_with_an_image_that_exists_is_the_path() -> None:
    assert columns("file,image,label", "a,b,c", there="b") == ("image", "label")


def test_a_table_that_names_no_images_is_none() -> None:
    with pytest.raises(
        NotATable, match="has no column path or file_name or image that names the images; its columns are a, b, c"
    ):
        columns("a,b,c")
    pixels = ",".join(f"pixel{number}" for number in range(784))  # Kaggle: digit-recognizer
    with pytest.raises(NotATable, match="its columns are label, pixel0, .*, pixel8 and 775 more: rename one"):
        columns(f"label,{pixels}")


def test_columns_of_zeros_and_ones_are_one_hot() -> None:
    names = ["image", "MEL", "NV", "split"]  # ISIC 2018, task 3
    found = find_columns("x.csv", names, {"image": "a", "MEL": "0.0", "NV": " 1.0", "split": "train"}, AUTO, bool)
    assert (found.path, found.label, found.one_hot, found.split) == ("image", None, ("MEL", "NV"), "split")
    found = find_columns("x.csv", names, {"image": "a", "MEL": "0.3", "NV": "0.7"}, AUTO, bool)
    assert (found.label, found.one_hot) == (None, ())


def test_a_label_is_picked_among_fields() -> None:
    assert pick_label("x", ["caption", "label", "class"], AUTO) == "label"
    assert pick_label("x", ["caption"], AUTO) is None
    assert pick_label("x", ["caption", "label"], Choice(label_column="caption")) == "caption"


@pytest.mark.parametrize("name", ["split", "group"])
def test_two_columns_that_mean_the_same_are_refused(name: str) -> None:
    header = ["path", "label", name, name.upper()]
    with pytest.raises(UserError, match=f"x.csv has several columns called {name}, {name}, {name.upper()}; rename or remove"):
        find_columns("x.csv", header, {}, Choice(), lambda _: True)
