"""Compare the results of revisions on the same test images: two in detail, or up to twenty with the first of them.

A revision is a revision of Git, the name of an experiment, or `workspace`, which is the work tree. One revision alone is
compared with the work tree. If the test images differ, the command fails and says how they differ.
"""

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from commands.places import own_place
from commands.results import WORK_TREE, Prediction, RevisionResults
from resnet.core.errors import UserError, printable
from resnet.core.files import replacing
from resnet.core.words import agreeing
from resnet.pictures.data_labels import NO_CLASS, set_in_words
from resnet.pictures.pages import as_yaml
from tasks.stage.git import git_or_none

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt

    from resnet.comparison.page import Comparison
    from resnet.comparison.paired_comparison import ClassChange
    from resnet.comparison.runs import Run

MOST_RUNS = 20  # as many lines can be told apart in a drawing
_MOST_LINES = 10  # of classes and of images in the text; the page has all of them


def compare(
    revisions: Annotated[list[str], typer.Argument(metavar="REVISION", help="Revisions, experiments, or workspace.")],
    html: Annotated[
        Path | None,
        typer.Option(metavar="FILE", dir_okay=False, help="Write the comparison as a page, too."),
    ] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print Markdown instead of text, for a comment on a pull request.")
    ] = False,
) -> None:
    """Prints the comparison of revisions, and writes it as a page.

    Raises:
        UserError: there are too many revisions, or the page would replace another file; or see `compare_results`.
    """
    if markdown and len(revisions) > 2:
        raise UserError(f"received {len(revisions)} revisions, but --markdown compares two; leave it out, or name two.")
    if len(revisions) > MOST_RUNS:
        raise UserError(f"received {len(revisions)} revisions, expected at most {MOST_RUNS}; leave some out.")
    if html:
        _refuse_place(html)
    runs = [RevisionResults(name) for name in (revisions if len(revisions) > 1 else [*revisions, WORK_TREE])]
    if len(runs) > 2:
        several = compare_several(runs)
        print(several_as_text(several))
        if html:
            from resnet.comparison.runs import render_runs

            _write(html, render_runs(several))
    else:
        found = compare_results(*runs)
        if markdown:
            from resnet.comparison.markdown import as_markdown

            print(as_markdown(found))
        else:
            print(as_text(found))
        if html:
            from resnet.comparison.page import render_comparison

            _write(html, render_comparison(replace(found, histories=[run.history for run in runs])), markdown=markdown)


def _refuse_place(html: Path) -> None:
    if (place := own_place(html)) is not None:
        raise UserError(f"{html} is {place} or in it, which belongs to the pipeline, Git or DVC: name another file.")
    file = Path(os.path.realpath(html))
    if git_or_none(file.parent, "ls-files", "--error-unmatch", "--", f":(literal){file.name}") is not None:
        raise UserError(f"{html} is a file that Git tracks, which the page would replace: name another file.")


def _write(html: Path, page: str, *, markdown: bool = False) -> None:
    with replacing(html) as partial:
        partial.write_text(page, encoding="utf-8")
    print(f"\ncompare: {printable(str(html))} shows all of it", file=sys.stderr if markdown else sys.stdout)


def compare_several(runs: "Sequence[RevisionResults]") -> "list[Run]":
    """The results of revisions, with the paired comparison of each with the first.

    Raises:
        UserError: their test images differ, or a part of their results is not available.
    """
    from resnet.comparison.paired_comparison import compare_hits
    from resnet.comparison.runs import Run

    first = runs[0]
    for other in runs[1:]:
        require_same_images(first, other)
    hits = [_hits(run) for run in runs]
    return [
        Run(
            name=str(run),
            images=len(of_run),
            hits=int(of_run.sum()),
            metrics=run.metrics,
            parameters=run.parameters,
            history=run.history,
            paired=None if run is first else compare_hits(hits[0], of_run),
            code=_code_that_differs(first, run),
            measure=_measure(runs),
        )
        for run, of_run in zip(runs, hits, strict=True)
    ]


def _hits(run: RevisionResults) -> "npt.NDArray[np.bool_]":
    """(images,) whether the prediction of each test image is correct, by path."""
    import numpy as np

    return np.array([_right(run.predictions[path]) for path in sorted(run.predictions)])


def _code_that_differs(first: RevisionResults, second: RevisionResults) -> list[str]:
    return sorted(path for path, md5 in {**first.code, **second.code}.items() if first.code.get(path) != md5)


def several_as_text(runs: "Sequence[Run]") -> str:
    """The comparison of several revisions as text for a terminal."""
    from resnet.comparison.runs import differing, mirror_remark

    width = max(len(run.name) for run in runs)
    measure = runs[0].measure
    lines = [f"{'':>2}  {'run':<{width}}  {measure:>9}  difference, 95 % interval (paired, Newcombe 1998)"]
    for number, run in enumerate(runs, 1):
        line = f"{number:>2}  {run.name:<{width}}  {100 * run.accuracy:>{max(7, len(measure) - 2)}.2f} %"
        if paired := run.paired:
            interval = f"{100 * paired.low:+.2f} to {100 * paired.high:+.2f}"
            p_value = f"p = {paired.p_value:.4f}" if paired.p_value >= 0.0001 else "p < 0.0001"
            line += f"  {100 * paired.difference:+.2f}, {interval}, {p_value}: {run.verdict}"
        lines.append(line)
    if remark := mirror_remark(runs):
        lines += ["", remark]
    if parameters := differing(runs):
        lines += ["", "parameters that differ"]
        lines += [f"  {name}: {', '.join(map(as_yaml, values))}" for name, values in parameters.items()]
    lines += ["", *(f"code of {run.name} that differs: {', '.join(run.code)}" for run in runs if run.code)]
    return "\n".join(map(printable, lines)).rstrip()


def compare_results(first: RevisionResults, second: RevisionResults) -> "Comparison":
    """The differences between the results of two revisions: figures, parameters, code, classes and images.

    Raises:
        UserError: their test images differ, or a part of their results is not available.
    """
    from resnet.comparison.page import Comparison, Image
    from resnet.comparison.paired_comparison import class_changes, class_changes_of_sets, compare_hits

    require_same_images(first, second)
    paths = sorted(first.predictions)
    answers = [(first.predictions[path], second.predictions[path]) for path in paths]
    hits = _hits(first), _hits(second)
    labels = [before.label for before, _ in answers]
    of_sets = first.of_sets or second.of_sets
    predicted = [[answer.predicted for answer in of_run] for of_run in zip(*answers, strict=True)]
    name = set_in_words if of_sets else str
    changed = [
        Image(path, name(before.label), name(before.predicted), before.probability, name(after.predicted), after.probability)
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
        code=_code_that_differs(first, second),
        classes=class_changes_of_sets(labels, *predicted) if of_sets else class_changes(labels, *hits),
        gained=[image for image in changed if image.after == image.label],
        lost=[image for image in changed if image.before == image.label],
        measure=_measure([first, second]),
    )


def _measure(runs: "Sequence[RevisionResults]") -> str:
    """What counts as a correct prediction; whole sets do, if images have several labels each."""
    from resnet.evaluation.gate import accuracy_name

    return accuracy_name(any(run.of_sets for run in runs))


def require_same_images(first: RevisionResults, second: RevisionResults) -> None:
    """Raises `UserError` unless both revisions were measured on the same images with the same labels, in the same way."""
    if first.of_sets != second.of_sets:
        several, one = (first, second) if first.of_sets else (second, first)
        raise UserError(
            f"{several.name} has several labels for each image and {one.name} one, so their figures mean different things and "
            "cannot be compared: name two runs of the same kind."
        )
    ours, theirs = first.predictions, second.predictions
    differences = []
    for run, mine, other in ((first, ours, theirs), (second, theirs, ours)):
        alone = sorted(mine.keys() - other.keys())
        if alone:
            verb = agreeing(len(alone), "is", "are")
            differences.append(f"{len(alone)} of {len(mine)} {verb} only in {run.name}, {_such_as(alone)}")
    common = sorted(ours.keys() & theirs.keys())
    relabelled = [path for path in common if ours[path].label != theirs[path].label]
    if relabelled:
        labels = [predictions[relabelled[0]].label or NO_CLASS for predictions in (ours, theirs)]
        verb = agreeing(len(relabelled), "has", "have")
        differences.append(f"{len(relabelled)} {verb} two labels, {_such_as(relabelled)}: {' and '.join(labels)}")
    if first.data != second.data:  # a path may name another picture than before
        hashes = first.pixel_hashes(), second.pixel_hashes()
        replaced = [path for path in common if hashes[0][path] != hashes[1][path]]
        if replaced:
            verb = agreeing(len(replaced), "has", "have")
            differences.append(f"{len(replaced)} {verb} other pixels, {_such_as(replaced)}")
    if differences:
        raise UserError(
            f"the test images of {first.name} and {second.name} differ: {'; '.join(differences)}{_causes(first, second)}. Only "
            "results on the same images can be compared: run one of the two again with the data of the other."
        )


def _such_as(paths: list[str]) -> str:
    return f"{agreeing(len(paths), 'namely', 'such as')} {paths[0]}"


def _causes(first: RevisionResults, second: RevisionResults) -> str:
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
    """The comparison as text for a terminal."""
    paired = found.paired
    width = max(len(found.first), len(found.second))
    lines = [
        f"{place:<8}{name:<{width}}  {found.measure} {100 * hits / paired.images:.2f} % ({hits} of {paired.images})"
        for place, name, hits in (("first", found.first, paired.first), ("second", found.second, paired.second))
    ]
    p_value = f"p = {paired.p_value:.4f}" if paired.p_value >= 0.0001 else "p < 0.0001"
    lines += [
        f"difference {100 * paired.difference:+.2f} points, 95 % interval {100 * paired.low:+.2f} to {100 * paired.high:+.2f} "
        "(paired, Newcombe 1998)",
        f"McNemar's exact test: {p_value}; images gained: {paired.gained}, lost: {paired.lost}",
        found.conclusion,
        *([found.testing] if found.testing else []),
    ]
    lines += ["", f"{'metric':<28}{'first':>10}{'second':>10}{'difference':>12}"]
    lines += [f"{name:<28}{one:>10.4f}{other:>10.4f}{other - one:>+12.4f}" for name, (one, other) in found.metrics.items()]
    if found.parameters:
        lines += ["", "parameters that differ"]
        lines += [f"  {name}: {as_yaml(one)} -> {as_yaml(other)}" for name, (one, other) in found.parameters.items()]
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
    return "\n".join(map(printable, lines))  # classes and images have the names of files, which strangers may have chosen


def _section(title: str, lines: list[str]) -> list[str]:
    more = [f"  and {len(lines) - _MOST_LINES} more; --html FILE has them"] if len(lines) > _MOST_LINES else []
    return ["", title, *lines[:_MOST_LINES], *more] if lines else []


def _class_line(change: "ClassChange") -> str:
    recall = f"{100 * change.first / change.images:.1f} % -> {100 * change.second / change.images:.1f} %"
    return f"  {change.label}: recall {recall} ({change.gained} gained, {change.lost} lost, of {change.images})"
