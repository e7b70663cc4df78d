"""Numbers and tables as text."""


def ratio_text(ratio: float) -> str:
    """Return a ratio with about two digits.

    Examples
    --------
    >>> [ratio_text(r) for r in (0.123, 1.26, 9.97, 12.6, 2345.6)]
    ['0.12', '1.3', '10', '13', '2,300']
    """
    if ratio < 0.995:
        return f"{ratio:.2f}"
    if ratio < 9.95:
        return f"{ratio:.1f}"
    if ratio < 99.5:
        return f"{ratio:.0f}"
    return f"{float(f'{ratio:.1e}'):,.0f}"


def seconds_text(seconds: float) -> str:
    """Return a time with about two digits.

    Examples
    --------
    >>> [seconds_text(s) for s in (3.21e-7, 4.56e-5, 0.0321, 0.456, 12.34)]
    ['0.32 µs', '46 µs', '32 ms', '460 ms', '12 s']
    """
    factor, unit = (1e6, "µs") if seconds < 0.995e-3 else (1e3, "ms") if seconds < 0.995 else (1.0, "s")
    return f"{ratio_text(seconds * factor)} {unit}"


def bytes_text(size: float) -> str:
    """Return a number of bytes with about two digits.

    Examples
    --------
    >>> [bytes_text(size) for size in (470.0, 12.3e3, 79.1e6)]
    ['470 B', '12 kB', '79 MB']
    """
    factor, unit = (1.0, "B") if size < 1e3 else (1e-3, "kB") if size < 1e6 else (1e-6, "MB")
    return f"{ratio_text(size * factor)} {unit}"


def markdown(cells: list[list[str]], left: set[int]) -> str:
    """Return `cells`, the heading first, as a table in Markdown that can be read as it is.

    The columns `left` begin together, all others end together.

    Examples
    --------
    >>> print(markdown([["layer", "ratio"], ["first", "12"]], {0}))
    | layer | ratio |
    |:------|------:|
    | first |    12 |
    """
    widths = [max(len(line[i]) for line in cells) for i in range(len(cells[0]))]

    def row(line: list[str]) -> str:
        padded = [text.ljust(w) if i in left else text.rjust(w) for i, (text, w) in enumerate(zip(line, widths))]
        return f"| {' | '.join(padded)} |"

    rule = [f":{'-' * (w + 1)}" if i in left else f"{'-' * (w + 1)}:" for i, w in enumerate(widths)]
    return "\n".join([row(cells[0]), f"|{'|'.join(rule)}|", *map(row, cells[1:])])
