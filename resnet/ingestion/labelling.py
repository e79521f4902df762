"""What the label of an image is: one class, or several as a set of classes, as text and in the files of `data/raw/`.

A set as text is as in `resnet.core.label_sets`: `cat|dog`, in the order of the classes, and "" for none of the classes. In
tables where an empty cell means something else, that is `|`.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from resnet.core.errors import UserError, listed
from resnet.core.label_sets import SEPARATOR, LabelSets, names_in


class Labelling:
    """One class for each image.

    Args:
        classes: the class names in the order of their labels.
    """

    multi_label = False

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = list(classes)
        self._numbers = {name: number for number, name in enumerate(classes)}

    def text(self, label: str) -> str:
        """A label as this project writes it."""
        return label

    def cell(self, text: str) -> str:
        """A text where an empty one means that there is no label."""
        return text

    def names(self, text: str) -> list[str]:
        """The classes of a label."""
        return [text]

    def stored(self, text: str) -> int | list[int]:
        """A label as the shards have it."""
        return self._numbers[text]

    def without(self, text: str, left_out: Collection[str]) -> str | None:
        """The label when these classes are left out; None if the image is left out with them."""
        return None if text in left_out else text

    def fewer(self, left_out: Collection[str]) -> "Labelling":
        """The same without some classes."""
        return type(self)([name for name in self.classes if name not in left_out])

    def by_class(self, labels: Mapping[str, int]) -> Counter[str]:
        """The number of images of each class.

        Args:
            labels: the number of images of each label.
        """
        found: Counter[str] = Counter()
        for text, images in labels.items():
            for name in self.names(text):
                found[name] += images
        return found

    def sets(self, labels: Iterable[str]) -> LabelSets | None:
        """The sets that these labels are, for `classes.json`; None if each is one class."""
        return None


class SeveralLabels(Labelling):
    """A set of classes for each image; sets are numbered in the order of their classes' numbers.

    Args:
        classes: the class names in the order of their numbers.

    Raises:
        UserError: a name has the character that separates names in a set, or spaces around it.
    """

    multi_label = True

    def __init__(self, classes: Sequence[str]) -> None:
        super().__init__(classes)
        unfit = [name for name in classes if names_in(name) != [name]]
        if unfit:
            raise UserError(
                f"{listed(unfit)} cannot be the name of a class if images have several labels, because {SEPARATOR!r} separates "
                "names, and spaces around them do not count: rename it, or set ingest.multi_label to false."
            )

    def text(self, label: str) -> str:
        """A set with its classes in their order, each once."""
        names = names_in(label)
        return SEPARATOR.join(sorted(names, key=lambda name: self._numbers[name])) if len(names) > 1 else "".join(names)

    def cell(self, text: str) -> str:
        """As for one class; `|` for the empty set."""
        return text or SEPARATOR

    def names(self, text: str) -> list[str]:
        """The classes of a set."""
        return names_in(text)

    def stored(self, text: str) -> int | list[int]:
        """A set as the shards have it: the numbers of its classes."""
        return [self._numbers[name] for name in names_in(text)]

    def without(self, text: str, left_out: Collection[str]) -> str | None:
        """The set without these classes; images stay."""
        return SEPARATOR.join(name for name in names_in(text) if name not in left_out)

    def sets(self, labels: Iterable[str]) -> LabelSets | None:
        """The sets that these labels are."""
        numbers = sorted([self._numbers[name] for name in names_in(text)] for text in labels)
        return LabelSets.of_numbers(numbers, len(self.classes))


def labelling_of(classes: Sequence[str], *, multi_label: bool) -> Labelling:
    """How images with these classes are labelled.

    Raises:
        UserError: see `SeveralLabels`.
    """
    kind: Callable[[Sequence[str]], Labelling] = SeveralLabels if multi_label else Labelling
    return kind(classes)
