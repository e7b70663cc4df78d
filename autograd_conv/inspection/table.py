"""A tape as text: one line for each record, or for each primitive."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from ..plans import ANSWER, ARGUMENT, RESIDUAL, SHAPE
from ..tape import RECALLS, Leaf, Output, Record, Tape, saved_bytes

__all__ = [
    "arguments",
    "cells",
    "kept_once",
    "layout",
    "saved_names",
    "shape_text",
    "short_line",
    "state_of",
    "summary",
    "table",
]


def layout(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> str:
    """Rows as columns of equal width; those in `right` are set flush right."""
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            text.rjust(width) if k in right else text.ljust(width) for k, (text, width) in enumerate(zip(row, widths))
        ).rstrip()
        for row in rows
    )


def shape_text(shape: Any) -> str:
    return str(tuple(shape)).replace(" ", "")


def saved_names(record: Record) -> list[str]:
    """Names of the arguments, outputs and residuals that `record` keeps for its VJPs."""
    primitive: Any = record.primitive
    names = []
    for kind, which in record.plan.saves:
        if kind == ARGUMENT:
            names.append(primitive.variadic if which < 0 else primitive._argument(which))
        elif kind == ANSWER:
            names.append("ans")
        elif kind == RESIDUAL:
            names.append(primitive.residuals[which])
        else:
            stem = primitive.variadic if which < 0 else primitive._argument(which)
            names.append(f"{stem}_{'shape' if kind == SHAPE else 'dtype'}")
    return names


def arguments(record: Record, index: dict[int, int]) -> list[str]:
    """For each argument, where it comes from and, where the record knows it, its shape."""
    texts = []
    for parent in record.parents:
        if parent is None:
            texts.append("const")
        elif isinstance(parent, Leaf):
            texts.append(f"leaf{shape_text(parent.shape)}")
        else:
            place = f"#{index[parent.number]}" if parent.number in index else "outside"
            part = f".{parent.index}" if isinstance(parent, Output) else ""
            texts.append(f"{place}{part}{shape_text(parent.shape)}")
    return texts


def _outputs(record: Record) -> tuple[str, str]:
    if type(record.dtype) is tuple:
        return ", ".join(shape_text(shape) for shape in record.shape), ", ".join(str(dtype) for dtype in record.dtype)
    return shape_text(record.shape), str(record.dtype)


def state_of(record: Record) -> str:
    """Bytes saved, or why there are none to count."""
    if record.saved is None:
        return "recalled" if record in RECALLS else "freed"
    return f"{saved_bytes(record):,}"


def short_line(line: str) -> str:
    """The file's name and the number of the line, without the directory."""
    return os.path.basename(line)


def cells(tape: Tape, most: int | None = None) -> list[tuple[str, ...]]:
    """A head, and a row for each record (for the first `most` of them); see `table`."""
    index = {record.number: k for k, record in enumerate(tape.records)}
    rows: list[tuple[str, ...]] = [("#", "primitive", "arguments", "output", "dtype", "saved", "bytes", "line")]
    for k, (record, line) in enumerate(zip(tape.records[:most], tape.lines)):
        shape, dtype = _outputs(record)
        rows.append(
            (
                str(k), record.name, ", ".join(arguments(record, index)), shape, dtype, ", ".join(saved_names(record)),
                state_of(record), short_line(line),
            )
        )  # fmt: skip
    return rows


def table(tape: Tape) -> str:
    """A line for each record: index, primitive, arguments, output, what is saved and its bytes, source line."""
    return layout(cells(tape), right=(0, 6))


def kept_once(records: Sequence[Record]) -> int:
    """Bytes of all arrays that records keep, each counted once."""
    seen: dict[int, int] = {}
    stack: list[Any] = [record.saved or () for record in records]
    while stack:
        value = stack.pop()
        if isinstance(value, tuple):
            stack.extend(value)
        elif hasattr(value, "nbytes"):
            seen[id(value)] = value.nbytes
    return sum(seen.values())


def summary(tape: Tape) -> str:
    """A line for each primitive, the greatest keeper first, and the total with every array counted once."""
    counts: dict[str, list[int]] = {}
    for record in tape.records:
        entry = counts.setdefault(record.name, [0, 0])
        entry[0] += 1
        entry[1] += saved_bytes(record) if record.saved is not None else 0
    rows = [("primitive", "records", "bytes")]
    rows += [
        (name, str(count), f"{size:,}")
        for name, (count, size) in sorted(counts.items(), key=lambda item: (-item[1][1], item[0]))
    ]
    rows.append(("all, arrays once", str(len(tape.records)), f"{kept_once(tape.records):,}"))
    return layout(rows, right=(1, 2))
