"""Which score tells images of a network's classes from foreign ones, by AUROC and the share of foreign images that pass.

    python -m benchmarks.unknown PROJECT OTHER [OTHER ...] [--images 500]

PROJECT is the folder of a project that has run: its test images are the known ones. Each OTHER is a folder of foreign images,
`digits` for those of scikit-learn, or `noise`. As in OpenOOD (Yang et al. 2022), the second figure is the share of foreign
images that pass where 95 % of the known images do.
"""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy.special import logsumexp, softmax
from scipy.stats import mannwhitneyu

Array = npt.NDArray[np.floating]
Outputs = tuple[Array, Array]  # logits and features
NEIGHBOUR = 10  # of Sun et al. (2022), whose own choice grows with the number of images
KEPT = 0.95  # of the known images


def auroc(known: Array, foreign: Array) -> float:
    """The probability that a known image has a higher score than a foreign one; equal scores count half."""
    return float(mannwhitneyu(known, foreign).statistic / (len(known) * len(foreign)))


def passing(known: Array, foreign: Array) -> float:
    """The share of foreign images at or above the score that `KEPT` of the known images reach."""
    return float((foreign >= np.quantile(known, 1 - KEPT, method="lower")).mean())


def scores(training: Outputs, labels: npt.NDArray[np.integer], validation: Outputs) -> dict[str, Callable[[Outputs], Array]]:
    """The candidates, by name: each is higher for known images.

    Args:
        training: logits and features of training images.
        labels: their classes.
        validation: logits and features of validation images.
    """
    from resnet.training.refusal import fit_known_score

    classes = training[0].shape[1]
    bank = _unit(training[1])
    means = _unit(np.stack([training[1][labels == label].mean(axis=0) for label in np.unique(labels)]))
    distance = fit_known_score(training[1], labels, validation[1], classes)
    return {
        "largest probability (Hendrycks & Gimpel 2017)": lambda found: softmax(found[0], axis=1).max(axis=1),
        "largest logit (Hendrycks et al. 2022)": lambda found: found[0].max(axis=1),
        "energy (Liu et al. 2020)": lambda found: logsumexp(found[0], axis=1),
        f"{NEIGHBOUR}th nearest training feature (Sun et al. 2022)": lambda found: np.partition(
            _unit(found[1]) @ bank.T, -NEIGHBOUR, axis=1
        )[:, -NEIGHBOUR],
        "cosine to the nearest class mean": lambda found: (_unit(found[1]) @ means.T).max(axis=1),
        "distance to the nearest class mean, as stored": lambda found: distance(found[1]),
    }


def _unit(features: Array) -> Array:
    return np.asarray(features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12))


def foreign_images(name: str, size: int, count: int) -> npt.NDArray[np.uint8]:
    """Up to `count` foreign images of this size, the same in every call: (images, size, size, 3)."""
    from resnet.images.decoding import MAX_PIXELS, load, resize_and_crop

    generator = np.random.default_rng(0)
    if name == "noise":
        return generator.integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    if name == "digits":
        from sklearn.datasets import load_digits

        grey = (load_digits().images[:count] * 255 / 16).round().astype(np.uint8)
        return np.stack([resize_and_crop(Image.fromarray(one).convert("RGB"), size) for one in grey])
    files = sorted(path for path in Path(name).rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    chosen = sorted(generator.permutation(len(files))[:count])
    return np.stack([load(files[place].read_bytes(), size, MAX_PIXELS) for place in chosen])


def table(known: Outputs, foreign: Mapping[str, Outputs], candidates: Mapping[str, Callable[[Outputs], Array]]) -> str:
    """The figures as a table in Markdown: a row for each score, a column for each kind of foreign images."""
    lines = [f"| score | {' | '.join(foreign)} |", f"|---|{'---|' * len(foreign)}"]
    for name, score in candidates.items():
        own, others = score(known), [score(found) for found in foreign.values()]
        lines.append(f"| {name} | {' | '.join(f'{auroc(own, one):.3f} / {passing(own, one):.2f}' for one in others)} |")
    return "\n".join(lines)


def main() -> None:
    """Prints the table of one network."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.unknown", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("project", type=Path)
    parser.add_argument("others", nargs="+", metavar="OTHER")
    parser.add_argument("--images", type=int, default=500, help="foreign images of each kind, at most")
    given = parser.parse_args()
    from resnet.core.classes import read_classes
    from resnet.dataset.arrays import Split
    from resnet.network.startup import start_tensorflow

    start_tensorflow()
    from resnet.network.folding import folded_network_with_features
    from resnet.network.inference import predict_with_features
    from resnet.network.saving import load_any_model
    from resnet.training.refusal import rows_to_look_at

    prepared = given.project / "data" / "prepared"
    model = load_any_model(given.project / "models" / "resnet.keras")
    network = folded_network_with_features(model)
    splits = {name: Split(prepared / name, model.classes) for name in ("training", "validation", "test")}
    rows = rows_to_look_at(len(splits["training"]))
    training = predict_with_features(network, splits["training"], 64, rows=rows)
    validation, test = (predict_with_features(network, splits[name], 64) for name in ("validation", "test"))
    hits = (test[0].argmax(axis=1) == splits["test"].labels).mean()
    print(f"{len(read_classes(prepared / 'classes.json'))} classes, accuracy {100 * hits:.2f} %; AUROC / share that passes\n")
    foreign = {}
    for name in given.others:
        images = foreign_images(name, model.input_shape[1], given.images)
        parts = [network(images[start : start + 64]) for start in range(0, len(images), 64)]
        foreign[name] = (np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts]))
    print(table(test, foreign, scores(training, np.asarray(splits["training"].labels[rows]), validation)))


if __name__ == "__main__":
    main()
