"""How Tensors and tapes show themselves in notebooks: small tables of escaped text, and pictures without files."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..tape import Leaf, Node, Output, Tape
from .drawing import clean, plot
from .graph import byte_text
from .pictures import describe, picture
from .table import cells, kept_once

__all__ = ["tape_html", "tensor_html"]

MOST_ROWS = 200  # of a tape's table
MOST_DRAWN = 60  # records of a tape that is drawn below its table
MOST_PICTURED = 65_536  # elements of a Tensor that is shown as a picture, too
CELL = "text-align:left;padding:1px 12px 1px 0;white-space:pre"


def _rows(pairs: list[tuple[str, str]]) -> str:
    lines = [f'<th style="{CELL}">{clean(name)}</th><td style="{CELL}">{clean(text)}</td>' for name, text in pairs]
    return f"<table>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def _made_by(node: Node | None) -> str:
    if node is None:
        return "no: a constant"
    if isinstance(node, Leaf):
        return "yes: a leaf"
    if isinstance(node, Output):
        return f"yes: made by {node.record.name}, output {node.index}"
    return f"yes: made by {node.name}"


def tensor_html(tensor: Any) -> str:
    """A Tensor as HTML: its facts, its values (elided), and a picture if it has two axes or more and is small."""
    array = tensor._array
    facts = describe(array)
    rows = [
        ("Tensor", f"{array.shape} {array.dtype}, {byte_text(array.nbytes)}"),
        ("requires grad", _made_by(tensor._node)),
    ]
    if "norm" in facts and array.size > 1:
        bad = f", {facts['bad']} not finite" if facts["bad"] else ""
        rows.append(("values", f"from {facts['least']} to {facts['greatest']}, norm {facts['norm']}{bad}"))
    grad = tensor.grad
    if grad is not None:
        rows.append(("grad", f"norm {float(np.linalg.norm(grad.ravel())):.4g}"))
    text = np.array2string(array, threshold=60, edgeitems=2, precision=4)
    parts = [_rows(rows), f"<pre>{clean(text)}</pre>"]
    if array.ndim >= 2 and 1 < array.size <= MOST_PICTURED:
        shown = picture(array, 10_000)
        note = f" ({shown['note']})" if shown["note"] else ""
        parts.append(
            f'<img src="{shown["src"]}" width="{shown["width"]}" height="{shown["height"]}" '
            'style="image-rendering:pixelated;border:1px solid #c3c9d2" alt="the values as colours"/>'
            f"<div><small>blue &minus;{shown['largest']}, white 0, red +{shown['largest']}{clean(note)}</small></div>"
        )
    return f"<div>{''.join(parts)}</div>"


def tape_html(tape: Tape) -> str:
    """A tape as HTML: a row for each record, the first of them if there are many, and the graph if it is small."""
    head, *body = cells(tape, MOST_ROWS)
    lines = ["<tr>" + "".join(f'<th style="{CELL}">{clean(text)}</th>' for text in head) + "</tr>"]
    lines += ["<tr>" + "".join(f'<td style="{CELL}">{clean(text)}</td>' for text in row) + "</tr>" for row in body]
    more = f"; the first {MOST_ROWS} of them" if len(tape) > MOST_ROWS else ""
    parts = [
        f"<b>Tape of {len(tape)} records</b>, which keep {byte_text(kept_once(tape.records))}{more}",
        f"<table>{''.join(lines)}</table>",
    ]
    if 0 < len(tape) <= MOST_DRAWN:
        parts.append(f"<details><summary>the graph</summary>{plot(tape, None, None)}</details>")
    return f"<div>{''.join(parts)}</div>"
