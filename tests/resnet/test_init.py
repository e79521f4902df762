"""The names that the package provides on first use."""

import pytest

import resnet


@pytest.mark.parametrize("name", resnet.__all__)
def test_every_name_is_that_of_its_module(name: str) -> None:
    found = getattr(resnet, name)
    assert found.__name__ == name
    assert found.__module__.startswith("resnet.network.")


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'resnet' has no attribute 'absent'"):
        _ = resnet.absent
