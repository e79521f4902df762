"""What is fitted on the validation split after training, with the best weights, and stored in the model."""

import numpy as np

from resnet.dataset.arrays import Split
from resnet.network.folding import folded_network_with_features
from resnet.network.inference import predict_with_features
from resnet.network.model import ResNet
from resnet.training.refusal import REFUSED, NoKnownScoreError, fit_known_score, rows_to_look_at
from resnet.training.temperature import fit_temperature


def finish(model: ResNet, training: Split, validation: Split, batch_size: int, precision: str) -> str:
    """Calibrates a trained network, and gives it the score that refuses images of no class.

    Checkpoints hold the weights from before: a run that continues this one does not depend on what is done here.

    Args:
        model: with the weights to keep. Its head changes.
        training: the images that it was trained on, of which at most `resnet.training.refusal.MOST_IMAGES` are looked at.
        validation: images that it was not trained on. Without any, the model stays as it is.
        batch_size: images at a time.
        precision: to compute in, as `evaluate` does: both see the same logits.

    Returns:
        Why the model has no known score, as a clause; empty if it has one.
    """
    if not len(validation):
        return "there are no validation images"
    network = folded_network_with_features(model, precision)
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
