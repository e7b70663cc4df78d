"""Matrices as lines of text, and what the pages of this folder share."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

__all__ = [
    "INDENT",
    "ROWS",
    "WIDTH",
    "Lines",
    "Page",
    "as_stack",
    "beside",
    "image_shape",
    "named",
    "number",
    "planes",
    "section",
    "table",
]

WIDTH = 79  # characters of a line
INDENT = 3  # ... of which so many stand before a matrix
ROWS = 30  # lines of a matrix: what goes beyond is left out, and said to be

Lines = list[str]


def number(value: Any, dot: bool) -> str:
    if dot and value == 0:
        return "."
    return str(value) if isinstance(value, (str, int, np.integer)) else f"{float(value):.4g}"


def table(
    matrix: Any, dot: bool = False, rows: Sequence[str] = (), columns: Sequence[str] = (), room: int = WIDTH - INDENT
) -> Lines:
    """A matrix in aligned columns, cut to `room`; `dot` prints zeros as dots; with labels, if there are any."""
    texts = [[number(value, dot) for value in row] for row in np.asarray(matrix).tolist()]
    count, length = len(texts), len(texts[0]) if texts else 0
    if not count * length:
        return ["(empty)"]
    if columns:
        texts = [list(columns), *texts]
    width = max(len(text) for row in texts for text in row) + 1
    margin = max(map(len, rows), default=0)
    fit = (room - margin) // width
    if fit < length:
        fit = (room - margin - len(" ...")) // width
    lines = ["".join(f"{text:>{width}}" for text in row[:fit]) + (" ..." if length > fit else "") for row in texts]
    if rows:
        lines = [f"{label:<{margin}}{line}" for label, line in zip(["", *rows] if columns else rows, lines)]
    if count > ROWS:
        lines = [*lines[: ROWS + bool(columns)], " ..."]
    if length > fit or count > ROWS:
        lines.append(f" ({count} x {length} in all)")
    return lines


def named(name: str, matrix: Any, dot: bool = False, rows: Sequence[str] = ()) -> Lines:
    """A matrix behind ``name =``."""
    head = f"{name} = "
    lines = table(matrix, dot, rows, room=WIDTH - INDENT - len(head))
    middle = (len(lines) - 1) // 2
    return [(head if k == middle else " " * len(head)) + line for k, line in enumerate(lines)]


def beside(*blocks: Lines) -> Lines:
    """Blocks of lines side by side, or below each other where the line is too short."""
    rows: list[list[Lines]] = [[]]
    for block in blocks:
        width = sum(max(map(len, other)) + 3 for other in rows[-1]) + max(map(len, block))
        if rows[-1] and width > WIDTH - INDENT:
            rows.append([])
        rows[-1].append(block)
    result: Lines = []
    for row in rows:
        if result:
            result.append("")
        height = max(map(len, row))
        padded = []
        for block in row:
            above = (height - len(block)) // 2
            width = max(map(len, block))
            lines = [""] * above + block + [""] * (height - len(block) - above)
            padded.append([f"{line:<{width}}" for line in lines])
        result += ["   ".join(lines).rstrip() for lines in zip(*padded)]
    return result


def planes(name: str, array: np.ndarray, dot: bool = False) -> list[Lines]:
    """A block for each matrix of a stack (..., H, W), numbered if there are several."""
    stack = array.reshape(-1, *array.shape[-2:])
    if len(stack) == 1:
        return [named(name, stack[0], dot)]
    index = [",".join(map(str, at)) for at in np.ndindex(*array.shape[:-2])]
    return [named(f"{name}[{at}]", plane, dot) for at, plane in zip(index, stack)]


def section(title: str, *parts: Lines | str) -> Lines:
    lines = ["", title, "-" * len(title)]
    for part in parts:
        if isinstance(part, str):
            lines += ["", *textwrap.wrap(part, WIDTH)]
        else:
            lines += ["", *[(" " * INDENT + line).rstrip() for line in part]]
    return lines


def image_shape(array: np.ndarray) -> tuple[int, ...]:
    """Without leading axes of length one: what a reader calls the shape of an image."""
    shape = array.shape
    while len(shape) > 2 and shape[0] == 1:
        shape = shape[1:]
    return shape


class Page:
    """Something that prints as its text."""

    def _lines(self) -> Iterable[str]:
        raise NotImplementedError

    def __str__(self) -> str:
        return "\n".join(self._lines())

    __repr__ = __str__


def as_stack(array: np.ndarray, axes: int) -> np.ndarray:
    """`array` with axes of length one in front, so that it has so many."""
    return array.reshape((1,) * (axes - array.ndim) + array.shape)
