"""The grammar of sentences with a number: "1 image was", "1,200 images were"."""


def counted(number: int, one: str, many: str = "") -> str:
    """A number with its noun.

    Args:
        number: of things; the result has separators of thousands.
        one: the noun for one thing.
        many: its plural, by default `one` with an "s".
    """
    return f"{number:,} {agreeing(number, one, many or one + 's')}"


def agreeing(number: float, one: str, many: str) -> str:
    """The words that agree with a number, as a verb or a pronoun does: `agreeing(number, "was", "were")`."""
    return one if number == 1 else many
