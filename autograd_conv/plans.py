"""What a record keeps for the rules of its primitive, and where each rule finds it.

A rule says by the names of its parameters what it needs. `Primitive.plan_for` turns these names, once for each set of
arguments that gradients are wanted for, into a `Plan`: a list of what to save, and for each rule the places there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

import numpy as np

from . import memory
from .tensor import Tensor

__all__ = [
    "ANSWER", "ARGUMENT", "DTYPE", "INDEX", "RESIDUAL", "SETTING", "SHAPE", "Plan", "Plans", "Rule", "dtype_of",
    "kept_argument", "picker", "shape_of",
]  # fmt: skip

Rule = Callable[..., Any]

# Where a rule finds a value: (kind, which).
ARGUMENT, ANSWER, RESIDUAL, SHAPE, DTYPE, SETTING, INDEX = range(7)


class Plan:
    """How the records with one pattern of requested arguments are saved and pulled back.

    Attributes
    ----------
    primitive : Primitive
        Whose plan it is.
    saves : list of (kind, which)
        What goes into ``Record.saved``, in this order.
    rules : list of (argnum, rule, count, sources)
        For each requested argument its rule, and where the rule's parameters after ``g`` are found: a number k
        means position k of ``saved``, -1 - k the number k itself, a string the setting of that name. `count` is
        how many there are if all of them are in ``saved``, else -1.
    joint : (rule, sources) or None
        The same for a joint rule.
    pick : callable or None
        Takes what goes into ``Record.saved`` from a tuple: the arguments' arrays, the output, the residuals, and with
        `shapes` the arguments' shapes; None if these do not suffice. Of variadic arguments it takes a tuple.
    shapes : bool
        Whether `pick` takes any shape.
    fixed : int
        Number of array arguments before the variadic ones.
    """

    __slots__ = ("fixed", "joint", "pick", "primitive", "rules", "saves", "shapes")

    def __init__(self, primitive: Any) -> None:
        self.primitive = primitive
        self.fixed = len(primitive.arguments)
        self.saves: list[tuple[int, int]] = []
        self.rules: list[tuple[int, Rule | None, int, tuple[Any, ...]]] = []
        self.joint: tuple[Rule, tuple[Any, ...]] | None = None
        self.pick: Callable[[tuple[Any, ...]], tuple[Any, ...]] | None = None
        self.shapes = False

    def slot(self, kind: int, which: int) -> int:
        """Position in ``saved`` of a value, which is added if it is not there yet."""
        if (kind, which) not in self.saves:
            self.saves.append((kind, which))
        return self.saves.index((kind, which))

    def save(
        self, args: Sequence[Any], arrays: Sequence[Any], answer: Any, residuals: Sequence[Any]
    ) -> tuple[Any, ...]:
        """What a record keeps."""
        saved: list[Any] = []
        for kind, which in self.saves:
            if kind == ARGUMENT:
                if which >= 0:
                    saved.append(kept_argument(args[which]) if which < len(args) else None)
                else:
                    saved.append(tuple([kept_argument(arg) for arg in args[self.fixed :]]))
            elif kind == ANSWER:
                saved.append(answer)
            elif kind == RESIDUAL:
                saved.append(residuals[which])
            else:
                read = shape_of if kind == SHAPE else dtype_of
                if which >= 0:
                    saved.append(read(arrays[which]) if which < len(arrays) else None)
                else:
                    saved.append(tuple([read(array) for array in arrays[self.fixed :]]))
        return tuple(saved)


class Plans(dict[int, Plan]):
    """The plans of a primitive, by the pattern of requested arguments; each is made when it is first asked for."""

    __slots__ = ("primitive",)

    def __init__(self, primitive: Any) -> None:
        self.primitive = primitive

    def __missing__(self, pattern: int) -> Plan:
        plan = self[pattern] = self.primitive.plan_for(pattern)
        return plan


def picker(
    saves: list[tuple[int, int]], count: int, residuals: int
) -> Callable[[tuple[Any, ...]], tuple[Any, ...]] | None:
    """`Plan.pick` for `count` arguments, of which -1 stands for the variadic ones: the last."""
    first = {ARGUMENT: 0, ANSWER: count, RESIDUAL: count + 1, SHAPE: count + 1 + residuals}
    # An argument that was left away has no place.
    if any(kind not in first or (which >= count and kind != RESIDUAL) for kind, which in saves):
        return None
    places = [first[kind] + (which if which >= 0 else count - 1) for kind, which in saves]
    start, stop = (places[0], places[-1] + 1) if places else (0, 0)
    # Of a slice, an itemgetter makes a tuple also of one item or none.
    return itemgetter(slice(start, stop)) if places == list(range(start, stop)) else itemgetter(*places)


def kept_argument(arg: Any) -> Any:
    """What a record keeps of an argument: the array of a Tensor, a copy of an array that a user may change."""
    if isinstance(arg, Tensor):
        return memory.save(arg) if arg._exposed else arg._array
    return arg.copy(order="K") if isinstance(arg, np.ndarray) else arg


def shape_of(array: Any) -> tuple[int, ...]:
    return array.shape if type(array) is np.ndarray else np.shape(array)


def dtype_of(array: Any) -> np.dtype[Any]:
    return array.dtype if hasattr(array, "dtype") else np.asarray(array).dtype
