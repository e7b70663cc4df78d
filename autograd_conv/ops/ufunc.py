"""How a universal function of NumPy becomes one of ours: operands, ``dtype=``, ``where=``, ``out=``.

`elementwise` and its neighbours are tables of calls of `ufunc`; `ufunc_methods` adds ``reduce`` and the like.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..dispatch import CONSTANT, OPERATORS, register_numpy
from ..errors import AutodiffError
from ..primitive import Primitive, primitive
from ..tensor import ArrayLike, Tensor, as_tensor, assign_out, raw
from .conversion import asarray, astype, copy
from .shape import broadcast_to

__all__ = ["UFUNCS", "flat", "refuse", "ufunc"]

Rule = Callable[..., Any]

UFUNCS: dict[np.ufunc, Callable[..., Any]] = {}
"""Each universal function that acts element by element -> our function."""


def flat(g: Any) -> None:
    """Rule of steps: the derivative is zero wherever it exists."""


def refuse(name: str) -> Rule:
    """A rule for results that have no derivative: it says so."""

    def refused(g: Any) -> Any:
        raise AutodiffError(f"{name} has no derivative; detach() what is passed to it if its result is a constant")

    return refused


_NUMBERS = (int, float, complex)
_SEQUENCES = (list, tuple)


def ufunc(
    original: np.ufunc, summary: str, joint: Rule | None = None, /, holomorphic: bool = True, **rules: Rule
) -> Callable[..., Any]:
    """Make a primitive of a universal function, and the public function that calls it.

    Parameters
    ----------
    original : numpy.ufunc
        With one or two arguments, and any number of outputs.
    summary : str
        First line of the docstring.
    holomorphic : bool
        As for `primitive`.
    joint, **rules : callable
        Vector-Jacobian products, as for `Primitive.defvjp`; the arguments are named x and y.

    Returns
    -------
    callable
        With the signature of `original`.
    """
    name = original.__name__
    arguments = ("x",) if original.nin == 1 else ("x", "y")
    prim: Primitive = primitive(
        original, name=name, arguments=arguments, broadcasts=True, multiple=original.nout > 1, holomorphic=holomorphic
    ).defvjp(joint, **rules)
    # Several outputs, as of divmod, go the long way.
    call: Callable[..., Any] = prim if original.nout > 1 else prim.unary if original.nin == 1 else prim.binary
    OPERATORS[original] = call
    nin, nout = original.nin, original.nout

    def function(
        *arrays: ArrayLike,
        out: Any = None,
        where: Any = True,
        dtype: Any = None,
        casting: Any = "same_kind",
        order: str = "K",
        subok: bool = True,
        signature: Any = None,
    ) -> Any:
        if out is None and where is True and dtype is None and signature is None and len(arrays) == nin:
            # The shortest way, since this stands for NumPy's function in every step of a program.
            if type(arrays[0]) is Tensor and (nin == 1 or type(arrays[1]) not in _SEQUENCES):
                return call(*arrays)
            return call(*_operands(arrays))
        if len(arrays) > nin and out is None:
            arrays, out = arrays[:nin], arrays[nin:]
        if len(arrays) != nin:
            raise TypeError(f"{name}: {len(arrays)} arguments were given, but it takes {nin} arrays by position")
        if dtype is not None or signature is not None:
            arrays = _cast(original, arrays, dtype, signature, casting)
        operands = _operands(arrays)
        outs = (out if isinstance(out, tuple) else (out,)) if out is not None else ()
        outs = (*outs, *[None] * (nout - len(outs)))
        results = _compute_where(prim, operands, where, outs) if where is not True else prim(*operands)
        if nout == 1:
            return _store(name, outs[0], results, casting)
        return tuple([_store(name, o, r, casting) for o, r in zip(outs, results)])

    function.__name__ = function.__qualname__ = name
    operands, tensors = ("x" if nin == 1 else "x, y"), ("Tensor" if nout == 1 else f"tuple of {nout} Tensors")
    function.__doc__ = f"""{summary}

    Parameters
    ----------
    {operands} : array_like
        Broadcast against each other, and promoted, as by ``numpy.{name}``.
    out : Tensor, optional
        Where to store the result{"" if nout == 1 else "s: a tuple"}.
    where : array_like of bool, optional
        Where to compute; elsewhere `out` keeps its values (zero without `out`), and no derivative is taken.
    dtype, signature, casting
        Type in which to compute, and what may be converted to it, as in NumPy.
    order, subok
        For compatibility.

    Returns
    -------
    {tensors}
        Of the broadcast shape.
    """
    register_numpy(original, function)
    if joint is None and all(rule is flat or rule.__name__ == "refused" for rule in rules.values()):
        CONSTANT.add(original)
    UFUNCS[original] = function
    return function


def _operands(arrays: Sequence[Any]) -> list[Any]:
    """Operands of which at least one is a Tensor, which makes the result one.

    A Python number beside a Tensor stays as it is, so that it keeps its weak type.
    """
    operands = [as_tensor(array) if isinstance(array, _SEQUENCES) else array for array in arrays]
    if not any(isinstance(operand, Tensor) for operand in operands):
        operands[0] = as_tensor(operands[0])
    return operands


def _cast(original: np.ufunc, arrays: Sequence[Any], dtype: Any, signature: Any, casting: Any) -> tuple[Tensor, ...]:
    """The operands in the types in which NumPy would compute; a TypeError if `casting` forbids it."""
    given = [type(a) if type(a) in _NUMBERS else asarray(a).dtype for a in arrays]
    if signature is None:
        signature = (None,) * original.nin + (np.dtype(dtype),) * original.nout
    elif isinstance(signature, str):
        signature = tuple([np.dtype(letter) for letter in signature.replace("->", "")])
    else:
        signature = tuple([None if part is None else np.dtype(part) for part in signature])
    loop = original.resolve_dtypes((*given, *[None] * original.nout), signature=signature, casting=casting)
    return tuple([astype(asarray(array), d, copy=False) for array, d in zip(arrays, loop)])


def _compute_where(prim: Primitive, operands: Sequence[Any], where: Any, outs: Sequence[Any]) -> Any:
    """The outputs where a mask is true; elsewhere what `outs` hold, or zeros.

    Only the elements under the mask are computed: a division by zero outside of it neither warns nor has a
    derivative.
    """
    mask = np.asarray(raw(asarray(where)), bool)
    shape = np.broadcast_shapes(
        mask.shape, *[np.shape(raw(array)) for array in (*operands, *outs) if array is not None]
    )
    mask = np.broadcast_to(mask, shape)
    chosen = [a if type(a) in _NUMBERS else broadcast_to(a, shape)[mask] for a in operands]
    results = prim(*chosen)
    finished = []
    for out, result in zip(outs, results if prim.multiple else [results]):
        target = asarray(np.zeros(shape, result.dtype)) if out is None else copy(out)
        target[mask] = result
        finished.append(target)
    return tuple(finished) if prim.multiple else finished[0]


def _store(name: str, out: Any, result: Tensor, casting: Any = "same_kind") -> Any:
    if out is None:
        return result
    if result.shape != out.shape:  # a larger array is filled by broadcasting
        result = broadcast_to(result, out.shape)
    if result.dtype != out.dtype:
        if not np.can_cast(result.dtype, out.dtype, casting):
            raise TypeError(
                f"{name}: the result has dtype {result.dtype}, which casting={casting!r} does not convert to the "
                f"{out.dtype} of out"
            )
        result = astype(result, out.dtype)
    return assign_out(name, out, result)
