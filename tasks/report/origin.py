"""Names the data set for those who get the results without the project: its name, licence and citation.

A run knows where it read the images, and nothing else about them. The user states the rest in the section `render` of
`params.yaml`; for the built-in data set it is known. Nothing is guessed.
"""

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

_HUB = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+", re.ASCII)  # user/name, as the Hugging Face hub names data sets
_SUFFIX = re.compile(r"(\.tar)?\.(zip|tar|gz|tgz|bz2|xz|csv|tsv|jsonl|parquet|arrow|npz)", re.IGNORECASE)
_NAMELESS = "images"


@dataclass(frozen=True)
class Origin:
    """What is known about a data set.

    Attributes:
        name: of the data set, never empty.
        hub: its name on the Hugging Face hub, as user/name, or None.
        license: of the data, usually a URL, or None.
        citation: how to cite the data, or None.
    """

    name: str
    hub: str | None = None
    license: str | None = None
    citation: str | None = None


_BUILT_IN = {
    "builtin/digits": Origin(
        "Optical Recognition of Handwritten Digits",
        citation="Alpaydin, E. and Kaynak, C. (1998). Optical Recognition of Handwritten Digits. UCI Machine Learning "
        "Repository. https://archive.ics.uci.edu/dataset/80/optical+recognition+of+handwritten+digits",
    )
}


def describe_origin(source: str, *, name: str | None, license: str | None, citation: str | None) -> Origin:  # noqa: A002
    """What is known about the data set of a source; what the user states comes first.

    Args:
        source: the parameter `ingest.source`.
        name: the parameter `render.data_name`.
        license: the parameter `render.data_license`.
        citation: the parameter `render.data_citation`.
    """
    known = _BUILT_IN.get(source, Origin(_name(source)))
    return Origin(
        name or known.name,
        hub=name if name and _HUB.fullmatch(name) else None,
        license=license or known.license,
        citation=citation or known.citation,
    )


def _name(source: str) -> str:
    """The last part of a source without its ending, so that it is the same wherever the data are."""
    if source.startswith("tfds:"):
        return source.removeprefix("tfds:") or _NAMELESS
    last = PurePosixPath(source).name
    while found := re.fullmatch(rf"(.+?){_SUFFIX.pattern}", last, re.IGNORECASE | re.DOTALL):
        last = found[1]
    return last if last.strip(". ") else _NAMELESS
