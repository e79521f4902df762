"""A syntax error of YAML as one sentence: the place, what is expected there, and what the parser found."""

from collections.abc import Iterator
from pathlib import Path

from ruamel.yaml.error import MarkedYAMLError

# A part of the parser's message, what is expected, and whether the mistake is where the construct begins. The parser names its
# own tokens, such as <block end>, and the place where it gave up.
_EXPECTED = (
    ("'\\t'", "spaces as indentation", False),
    ("could not find expected ':'", "`name: value`, with a colon and a space", True),
    (
        "mapping values are not allowed",
        "one `name: value` at the indentation of its section, with quotes if the value has a colon",
        False,
    ),
    ("<block end>", "a line that is indented as the others of its section", False),
    ("expected ',' or", "a comma or the closing bracket", False),
    ("unexpected end of stream", "the closing quote", True),
    ("duplicate key", "each name once", False),
    ("cannot start any token", "quotes around a value that begins with this character", False),
    ("escape", "single quotes around a value with a backslash", False),
    ("<document start>", "`name: value`", False),
    ("another document", "one document, without `---` between its lines", False),
    ("undefined alias", "quotes around a value that begins with *", False),
)


def syntax_sentence(path: Path, error: MarkedYAMLError) -> str:
    """The sentence about a file that ruamel.yaml refuses.

    Args:
        path: of the file.
        error: what the parser raised.
    """
    found = " ".join(_parts(error))
    expected, begins = next(((text, early) for key, text, early in _EXPECTED if key in found), ("`name: value`", False))
    mark = (error.context_mark if begins else error.problem_mark) or error.problem_mark or error.context_mark
    place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
    return f"{path}{place}: not valid YAML: expected {expected}, but the parser reports: {found}; correct the line."


def _parts(error: MarkedYAMLError) -> Iterator[str]:
    """The parser's words, on one line, with the line in which a construct begins, such as a bracket that is opened earlier."""
    if error.problem:
        yield " ".join(str(error.problem).split())
    if error.context:
        yield " ".join(str(error.context).split())
        if error.context_mark and error.problem_mark and error.context_mark.line != error.problem_mark.line:
            yield f"that begins in line {error.context_mark.line + 1}"
