"""The points in which the variants differ, against the implementations that they are named after."""

from resnet.network.variants import VARIANTS


def test_v1_is_as_in_keras_applications_and_the_others_as_in_torchvision() -> None:
    # keras.applications.ResNet50: epsilon=1.001e-5, biased convolutions; torchvision: eps=1e-5, no biases, stride in the 3x3.
    assert [(one.epsilon, one.use_bias, one.stride_in_3x3) for one in VARIANTS.values()] == [
        (1.001e-5, True, False),
        (1e-5, False, True),
        (1e-5, False, True),
    ]
    assert [name for name, one in VARIANTS.items() if one.deep_stem or one.pooled_shortcut] == ["D"]
