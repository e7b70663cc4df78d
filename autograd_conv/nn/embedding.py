"""Rows of a table, chosen by integers."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..primitive import primitive
from ..tensor import ArrayLike, Tensor, as_tensor, raw, wrap
from .operands import apply, check_choice, check_flags, check_floating, integer, number, operand

__all__ = ["embedding", "embedding_bag", "one_hot"]


def _indices(function: str, argument: str, value: ArrayLike, limit: int | None) -> np.ndarray:
    """An array of int64 between 0 and `limit`."""
    array = np.asarray(raw(operand(function, argument, value)))
    if array.dtype.kind not in "iu" and array.size:
        raise TypeError(f"{function}: argument {argument!r} has dtype {array.dtype}; it must be integer")
    array = array.astype(np.int64)
    wrong = (array < 0) if limit is None else (array < 0) | (array >= limit)
    if wrong.any():
        place = tuple(int(i) for i in np.argwhere(wrong)[0])
        rule = "be at least 0" if limit is None else f"lie between 0 and {limit - 1}"
        raise IndexError(f"{function}: argument {argument!r} is {int(array[place])} at {place}; it must {rule}")
    return array


def one_hot(tensor: ArrayLike, num_classes: int = -1) -> Tensor:
    """Vectors of zeros with a one in the place that each integer names.

    Parameters
    ----------
    tensor : array_like of int
    num_classes : int
        Length of the vectors; -1: one more than the largest integer.

    Returns
    -------
    Tensor of int64, shape ``tensor.shape + (num_classes,)``

    Raises
    ------
    IndexError
        If an integer is negative, or not below `num_classes`.
    """
    classes = integer("one_hot", "num_classes", num_classes)
    if classes != -1 and classes < 1:
        raise ValueError(f"one_hot: argument 'num_classes' is {classes}; it must be at least 1, or -1")
    index = _indices("one_hot", "tensor", tensor, None if classes == -1 else classes)
    if classes == -1:
        if not index.size:
            raise ValueError("one_hot: argument 'tensor' is empty, so that 'num_classes' must be given")
        classes = int(index.max()) + 1
    return wrap((index[..., None] == np.arange(classes)).astype(np.int64))


class _Rows:
    """Indices into a table of rows, and which of them learn nothing."""

    __slots__ = ("by_frequency", "frozen", "index")

    def __init__(self, index: np.ndarray, frozen: int | None, by_frequency: bool) -> None:
        self.index = index
        self.frozen = frozen
        self.by_frequency = by_frequency


@primitive(name="embedding")
def _take_rows(weight: np.ndarray, *, rows: _Rows) -> np.ndarray:
    return weight[rows.index]


@primitive(name="embedding_gradient")
def _add_rows(g: np.ndarray, *, rows: _Rows, count: int) -> np.ndarray:
    """Rows of `g`, added up by index: the transpose of `_take_rows`."""
    index = rows.index.reshape(-1)
    values = g.reshape(index.size, g.shape[-1])
    if rows.by_frequency and index.size:
        values = values / np.bincount(index, minlength=count)[index, None].astype(g.dtype)
    total = np.zeros((count, values.shape[1]), g.dtype)
    # Sorted, equal indices are runs, each of which is one sum.
    order = np.argsort(index, kind="stable")
    ordered = index[order]
    if index.size:
        starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
        total[ordered[starts]] = np.add.reduceat(values[order], starts, axis=0)
    if rows.frozen is not None:
        total[rows.frozen] = 0
    return total


def _add_rows_vjp(g: Any, rows: _Rows, count: int) -> Any:
    if rows.by_frequency or rows.frozen is not None:
        factor = np.ones(count)
        if rows.by_frequency:
            factor = 1 / np.maximum(np.bincount(rows.index.reshape(-1), minlength=count), 1)
        if rows.frozen is not None:
            factor[rows.frozen] = 0
        g = g * factor[:, None].astype(g.dtype)
    return _take_rows(g, rows=_Rows(rows.index, None, False))


_take_rows.defvjp(weight=lambda g, weight_shape, rows: _add_rows(g, rows=rows, count=weight_shape[0]))
_add_rows.defvjp(g=_add_rows_vjp)


def _table(function: str, weight: ArrayLike) -> Tensor:
    table = as_tensor(operand(function, "weight", weight))
    check_floating(function, weight=table)
    if table.ndim != 2:
        raise ValueError(f"{function}: argument 'weight' has shape {table.shape}; it must have two axes (rows, length)")
    return table


def _padding_index(function: str, value: int | None, rows: int) -> int | None:
    if value is None:
        return None
    index = integer(function, "padding_idx", value)
    if not -rows <= index < rows:
        raise IndexError(f"{function}: argument 'padding_idx' is {index}, but 'weight' has {rows} rows")
    return index % rows


def _check_table_stays(function: str, max_norm: None, norm_type: float, sparse: bool) -> None:
    """What PyTorch's functions do to the table, or to its gradient, and ours do not."""
    number(function, "norm_type", norm_type)
    if max_norm is not None:
        raise ValueError(
            f"{function}: argument 'max_norm' is {max_norm!r}; it must be None (arguments are not changed)"
        )
    if sparse is not False:
        raise ValueError(f"{function}: argument 'sparse' is {sparse!r}; it must be False (gradients are ndarrays)")


def embedding(
    input: ArrayLike,
    weight: ArrayLike,
    padding_idx: int | None = None,
    max_norm: None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """Rows of a table.

    Parameters
    ----------
    input : array_like of int
        Which rows, of any shape.
    weight : array_like, shape (V, E)
        The table.
    padding_idx : int, optional
        A row that gets no gradient.
    max_norm : None
        Rescaling rows of the table in passing is not done here: it would change an argument.
    norm_type : float
        Goes with `max_norm`.
    scale_grad_by_freq : bool
        Divide the gradient of each row by how often it occurs in `input`.
    sparse : bool
        False: gradients are ndarrays.

    Returns
    -------
    Tensor, shape ``input.shape + (E,)``

    Raises
    ------
    IndexError
        If there is no such row.
    """
    check_flags("embedding", scale_grad_by_freq=scale_grad_by_freq)
    _check_table_stays("embedding", max_norm, norm_type, sparse)
    table = _table("embedding", weight)
    index = _indices("embedding", "input", input, table.shape[0])
    frozen = _padding_index("embedding", padding_idx, table.shape[0])
    result: Tensor = apply(_take_rows, table, rows=_Rows(index, frozen, bool(scale_grad_by_freq)))
    return result


def embedding_bag(
    input: ArrayLike,
    weight: ArrayLike,
    offsets: ArrayLike | None = None,
    max_norm: None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: ArrayLike | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:
    """Sums, means or maxima of rows of a table, bag by bag.

    Parameters
    ----------
    input : array_like of int, shape (B, K) or (L,)
        Bags of K rows each; or all bags one after the other, with `offsets`.
    weight : array_like, shape (V, E)
        The table.
    offsets : array_like of int, shape (B,)
        Where each bag begins, for an `input` with one axis.
    max_norm : None
        Rescaling rows of the table in passing is not done here: it would change an argument.
    norm_type : float
        Goes with `max_norm`.
    scale_grad_by_freq : bool
        See `embedding`.
    mode : {"mean", "sum", "max"}
    sparse : bool
        False: gradients are ndarrays.
    per_sample_weights : array_like, same shape as `input`, optional
        Factors, for ``mode="sum"``.
    include_last_offset : bool
        Whether `offsets` ends with where the last bag ends.
    padding_idx : int, optional
        A row that counts for nothing.

    Returns
    -------
    Tensor, shape (B, E)
        An empty bag gives zeros.

    Raises
    ------
    ValueError, TypeError, IndexError
        If arguments do not fit together; says which.
    """
    function = "embedding_bag"
    check_flags(function, scale_grad_by_freq=scale_grad_by_freq, include_last_offset=include_last_offset)
    check_choice(function, "mode", mode, ("mean", "sum", "max"))
    _check_table_stays(function, max_norm, norm_type, sparse)
    table = _table(function, weight)
    index = _indices(function, "input", input, table.shape[0])
    if index.ndim == 2:
        if offsets is not None:
            raise ValueError(
                f"{function}: argument 'offsets' goes with an input of one axis; its shape is {index.shape}"
            )
        starts = np.arange(index.shape[0]) * index.shape[1]
    elif index.ndim == 1:
        if offsets is None:
            raise ValueError(f"{function}: argument 'input' has shape {index.shape}, so that 'offsets' must be given")
        starts = _indices(function, "offsets", offsets, index.size + 1)
        if starts.ndim != 1 or not starts.size or starts[0] != 0 or (np.diff(starts) < 0).any():
            raise ValueError(f"{function}: argument 'offsets' must begin with 0 and not descend, got {starts.tolist()}")
        if include_last_offset:
            starts = starts[:-1]
    else:
        raise ValueError(f"{function}: argument 'input' has shape {index.shape}; it must have one or two axes")
    flat = index.reshape(-1)
    bags = np.searchsorted(starts, np.arange(flat.size), side="right") - 1
    factors: Any = None
    if per_sample_weights is not None:
        if mode != "sum":
            raise ValueError(f"{function}: argument 'per_sample_weights' goes with mode='sum', not {mode!r}")
        factors = as_tensor(operand(function, "per_sample_weights", per_sample_weights))
        if factors.shape != index.shape:
            raise ValueError(
                f"{function}: argument 'per_sample_weights' has shape {factors.shape}, 'input' {index.shape}; they "
                "must be equal"
            )
        factors = factors.reshape(-1)
    frozen = _padding_index(function, padding_idx, table.shape[0])
    if frozen is not None:
        kept = flat != frozen
        flat, bags = flat[kept], bags[kept]
        factors = None if factors is None else factors[kept]
    rows: Tensor = apply(_take_rows, table, rows=_Rows(flat, frozen, bool(scale_grad_by_freq)))
    if factors is not None:
        rows = rows * factors[:, None]
    count = starts.size
    if mode == "max":
        return _greatest(rows, bags, count)
    total: Tensor = apply(_add_rows, rows, rows=_Rows(bags, None, False), count=count)
    if mode == "mean":
        total = total / np.maximum(np.bincount(bags, minlength=count), 1)[:, None].astype(table.dtype)
    return total


def _greatest(rows: Tensor, bags: np.ndarray, count: int) -> Tensor:
    """The maximum of each column in each bag; the first of equal ones takes the cotangent."""
    values = rows._array
    best = np.full((count, values.shape[1]), -1)
    for k, bag in enumerate(bags):
        held = values[best[bag], np.arange(values.shape[1])]
        best[bag] = np.where((best[bag] < 0) | (values[k] > held) | np.isnan(values[k]), k, best[bag])
    empty = best < 0
    if values.shape[0] == 0:
        return wrap(np.zeros(best.shape, values.dtype))
    chosen = rows[np.maximum(best, 0), np.arange(values.shape[1])]
    return chosen * (~empty).astype(values.dtype)
