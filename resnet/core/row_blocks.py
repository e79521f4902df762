"""Blocks of rows, for calculations in float64 whose copies of a whole table would not fit into memory."""

_NUMBERS = 4_000_000  # in a block: 32 MB in float64


def row_blocks(rows: int, columns: int) -> list[slice]:
    """Divides the rows of a table among blocks; a block has at least one row."""
    step = max(1, _NUMBERS // max(1, columns))
    return [slice(start, start + step) for start in range(0, rows, step)]
