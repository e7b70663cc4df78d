"""`relu`, and how its gradient is carried out in passing, by what was rectified.

In a plain sweep the gate of a rectifier needs no pass over memory of its own. If the record behind it, that of a
convolution or a batch normalization, can be reached through the rectifier alone, it is handed a `Gated` cotangent and
gates what it reads anyway. Else the gate is written over the cotangent, if nothing else holds that.
"""

from __future__ import annotations

import functools
import sys
from typing import Any

import numpy as np

import autograd_conv.kernels as kernels

from ..memory import SEALS, is_sole_view
from ..primitive import Primitive, primitive
from ..scalars import ZEROS
from ..tape import STATE, Record, State, is_sole_parent
from ..tensor import ArrayLike, Tensor
from .operands import apply, check_choice, check_numeric, is_usual, operand

__all__ = ["LARGE", "Gated", "gate", "gated", "own_references", "rectifies", "relu", "relu_gate"]

_INTEGERS = {2: np.int16, 4: np.int32, 8: np.int64}


# Elements up to which a selection takes less time than what a loop over bits needs before it starts.
_SMALL = 256


def _selected(x: np.ndarray, mask: np.ndarray) -> np.ndarray:
    result = np.zeros(x.shape, x.dtype)
    np.copyto(result, x, where=mask)
    return result


@primitive
def gate(x: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """`x` where `mask` holds, elsewhere 0: also where `x` is infinite or NaN.

    A product with the mask would turn those into NaN, and a selection by branches takes ten times as long on a
    random mask: this one clears bits. Its own transpose, so that it is closed under differentiation.
    """
    if x.size <= _SMALL:
        return _selected(x, mask)
    integer = _INTEGERS.get(x.dtype.itemsize)
    if x.dtype.kind != "f" or integer is None:
        return np.where(mask, x, x.dtype.type(0))
    all_bits = np.negative(mask.view(np.int8))  # True -> -1, whose bits are all ones
    return np.bitwise_and(x.view(integer), all_bits, dtype=integer).view(x.dtype)


gate.defvjp(x=lambda g, mask: gate(g, mask))


# Elements from which on a compiled loop on all cores is worth loading the compiler for.
LARGE = 1 << 16


class Gated:
    """A cotangent that is still to be gated by a rectifier, on its way to a primitive that does so in passing.

    Such a primitive has an attribute ``takes_gated``. It may find the gate itself, or ask for the gated array.

    Attributes
    ----------
    g : ndarray
    y : ndarray or None
        The output of the rectifier, if it is known already.
    over : bool
        Whether `g` may be written over.
    axis : int or None
        The axis of channels if sums over the others are wanted as well.
    total : ndarray or None
        These sums, if they came about in passing.
    """

    __slots__ = ("_done", "axis", "g", "over", "total", "y")

    def __init__(self, g: np.ndarray, y: np.ndarray | None, over: bool) -> None:
        self.g, self.y, self.over = g, y, over
        self.axis: int | None = None
        self.total: np.ndarray | None = None
        self._done = False

    def array(self, y: np.ndarray | None = None) -> np.ndarray:
        """The gated array; `y` is asked for once, if it is not known."""
        y = self.y if y is None else y
        if not self._done and y is not None:
            if self.over and self.axis is not None:
                self.total = kernels.channelwise.gate_over(self.g, y, self.axis)
            if self.total is None:
                self.g = kernels.rectifier.gate(self.g, y, over=True) if self.over else relu_gate(self.g, y)
            self.y, self._done = None, True
        return self.g


def gated(g: Any, y: Any = None) -> Any:
    """The cotangent `g` as a rule computes with it: gated by `y`, if there is one, or as it asks to be itself."""
    if type(g) is Gated:
        return g.array(y)
    return g if y is None else relu_gate(g, y)


class _Counting(Primitive):
    """Counts the references to a cotangent that nothing but the sweep holds."""

    counted = 0

    def pull_back(self, record: Record, g: Any, needed: set[int] | None, create_graph: bool) -> list[tuple[Any, Any]]:
        self.counted = sys.getrefcount(g)
        return super().pull_back(record, g, needed, create_graph)


@functools.cache
def own_references() -> int:
    """What ``sys.getrefcount`` says in a pull-back of a cotangent that nothing but the sweep holds."""
    counting = _Counting(lambda x: x + 1.0, name="counting").defvjp(x=lambda g: g + 1.0)
    token = STATE.set(State(True, ()))
    try:
        # The last one counts, whose cotangent is the fresh result of a rule. Nobody can watch this primitive.
        counting(counting(Tensor(1.0, requires_grad=True))).backward()
    finally:
        STATE.reset(token)
    return counting.counted  # type: ignore[attr-defined]


class _Rectifier(Primitive):
    """`relu`. In a plain sweep, its rule is carried out by what was rectified, or in the memory of the cotangent."""

    def pull_back(self, record: Record, g: Any, needed: set[int] | None, create_graph: bool) -> list[tuple[Any, Any]]:
        if not create_graph and not SEALS:
            over = g.size >= LARGE and sys.getrefcount(g) <= own_references() and is_sole_view(g)
            alone = is_sole_parent(record, 0)
            parent: Any = record.parents[0]
            (y,) = record.saved  # type: ignore[misc]
            if alone:
                primitive = parent.plan.primitive
                # Who watches a primitive is to see its cotangents.
                if getattr(primitive, "takes_gated", False) and "pull_back" not in primitive.__dict__:
                    return [(parent, Gated(g, y, over))]
            if over:
                return [(parent, kernels.rectifier.gate(g, y, over=True))]
        return super().pull_back(record, g, needed, create_graph)


def _rectified(x: np.ndarray) -> np.ndarray:
    return kernels.rectifier.rectify(x) if x.size >= LARGE else np.maximum(x, ZEROS[x.dtype])


_relu = _Rectifier(_rectified, name="relu")


@primitive(name="relu_gate")
def relu_gate(g: np.ndarray, y: np.ndarray) -> np.ndarray:
    """`g` where the output `y` of `relu` is not 0, elsewhere 0."""
    if g.size <= _SMALL:
        return _selected(g, np.not_equal(y, ZEROS[y.dtype]))
    return kernels.rectifier.gate(g, y) if g.size >= LARGE else gate(g, np.not_equal(y, 0))


# The output is what the next layer saves anyway, so keeping it is free. It is never negative: "not 0" is
# "positive or NaN", and a NaN lets the cotangent through. How the gate depends on it has no derivative.
_relu.defvjp(x=lambda g, ans: relu_gate.binary(g, ans))
relu_gate.defvjp(g=lambda g, y: relu_gate.binary(g, y), y=lambda g: None)


def rectifies(function: str, activation: Any) -> bool:
    """Whether the parameter `activation` of a function is "relu"; ValueError if it is anything else but None."""
    if activation is not None:
        check_choice(function, "activation", activation, ("relu",))
    return activation is not None


def relu(input: ArrayLike) -> Tensor:
    """max(x, 0), element by element; the derivative at 0 is 0 (source 002).

    Parameters
    ----------
    input : array_like
        Of any shape and real dtype.

    Returns
    -------
    Tensor, same shape and dtype
        NaN stays NaN.

    Notes
    -----
    Saves the output, which the following layer mostly saves as well. One pass forward, one backward.

    Examples
    --------
    >>> from autograd_conv import nn
    >>> nn.relu([-1.0, 0, 2]).data
    array([0., 0., 2.])
    """
    if is_usual(input):
        return _relu.unary(input)
    x = operand("relu", "input", input)
    check_numeric("relu", input=x)
    result: Tensor = apply(_relu, x)
    return result
