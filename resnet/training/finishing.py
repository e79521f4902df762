"""What is fitted on the validation split after training, with the best weights, and stored in the model."""

import numpy as np
import numpy.typing as npt

from resnet.core.label_sets import LabelSets
from resnet.dataset.arrays import Split
from resnet.network.folding import folded_network_with_features
from resnet.network.inference import predict_with_features
from resnet.network.model import ResNet
from resnet.training.refusal import REFUSED, NoKnownScoreError, fit_known_score, rows_to_look_at
from resnet.training.temperature import fit_multi_label_calibration, fit_temperature
from resnet.training.thresholds import fit_thresholds


def finish(
    model: ResNet,
    training: Split,
    validation: Split,
    batch_size: int,
    precision: str,
    *,
    label_sets: LabelSets | None = None,
) -> str:
    """Calibrates a trained network, and gives it the score that refuses images of no class.

    Checkpoints hold the weights from before: a run that continues this one does not depend on what is done here.

    Args:
        model: with the weights to keep. Its head changes.
        training: the images that it was trained on, of which at most `resnet.training.refusal.MOST_IMAGES` are looked at.
        validation: images that it was not trained on. Without any, the model stays as it is.
        batch_size: images at a time.
        precision: to compute in, as `evaluate` does: both see the same logits.
        label_sets: what the labels mean, if images have several. The model then gets thresholds, and no known score: an image
            of no class has the empty set.

    Returns:
        Why the model has no known score, as a clause; empty if it has one.
    """
    if not len(validation):
        return "there are no validation images"
    network = folded_network_with_features(model, precision)
    if label_sets:
        _decide(model, label_sets.of(validation.labels), predict_with_features(network, validation, batch_size)[0])
        return ""
    logits, features = predict_with_features(network, validation, batch_size)
    rows = rows_to_look_at(len(training))
    _, known = predict_with_features(network, training, batch_size, rows=rows, size=validation.image_shape[0])
    model.calibrate(fit_temperature(validation.labels, logits))
    try:
        score = fit_known_score(known, np.asarray(training.labels[rows]), features, model.classes)
    except NoKnownScoreError as error:
        return str(error)
    model.refuse(score, REFUSED)
    return ""


def _decide(model: ResNet, truth: npt.NDArray[np.bool_], logits: npt.NDArray[np.float32]) -> None:
    """Calibrates a network for several labels, and sets the thresholds of its classes; both arrays are (images, classes)."""
    temperature, offset = fit_multi_label_calibration(truth, logits)
    model.calibrate(temperature, offset)
    model.decide_by(fit_thresholds(truth, logits / np.float32(temperature) + np.float32(offset)))
