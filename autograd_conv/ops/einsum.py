"""Einstein summation.

Every form is first brought to lists of integer labels, with those of an ellipsis written out. A cotangent
is then an Einstein sum itself, so that its derivatives are too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..dispatch import implements
from ..primitive import primitive
from ..tensor import Tensor, assign_out
from .constants import question
from .conversion import asarray
from .linalg import array_product

__all__ = ["einsum", "einsum_path"]

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

# Above so many products, looking for a way to use matrix products (some 20 microseconds) pays.
_PLANNED_PRODUCTS = 2**14

Labels = tuple[int, ...]


def _forward(*operands: Any, inputs: tuple[Labels, ...], output: Labels) -> Any:
    lengths: dict[int, int] = {}
    for operand, labels in zip(operands, inputs):
        for label, length in zip(labels, operand.shape):
            lengths[label] = max(length, lengths.get(label, 1))
    planned = len(operands) > 1 and math.prod(lengths.values()) > _PLANNED_PRODUCTS
    if planned and len(operands) == 2:
        result = _as_matrices(operands[0], operands[1], inputs[0], inputs[1], output)
        if result is not None:
            return result
    interleaved = [part for pair in zip(operands, inputs) for part in (pair[0], list(pair[1]))]
    return np.einsum(*interleaved, list(output), optimize=planned)


def _as_matrices(x: Any, y: Any, of_x: Labels, of_y: Labels, output: Labels) -> Any:
    """The sum over labels that both operands have, as one matrix product, or one for each of the labels that stay.

    None if it is no such product: of other types, or with labels that repeat, are broadcast, or occur in one operand
    alone and not in the output.
    """
    here, there = dict(zip(of_x, x.shape)), dict(zip(of_y, y.shape))
    both = here.keys() & there.keys()
    if (
        x.dtype != y.dtype or x.dtype.kind not in "fc" or len(here) < x.ndim or len(there) < y.ndim
        or any(here[k] != there[k] for k in both) or not (here.keys() ^ there.keys()) <= set(output)
    ):  # fmt: skip
        return None
    many, summed = [k for k in output if k in both], [k for k in of_x if k in both and k not in output]
    rows, columns = [k for k in output if k not in there], [k for k in output if k not in here]
    if not summed:
        return None
    lengths = [[{**here, **there}[k] for k in labels] for labels in (many, rows, summed, columns)]
    front, m, k, n = lengths[0], *map(math.prod, lengths[1:])
    left = x.transpose([of_x.index(label) for label in (*many, *rows, *summed)]).reshape(*front, m, k)
    right = y.transpose([of_y.index(label) for label in (*many, *summed, *columns)]).reshape(*front, k, n)
    result = array_product(left, right).reshape(*front, *lengths[1], *lengths[3])
    order = [*many, *rows, *columns]
    return result.transpose([order.index(label) for label in output])


def _cotangent(g: Any, shape: tuple[int, ...], own: Labels, others: Any, output: Labels) -> Any:
    """The cotangent of an operand with labels `own`: the sum of `g` times the other operands.

    Parameters
    ----------
    g : array
        With labels `output`.
    shape : tuple of int
        Of the operand.
    others : list of (array, Labels)
    """
    known = set(output).union(*[labels for _, labels in others])
    factors = [(g, output), *others]
    target: list[int] = []
    fresh = max([*own, *known], default=0) + 1
    for label, length in zip(own, shape):
        if label in target:
            # A diagonal was read: put the cotangent there, by a factor of the identity matrix.
            factors.append((np.eye(length, dtype=g.dtype), (label, fresh)))
            label, fresh = fresh, fresh + 1
        elif label not in known:
            # Summed over within the operand: all elements along it get the same.
            factors.append((np.ones(length, g.dtype), (label,)))
        target.append(label)
    operands, inputs = zip(*factors)
    return _einsum(operands, *_compact(inputs, tuple(target)))


def _compact(inputs: Sequence[Labels], output: Labels) -> tuple[tuple[Labels, ...], Labels]:
    """Number labels from 0 on: NumPy has only 52."""
    numbers: dict[int, int] = {}
    for labels in (*inputs, output):
        for label in labels:
            numbers.setdefault(label, len(numbers))
    return tuple([tuple([numbers[k] for k in labels]) for labels in inputs]), tuple([numbers[k] for k in output])


def _rule(g: Any, operands: Any, inputs: Any, output: Any, index: int) -> Any:
    others = [pair for k, pair in enumerate(zip(operands, inputs)) if k != index]
    return _cotangent(g, operands[index].shape, inputs[index], others, output)


# One and two operands have primitives of their own, which keep less: the shape of the one, the other of two.
# Lengths of one are broadcast, also for labels: the engine sums over them.
_one = primitive(
    lambda x, *, inputs, output: _forward(x, inputs=inputs, output=output), name="einsum", broadcasts=True
).defvjp(x=lambda g, x_shape, inputs, output: _cotangent(g, x_shape, inputs[0], [], output))
_two = primitive(
    lambda x, y, *, inputs, output: _forward(x, y, inputs=inputs, output=output),
    name="einsum",
    broadcasts=True,
).defvjp(
    x=lambda g, x_shape, y, inputs, output: _cotangent(g, x_shape, inputs[0], [(y, inputs[1])], output),
    y=lambda g, y_shape, x, inputs, output: _cotangent(g, y_shape, inputs[1], [(x, inputs[0])], output),
)
_many = primitive(_forward, name="einsum", broadcasts=True).defvjp(operands=_rule)


def _einsum(operands: Sequence[Any], inputs: tuple[Labels, ...], output: Labels) -> Any:
    prim = (_one, _two, _many)[min(len(operands), 3) - 1]
    return prim(*operands, inputs=inputs, output=output)


# --- the notation ------------------------------------------------------------------------------------------


def _fail(subscripts: Any, problem: str) -> ValueError:
    return ValueError(f"einsum: subscripts {subscripts!r}: {problem}")


def _split_term(subscripts: str, term: str) -> list[Any]:
    """Labels of one operand in a string, as numbers and Ellipsis."""
    labels: list[Any] = []
    pieces = term.replace(" ", "").split("...")
    if len(pieces) > 2:
        raise _fail(subscripts, f"{term!r} has more than one ellipsis")
    for k, piece in enumerate(pieces):
        if k:
            labels.append(Ellipsis)
        for letter in piece:
            if letter not in _LETTERS:
                raise _fail(subscripts, f"{letter!r} is no label; labels are letters")
            labels.append(_LETTERS.index(letter))
    return labels


def _parse(args: tuple[Any, ...]) -> tuple[list[Any], list[list[Any]], list[Any] | None, Any]:
    """Operands, labels of each, labels of the output (None: implicit), and the notation for messages."""
    if not args:
        raise ValueError("einsum: no subscripts and no operands were given")
    if isinstance(args[0], str):
        subscripts: Any = args[0]
        left, arrow, right = subscripts.partition("->")
        inputs = [_split_term(subscripts, term) for term in left.split(",")]
        return list(args[1:]), inputs, _split_term(subscripts, right) if arrow else None, subscripts
    pairs, output = args, None
    if len(args) % 2:
        pairs, output = args[:-1], list(args[-1])
    inputs = [list(labels) for labels in pairs[1::2]]
    subscripts = tuple([tuple(labels) for labels in inputs])
    for label in [label for labels in (*inputs, output or []) for label in labels]:
        if label is not Ellipsis and not isinstance(label, (int, np.integer)):
            raise _fail(subscripts, f"{label!r} is no label; in lists labels are integers")
    return list(pairs[::2]), inputs, output, subscripts


def _explicit(
    shapes: list[tuple[int, ...]], inputs: list[list[Any]], output: list[Any] | None, subscripts: Any
) -> tuple[tuple[Labels, ...], Labels]:
    """Write out ellipses and the output."""
    if len(shapes) != len(inputs):
        raise _fail(subscripts, f"{len(inputs)} operands are described, but {len(shapes)} were given")
    used = [label for labels in (*inputs, output or []) for label in labels if label is not Ellipsis]
    fresh = max(used, default=-1) + 1
    widths = []
    for k, (labels, shape) in enumerate(zip(inputs, shapes)):
        width = len(shape) - len([label for label in labels if label is not Ellipsis])
        if width < 0 or (width and Ellipsis not in labels):
            raise _fail(subscripts, f"operand {k} has shape {shape}, but {len(labels)} labels")
        widths.append(width)
    widest = max(widths)
    hidden = list(range(fresh, fresh + widest))  # of all ellipses, aligned at the end

    def written_out(labels: list[Any], width: int) -> Labels:
        if Ellipsis not in labels:
            return tuple(labels)
        at = labels.index(Ellipsis)
        return (*labels[:at], *hidden[widest - width :], *labels[at + 1 :])

    if output is None:
        once = sorted({label for label in used if used.count(label) == 1})
        output = [Ellipsis, *once]
    elif widest and Ellipsis not in output:
        raise _fail(subscripts, "the operands have axes under an ellipsis, but the output has no ellipsis")
    result = written_out(output, widest)
    known = {label for labels in inputs for label in labels}
    for label in result:
        if result.count(label) > 1 or label not in known.union(hidden):
            name = _LETTERS[label] if isinstance(subscripts, str) else label
            raise _fail(
                subscripts,
                f"label {name!r} of the output occurs "
                + ("in it more than once" if result.count(label) > 1 else "in no operand"),
            )
    return tuple([written_out(labels, width) for labels, width in zip(inputs, widths)]), result


@implements(np.einsum)
def einsum(
    *operands: Any,
    out: Any = None,
    dtype: Any = None,
    order: str = "K",
    casting: str = "safe",
    optimize: Any = None,
) -> Tensor:
    """Sums of products by Einstein's convention.

    Parameters
    ----------
    *operands : str and array_like, or array_like and lists of int
        A string such as ``"ij,jk->ik"`` and then the operands; or each operand followed by its list of labels,
        and at the end, optionally, that of the output. Labels may repeat within an operand (its diagonal);
        those that the output lacks are summed over. Without output: the labels that occur once, in
        alphabetical order. An ellipsis stands for axes that are broadcast.
    out : Tensor, optional
        Where to store the result.
    dtype : dtype, optional
        Type in which to compute.
    order, casting, optimize
        For compatibility. Large sums use matrix products and, for more than two operands, a good order.

    Returns
    -------
    Tensor

    Raises
    ------
    ValueError
        If the subscripts make no sense for the shapes of the operands.

    Examples
    --------
    >>> import autograd_conv as ac
    >>> x = ac.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    >>> y = ac.einsum("ii->", x)
    >>> y.backward()
    >>> x.grad
    array([[1., 0.],
           [0., 1.]])
    """
    arrays, inputs, output, subscripts = _parse(operands)
    tensors = [asarray(array, dtype) for array in arrays]
    explicit = _explicit([tensor.shape for tensor in tensors], inputs, output, subscripts)
    result: Tensor = _einsum(tensors, *_compact(*explicit))
    return result if out is None else assign_out("einsum", out, result)


einsum_path = question(np.einsum_path)
