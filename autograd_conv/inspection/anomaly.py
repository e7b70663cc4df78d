"""Where a NaN or an infinity was born."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..errors import AutodiffError
from ..primitive import Primitive
from ..tape import LINES, STATE, STRICT, Record, State, user_line
from ..tensor import raw
from .instrument import Probe, active

__all__ = ["detect_anomaly"]


def _arrays(values: Any) -> Iterator[np.ndarray]:
    for value in values if isinstance(values, (tuple, list)) else (values,):
        array = raw(value)
        if isinstance(array, (tuple, list)):
            yield from _arrays(array)
        elif isinstance(array, (np.ndarray, np.generic)) and array.dtype.kind in "fc":
            yield np.asarray(array)


def _first_bad(array: np.ndarray) -> tuple[tuple[int, ...], Any] | None:
    """Index and value of the first element, in row-major order, that is infinite or NaN."""
    bad = ~np.isfinite(array)
    if not bad.any():
        return None
    index = tuple(int(i) for i in np.argwhere(bad)[0]) if array.ndim else ()
    return index, array[index]


class _Watch(Probe):
    """Notes the line of each record, and stops at the first number that is not finite."""

    def __init__(self, check_infinity: bool) -> None:
        self.check_infinity = check_infinity

    def keep(self, record: Record, args: Any) -> None:
        """As a tape does, for the line."""
        LINES[record] = user_line()

    def _bad(self, array: np.ndarray) -> tuple[tuple[int, ...], Any] | None:
        found = _first_bad(array)
        if found is not None and not self.check_infinity and not np.isnan(array).any():
            return None
        return found

    def forward(self, primitive: Primitive, run: Callable[..., Any], args: tuple[Any, ...], settings: Any) -> Any:
        result = run(*args, **settings)
        outputs = result[0] if primitive.residuals else result
        if any(self._bad(array) for array in _arrays(args)):
            return result  # it was not born here
        for array in _arrays(outputs):
            found = self._bad(array)
            if found is not None:
                raise AutodiffError(
                    f"detect_anomaly: the forward of {primitive.name!r} gave {found[1]} at {found[0]} of its output "
                    f"({array.dtype}, shape {array.shape}), for finite arguments; called from {user_line()}"
                )
        return result

    def pull_back(self, record: Record, run: Callable[..., Any], *args: Any) -> list[tuple[Any, Any]]:
        given = [*_arrays(args[0]), *_arrays(record.saved or ())]
        pairs = run(record, *args)
        if any(self._bad(array) for array in given):
            return pairs
        places = [k for k, node in enumerate(record.parents) if node is not None]
        for position, (parent, cotangent) in enumerate(pairs):
            for array in _arrays(cotangent):
                found = self._bad(array)
                if found is not None:
                    argnum = next((k for k in places[position:] if record.parents[k] is parent), places[0])
                    primitive: Any = record.primitive
                    raise AutodiffError(
                        f"detect_anomaly: the VJP of {record.name!r} for argument {primitive._argument(argnum)!r} gave "
                        f"{found[1]} at {found[0]} ({array.dtype}, shape {array.shape}), for a finite cotangent; the "
                        f"forward was called from {LINES.get(record, 'before detect_anomaly began')}"
                    )
        return pairs


class detect_anomaly:  # named as the PyTorch one
    """Inside the ``with`` block, stop where a NaN or an infinity is born, and say where.

    Parameters
    ----------
    check_infinity : bool
        Whether infinities count too, not only NaN.

    Raises
    ------
    AutodiffError
        Inside the block: names the primitive, forward or VJP, the argument, the first bad element, and the line of the
        user's program that called the forward.

    Notes
    -----
    Numbers that come in, in arguments, are no anomaly; only a primitive that makes one of finite numbers is. Inside the
    block, and with a `Tape`, the errors of a second sweep through freed records and of arrays changed in place name the
    line as well. Inside it, an input of `grad` that nothing depends on, and a parameter that comes to an optimizer's
    step without a gradient, are errors too. Cost: one pass over each argument and result, and the walk up the stack for
    each record.

    Examples
    --------
    >>> import autograd_conv as ac
    >>> import numpy as np
    >>> x = ac.tensor([1.0, 0.0], requires_grad=True)
    >>> with ac.detect_anomaly():
    ...     np.sqrt(x).sum().backward()
    Traceback (most recent call last):
        ...
    autograd_conv.errors.AutodiffError: detect_anomaly: the VJP of 'sqrt' for argument 'x' gave inf at (1,) ...
    """

    def __init__(self, check_infinity: bool = True) -> None:
        if not isinstance(check_infinity, bool):
            raise TypeError(
                f"detect_anomaly: argument 'check_infinity' is {check_infinity!r}; it must be True or False"
            )
        self.check_infinity = check_infinity
        self._contexts: list[Any] = []

    def __enter__(self) -> detect_anomaly:
        context = self._watching()
        self._contexts.append(context)
        context.__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        self._contexts.pop().__exit__(*exception)

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """As a decorator."""

        @functools.wraps(function)
        def watched(*args: Any, **keywords: Any) -> Any:
            with detect_anomaly(self.check_infinity):
                return function(*args, **keywords)

        return watched

    @contextmanager
    def _watching(self) -> Iterator[None]:
        watch: Any = _Watch(self.check_infinity)
        state = STATE.get()
        token = STATE.set(State(state.recording, (*state.tapes, watch)))
        strict = STRICT.set(True)
        try:
            with active(watch), np.errstate(all="ignore"):
                yield
        finally:
            STRICT.reset(strict)
            STATE.reset(token)
