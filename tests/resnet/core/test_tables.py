"""CSV tables: what is read, and what is refused."""

from pathlib import Path

import pytest

from resnet.core.errors import UserError
from resnet.core.tables import read_table

COLUMNS = {"path": "str", "epoch": "int", "loss": "float"}


def table(folder: Path, text: str) -> Path:
    (folder / "table.csv").write_text(text, encoding="utf-8")
    return folder / "table.csv"


def test_text_stays_text_and_numbers_become_numbers(tmp_path: Path) -> None:
    text = 'loss,other,path,epoch\n0.5,x,007,1\n1e-3,y,nan,2\n2,z,"a,\nb",3\n3,,,4\n'
    found = read_table(table(tmp_path, text), COLUMNS, rows=4)
    assert list(found.columns) == ["path", "epoch", "loss"]
    assert found["path"].tolist() == ["007", "nan", "a,\nb", ""]
    assert found["epoch"].tolist() == [1, 2, 3, 4]
    assert found["loss"].tolist() == [0.5, 0.001, 2.0, 3.0]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("path,epoch\na,1\n", "its columns are not path, epoch, loss"),
        ("path,epoch,loss\na,1,0.5\nb,2\n", "one of its lines is incomplete"),
        ("path,epoch,loss\na,1,0.5,7\n", "one of its lines is incomplete"),
        ("path,epoch,loss\na,one,0.5\n", "invalid literal for int"),
        ("path,epoch,loss\na,1,\n", "could not convert string to float"),
        ("path,epoch,loss\na,1,0.5\n", "it has 1 row instead of 2"),
        ("", "its columns are not path, epoch, loss"),
        ("path,loss,epoch,name\na,1,1\nb,1,1,x\n", "one of its lines is incomplete"),
    ],
)
def test_another_table_is_damaged(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(UserError, match=rf"table\.csv is damaged or cut short \(.*{reason}"):
        read_table(table(tmp_path, text), COLUMNS, rows=2)


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"table\.csv is missing"):
        read_table(tmp_path / "table.csv", COLUMNS)
