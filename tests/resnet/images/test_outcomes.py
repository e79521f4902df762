"""Names as they are shown, and the limit of a file's size."""

import pytest

from resnet.images.outcomes import MAX_FILE_BYTES, BadFile, Reason, check_size, is_text, shown


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cats/été.png", "cats/été.png"),
        ("caf\udce9.png", r"caf\xe9.png"),
        ("x\0.png", r"x\x00.png"),
        ("a" * 4096, "a" * 4096),
        ("a" * 4097, "a" * 300 + "..."),
    ],
)
def test_a_name_can_be_printed(name: str, expected: str) -> None:
    assert shown(name) == expected


def test_bytes_that_are_not_utf_8_are_no_text() -> None:
    assert is_text("été")
    assert not is_text("caf\udce9")


def test_a_file_of_128_mib_is_read_and_a_larger_one_is_not() -> None:
    check_size(128 * 2**20)
    assert MAX_FILE_BYTES == 128 * 2**20
    with pytest.raises(BadFile, match="134,217,729 bytes; at most 134,217,728 are read") as caught:
        check_size(128 * 2**20 + 1)
    assert caught.value.reason == Reason.TOO_LARGE


def test_unlabelled_images_and_those_of_small_classes_are_no_bad_files() -> None:
    assert [reason.value for reason in Reason if not reason.is_fault] == ["unlabelled", "small_class", "left_out"]
