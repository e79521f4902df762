"""The page of an audit: the images whose labels are suspect, and the cross-validated accuracy. It loads nothing."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from resnet.audit.cross_validation import CrossValidation
from resnet.audit.suspects import Suspect
from resnet.pictures.pages import environment

MOST_SHOWN = 200  # cards of about 8 kB
SIDE = 160  # pixels of a picture
_LEAST_ACCURACY = 0.8


@dataclass(frozen=True)
class Audit:
    """What an audit found.

    Attributes:
        accuracy: of the networks of the folds.
        suspects: the most suspect first, then images that are listed for an earlier decision only.
        pictures: JPEG files of the first suspects, by path.
        images: the number of images of each class, by name.
        decided: the number of images that are not listed because a person decided about them.
        source: of the images, as in `ingest.source`.
    """

    accuracy: CrossValidation
    suspects: Sequence[Suspect]
    pictures: Mapping[str, bytes]
    images: Mapping[str, int]
    decided: int = 0
    source: str = ""

    @property
    def count(self) -> int:
        """The number of suspects."""
        return sum(bool(one.given) for one in self.suspects)

    @property
    def carried(self) -> int:
        """The number of images that are listed for an earlier decision only."""
        return len(self.suspects) - self.count

    @property
    def is_doubtful(self) -> bool:
        """Whether the networks know the classes too little to judge labels; docs/guide.md has the measurement."""
        return self.accuracy.accuracy < _LEAST_ACCURACY


def render_audit(found: Audit) -> str:
    """The page as HTML."""
    marked = Counter(suspect.given for suspect in found.suspects)
    rows = [{"name": name, "images": number, "suspects": marked[name]} for name, number in found.images.items()]
    return (
        environment(Path(__file__).parent)
        .get_template("page.html")
        .render(
            found=found,
            accuracy=found.accuracy,
            interval=found.accuracy.interval,
            shown=found.suspects[:MOST_SHOWN],
            classes=sorted((row for row in rows if row["suspects"]), key=lambda row: (-marked[str(row["name"])], row["name"])),
            side=SIDE,
        )
    )
