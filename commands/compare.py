"""Compares two runs on the same test images: `train-resnet compare REVISION [REVISION]`.

A revision is one of Git's, the name of an experiment, or `workspace`, the work tree, which is the second where none is named.
Refuses where the test images differ, and says in what.
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from commands.results import WORK_TREE, Prediction, Run
from resnet.core.errors import UserError
from resnet.core.files import replacing

if TYPE_CHECKING:
    from resnet.comparison.page import Comparison
    from resnet.comparison.paired_comparison import ClassChange

_MOST_LINES = 10  # of classes and of images, in the text; the page has more


def compare(first: Run, second: Run) -> "Comparison":
    """What sets two runs apart.

    Raises:
        UserError: their test images differ, or a part of their results is not at hand.
    """
    import numpy as np

    from resnet.comparison.page import Comparison, Image
    from resnet.comparison.paired_comparison import class_changes, compare_hits

    require_same_images(first, second)
    paths = sorted(first.predictions)
    answers = [(first.predictions[path], second.predictions[path]) for path in paths]
    hits = [np.array([_right(pair[place]) for pair in answers]) for place in (0, 1)]
    labels = [before.label for before, _ in answers]
    changed = [
        Image(path, before.label, before.predicted, before.probability, after.predicted, after.probability)
        for path, (before, after) in zip(paths, answers, strict=True)
        if _right(before) != _right(after)
    ]
    known, of_second = first.parameters, second.parameters
    return Comparison(
        first=str(first),
        second=str(second),
        paired=compare_hits(*hits),
        metrics={name: (value, second.metrics[name]) for name, value in first.metrics.items() if name in second.metrics},
        parameters={
            name: (known.get(name), of_second.get(name))
            for name in sorted(known.keys() | of_second.keys())
            if known.get(name) != of_second.get(name)
        },
        code=sorted(path for path, md5 in {**first.code, **second.code}.items() if first.code.get(path) != md5),
        classes=class_changes(labels, *hits),
        gained=[image for image in changed if image.after == image.label],
        lost=[image for image in changed if image.before == image.label],
    )


def require_same_images(first: Run, second: Run) -> None:
    """Raises `UserError` unless two runs were measured on the same images with the same labels."""
    ours, theirs = first.predictions, second.predictions
    differences = []
    for run, mine, other in ((first, ours, theirs), (second, theirs, ours)):
        alone = sorted(mine.keys() - other.keys())
        if alone:
            differences.append(f"{len(alone)} of {len(mine)} are in {run.name} alone, such as {alone[0]}")
    common = sorted(ours.keys() & theirs.keys())
    relabelled = [path for path in common if ours[path].label != theirs[path].label]
    if relabelled:
        path = relabelled[0]
        differences.append(f"{len(relabelled)} have two labels, such as {path}: {ours[path].label} and {theirs[path].label}")
    if first.data != second.data:  # the same path may be of another picture
        hashes = first.pixel_hashes(), second.pixel_hashes()
        replaced = [path for path in common if hashes[0][path] != hashes[1][path]]
        if replaced:
            differences.append(f"{len(replaced)} have other pixels, such as {replaced[0]}")
    if differences:
        raise UserError(
            f"the test images of {first.name} and {second.name} differ: {'; '.join(differences)}{_causes(first, second)}. Only "
            "networks that saw the same images can be compared: run one of the two again with the data of the other."
        )


def _causes(first: Run, second: Run) -> str:
    deciding = ("ingest.", "preprocess.")
    before, after = first.parameters, second.parameters
    changed = [
        f"{name} is {before.get(name)} and {after.get(name)}"
        for name in sorted(before.keys() | after.keys())
        if name.startswith(deciding) and before.get(name) != after.get(name)
    ]
    return f" ({', '.join(changed)})" if changed else ""


def _right(prediction: Prediction) -> bool:
    return prediction.label == prediction.predicted


def as_text(found: "Comparison") -> str:
    """The comparison for a terminal."""
    paired = found.paired
    width = max(len(found.first), len(found.second))
    lines = [
        f"{place:<8}{name:<{width}}  accuracy {100 * hits / paired.images:.2f} % ({hits} of {paired.images})"
        for place, name, hits in (("first", found.first, paired.first), ("second", found.second, paired.second))
    ]
    lines += [
        f"difference {100 * paired.difference:+.2f} points, 95 % interval {100 * paired.low:+.2f} to {100 * paired.high:+.2f} "
        "(paired, Newcombe 1998)",
        f"McNemar's exact test: p = {paired.p_value:.4f}; {paired.gained} images gained, {paired.lost} lost",
        found.conclusion,
    ]
    lines += ["", f"{'metric':<20}{'first':>10}{'second':>10}{'difference':>12}"]
    lines += [f"{name:<20}{one:>10.4f}{other:>10.4f}{other - one:>+12.4f}" for name, (one, other) in found.metrics.items()]
    if found.parameters:
        lines += ["", "parameters that differ"]
        lines += [f"  {name}: {one} -> {other}" for name, (one, other) in found.parameters.items()]
    if found.code:
        lines += ["", f"code that differs: {', '.join(found.code)}"]
    lines += _section("classes that changed", [_class_line(change) for change in found.classes])
    for title, images in (("images gained", found.gained), ("images lost", found.lost)):
        lines += _section(
            title,
            [
                f"  {image.path}: is {image.label}; {image.before} ({image.before_probability:.2f}) -> "
                f"{image.after} ({image.after_probability:.2f})"
                for image in images
            ],
        )
    return "\n".join(lines)


def _section(title: str, lines: list[str]) -> list[str]:
    more = [f"  and {len(lines) - _MOST_LINES} more; --html FILE has them"] if len(lines) > _MOST_LINES else []
    return ["", title, *lines[:_MOST_LINES], *more] if lines else []


def _class_line(change: "ClassChange") -> str:
    recall = f"{100 * change.first / change.images:.1f} % -> {100 * change.second / change.images:.1f} %"
    return f"  {change.label}: recall {recall} ({change.gained} gained, {change.lost} lost, of {change.images})"


def main() -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(prog="train-resnet compare", description=__doc__)
    parser.add_argument("first", help="a revision, an experiment, or workspace")
    parser.add_argument("second", nargs="?", default=WORK_TREE, help="the same; workspace where none is named")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write the comparison as a page, too")
    arguments = parser.parse_args()
    try:
        found = compare(Run(arguments.first), Run(arguments.second))
        print(as_text(found))
        if arguments.html:
            from resnet.comparison.page import render_comparison

            with replacing(arguments.html) as partial:
                partial.write_text(render_comparison(found), encoding="utf-8")
            print(f"\ncompare: {arguments.html} shows all of it")
    except UserError as error:
        print(f"compare: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
