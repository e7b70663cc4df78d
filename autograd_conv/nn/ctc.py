"""Connectionist temporal classification: the likelihood of a labelling, over all alignments.

With a blank between, before and after the labels (``blank l1 blank l2 ... blank``, S = 2 L + 1 states), alpha[t, s] is
the probability of all paths that are in state s at time t; from one time to the next a path stays, moves to the
next state, or skips a blank between two different labels.

References
----------
A. Graves et al., Connectionist temporal classification, ICML 2006: equations 5 to 8 (alpha), 16 (gradient).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ops.indexing import take_along_axis
from ..ops.joining import concatenate, stack
from ..ops.selection import where
from ..special import logsumexp
from ..tensor import ArrayLike, Tensor, as_tensor, raw
from .operands import check_choice, check_flags, check_floating, integer, operand

__all__ = ["ctc_loss"]


def _lengths(function: str, argument: str, value: ArrayLike, batch: int, limit: int) -> np.ndarray:
    lengths = np.asarray(raw(operand(function, argument, value))).reshape(-1)
    if lengths.dtype.kind not in "iu":
        raise TypeError(f"{function}: argument {argument!r} has dtype {lengths.dtype}; it must be integer")
    if lengths.shape != (batch,):
        raise ValueError(
            f"{function}: argument {argument!r} has {lengths.size} elements; it must have {batch}, one an example"
        )
    if (lengths < 0).any() or (lengths > limit).any():
        raise ValueError(f"{function}: argument {argument!r} must lie between 0 and {limit}, got {lengths.tolist()}")
    return lengths.astype(np.int64)


def ctc_loss(
    log_probs: ArrayLike,
    targets: ArrayLike,
    input_lengths: ArrayLike,
    target_lengths: ArrayLike,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """Negative logarithm of the probability of a sequence of labels, whatever its alignment.

    Parameters
    ----------
    log_probs : array_like, shape (T, N, C) or (T, C)
        Logarithms of probabilities of classes at each time.
    targets : array_like of int, shape (N, L) or (sum of target_lengths,)
        Labels, padded or one after the other.
    input_lengths, target_lengths : array_like of int, shape (N,) or ()
        How many times, and labels, of each example count.
    blank : int
        The class of the blank.
    reduction : {"mean", "sum", "none"}
        "mean": losses are divided by the lengths of their targets before the mean is taken.
    zero_infinity : bool
        Whether the loss of targets that do not fit into their input is 0, not infinity.

    Returns
    -------
    Tensor
        Shape (N,), or () if reduced or without a batch.

    Raises
    ------
    ValueError, TypeError, IndexError
        If lengths, labels or shapes do not fit together.

    Notes
    -----
    Made of differentiable operations on whole rows of states, so that derivatives of every order exist. Cost of the
    order of ``N T L`` operations.
    """
    function = "ctc_loss"
    check_choice(function, "reduction", reduction, ("mean", "sum", "none"))
    check_flags(function, zero_infinity=zero_infinity)
    log = as_tensor(operand(function, "log_probs", log_probs))
    check_floating(function, log_probs=log)
    if log.ndim not in (2, 3):
        raise ValueError(f"{function}: argument 'log_probs' has shape {log.shape}; it must be (T, N, C) or (T, C)")
    batched = log.ndim == 3
    if not batched:
        log = log[:, None, :]
    times, batch, classes = log.shape
    empty = integer(function, "blank", blank)
    if not 0 <= empty < classes:
        raise IndexError(f"{function}: argument 'blank' is {empty}, but there are {classes} classes")
    labels = np.asarray(raw(operand(function, "targets", targets)))
    if labels.dtype.kind not in "iu" and labels.size:
        raise TypeError(f"{function}: argument 'targets' has dtype {labels.dtype}; it must be integer")
    if labels.ndim == 2:
        if labels.shape[0] != batch:
            raise ValueError(f"{function}: argument 'targets' has shape {labels.shape}; it must have {batch} rows")
        counts = _lengths(function, "target_lengths", target_lengths, batch, labels.shape[1])
        rows = [labels[n, : counts[n]] for n in range(batch)]
    elif labels.ndim == 1:
        counts = _lengths(function, "target_lengths", target_lengths, batch, labels.size)
        if counts.sum() != labels.size:
            raise ValueError(
                f"{function}: argument 'targets' has {labels.size} labels, 'target_lengths' says {int(counts.sum())}"
            )
        rows = np.split(labels, np.cumsum(counts)[:-1])
    else:
        raise ValueError(f"{function}: argument 'targets' has shape {labels.shape}; it must have one or two axes")
    durations = _lengths(function, "input_lengths", input_lengths, batch, times)
    most = int(counts.max(initial=0))
    states = np.full((batch, 2 * most + 1), empty, np.int64)
    for n, row in enumerate(rows):
        states[n, 1 : 2 * row.size : 2] = row
    if ((states < 0) | (states >= classes)).any():
        raise IndexError(f"{function}: argument 'targets' must lie between 0 and {classes - 1}")
    losses = -_log_likelihood(log, states, durations, counts, empty)
    if zero_infinity:
        losses = where(np.isinf(losses._array), 0, losses)
    if reduction == "mean":
        return (losses / np.maximum(counts, 1).astype(log.dtype)).mean()
    if reduction == "sum":
        return losses.sum()
    return losses if batched else losses[0]


def _log_likelihood(log: Tensor, states: np.ndarray, durations: np.ndarray, counts: np.ndarray, blank: int) -> Tensor:
    """The logarithm of the sum of the two last alphas of each example."""
    batch, size = states.shape
    times = int(durations.max(initial=0))
    never = np.asarray(-np.inf, log.dtype)
    skips = np.zeros((batch, size), bool)
    skips[:, 2:] = (states[:, 2:] != blank) & (states[:, 2:] != states[:, :-2])
    first = np.arange(size) < 2
    emitted = take_along_axis(log, np.broadcast_to(states, (log.shape[0], batch, size)), -1)
    # Before the first time, the path waits at the first blank, from which it may also enter the first label.
    waiting = np.full((batch, size), -np.inf, log.dtype)
    waiting[:, 0] = 0
    alpha: Tensor = as_tensor(waiting)
    column: Any = np.full((batch, 1), -np.inf, log.dtype)
    for t in range(times):
        if t == 0:
            moved = where(first, emitted[0], never)
        else:
            one = concatenate([column, alpha[:, :-1]], axis=1)
            ways = [alpha, one]
            if size > 2:
                two = concatenate([column, column, alpha[:, :-2]], axis=1)
                ways.append(where(skips, two, never))
            moved = logsumexp(stack(ways), axis=0) + emitted[t]
        running = (t < durations)[:, None]
        alpha = moved if running.all() else where(running, moved, alpha)
    last = take_along_axis(alpha, (2 * counts)[:, None], 1)
    before = take_along_axis(alpha, np.maximum(2 * counts - 1, 0)[:, None], 1)
    before = where((counts > 0)[:, None], before, never)
    return logsumexp(concatenate([last, before], axis=1), axis=1)
