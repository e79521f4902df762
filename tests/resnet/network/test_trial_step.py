"""The trial step: the processor passes it in all precisions; a device that is not there fails it in all."""

from resnet.network.trial_step import failures


def test_the_processor_passes() -> None:
    assert failures("CPU:0") == []


def test_a_device_that_is_missing_fails_in_every_precision_and_placement_is_as_before() -> None:
    found = failures("GPU:7")
    assert [one.partition(": ")[0] for one in found] == ["float32", "float16", "bfloat16"]
    assert failures("CPU:0") == []
