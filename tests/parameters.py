"""Parameters of stages that several tests start from; `.model_copy(update=...)` changes some."""

from tasks.preprocess import Preprocess

PREPROCESS = Preprocess(
    image_size=32,
    training_size=None,
    validation_share=0.1,
    test_share=0.2,
    split_seed=0,
    near_duplicates="ignore",
    fold=None,
)
