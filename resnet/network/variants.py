"""The three common variants of ResNets, as plain data: it needs no Keras."""

from dataclasses import dataclass

EXPANSION = 4  # of the channels in a bottleneck block's last convolution
BASIC_DEPTHS = (18, 34)  # they have basic blocks; the others have bottleneck blocks


@dataclass(frozen=True)
class Variant:
    """The points in which implementations of the paper differ.

    Attributes:
        stride_in_3x3: whether a block that halves the resolution does so in its 3x3 convolution rather than in its first 1x1.
        use_bias: whether convolutions have a bias; the batch normalisation after them makes it redundant.
        epsilon: added to the variance in batch normalisation.
        deep_stem: whether the stem has three 3x3 convolutions rather than one 7x7 convolution.
        pooled_shortcut: whether a shortcut halves the resolution by averaging 2x2 pixels before its 1x1 convolution rather than
            by a stride in that convolution.
    """

    stride_in_3x3: bool
    use_bias: bool
    epsilon: float
    deep_stem: bool = False
    pooled_shortcut: bool = False


VARIANTS = {
    # As in the paper, the original Caffe models and keras.applications.
    "v1": Variant(stride_in_3x3=False, use_bias=True, epsilon=1.001e-5),
    # A 1x1 convolution with stride 2 ignores three quarters of its input. With the stride in the 3x3 convolution, top-1
    # accuracy on ImageNet is about 0.5 points higher: Goyal et al., "Accurate, Large Minibatch SGD" (2017), section 5.1.
    # torchvision has it there, too.
    "v1.5": Variant(stride_in_3x3=True, use_bias=False, epsilon=1e-5),
    # The shortcut does not ignore input either: He et al., "Bag of Tricks for Image Classification with Convolutional Neural
    # Networks" (2018), section 4.
    "D": Variant(stride_in_3x3=True, use_bias=False, epsilon=1e-5, deep_stem=True, pooled_shortcut=True),
}
