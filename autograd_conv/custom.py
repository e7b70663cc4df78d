"""Functions whose derivative is given by a rule, not by what they are made of.

For a function whose derivative is known in a better form than the chain rule gives it: more stable, cheaper, by the
implicit function theorem, or deliberately another one (a straight-through estimator).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .errors import AutodiffError
from .primitive import Primitive, primitive
from .tape import enable_grad, is_grad_enabled, no_grad
from .tensor import Tensor, raw, wrap
from .trees import Structure, flatten, flatten_like, unflatten

__all__ = ["custom_vjp"]


class _Call:
    """The arguments of one call but for their arrays, and the structure of its result."""

    __slots__ = ("keywords", "leaves", "output_structure", "places", "structure")

    def __init__(self, args: Sequence[Any], keywords: dict[str, Any]) -> None:
        self.leaves, self.structure = flatten(list(args))
        self.places = [k for k, leaf in enumerate(self.leaves) if isinstance(leaf, (Tensor, np.ndarray))]
        self.keywords = keywords
        self.output_structure: Structure | None = None

    def take_arrays(self) -> list[Any]:
        """The arrays among the arguments, which the record is to keep in its own way."""
        arrays = [self.leaves[place] for place in self.places]
        for place in self.places:
            self.leaves[place] = None
        return arrays

    def arguments(self, arrays: Sequence[Any]) -> list[Any]:
        leaves = list(self.leaves)
        for place, array in zip(self.places, arrays):
            leaves[place] = array
        filled: list[Any] = unflatten(self.structure, leaves)
        return filled


class custom_vjp:  # named as the decorator that it is
    """A function with a vector-Jacobian product of its own. Works as a decorator; complete after `defvjp`.

    Parameters
    ----------
    function : callable
        Of Tensors, arrays and anything else, also in nested structures; made of functions of this package.

    Examples
    --------
    A step function that lets cotangents through as if it were the identity:

    >>> import autograd_conv as ac
    >>> import numpy as np
    >>> @ac.custom_vjp
    ... def step(x):
    ...     return ac.sign(x)
    >>> def step_forward(x):
    ...     return step(x), x  # the value, and what the rule needs
    >>> def step_backward(x, g):
    ...     return (ac.where(abs(x) <= 1, g, 0),)  # a cotangent for each argument
    >>> step.defvjp(step_forward, step_backward)
    >>> ac.grad(lambda x: ac.sum(step(x)))(np.array([-3.0, 0.5]))
    array([0., 1.])
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self._forward: Callable[..., Any] | None = None
        self._backward: Callable[..., Any] | None = None
        self._primitive: Primitive = primitive(self._run, name=self.name, residuals=["kept"], multiple=True)
        self._primitive.defvjp(
            lambda g, arrays, kept, call, needs: self._pull_back(g, arrays, kept, call, needs)  # without a `self`
        )

    @property
    def name(self) -> str:
        """Name of the function."""
        return str(getattr(self.function, "__name__", "custom_vjp"))

    def defvjp(self, forward: Callable[..., Any], backward: Callable[..., Any]) -> None:
        """Say how the function is differentiated.

        Parameters
        ----------
        forward : callable
            Takes the arguments of the function; returns ``(value, residuals)``, where the residuals are any nested
            structure that the rule needs.
        backward : callable
            ``backward(residuals, cotangent)``, with a cotangent of the structure of the value, returns a sequence of
            cotangents, one for each positional argument and of its structure; None says zero.

        Notes
        -----
        Both are written with functions of this package, so the rule is differentiated in its turn for derivatives
        of higher order. Residuals then are computed once more, with their history.
        """
        for role, value in (("forward", forward), ("backward", backward)):
            if not callable(value):
                raise TypeError(
                    f"custom_vjp.defvjp: argument {role!r} of {self.name!r} is {value!r}; it must be callable"
                )
        self._forward, self._backward = forward, backward

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        """The function, recorded as one operation."""
        if self._forward is None:
            raise AutodiffError(
                f"custom_vjp: {self.name!r} has no rule yet; call {self.name}.defvjp(forward, backward) first"
            )
        call = _Call(args, keywords)
        if not (is_grad_enabled() and any(isinstance(leaf, Tensor) and leaf.requires_grad for leaf in call.leaves)):
            return self.function(*args, **keywords)
        outputs = self._primitive(*call.take_arrays(), call=call)
        return unflatten(call.output_structure, outputs)  # type: ignore[arg-type]

    def _evaluate(self, call: _Call, tensors: Sequence[Any]) -> tuple[list[Any], Any]:
        result = self._forward(*call.arguments(tensors), **call.keywords)  # type: ignore[misc]
        if not isinstance(result, tuple) or len(result) != 2:
            raise TypeError(
                f"custom_vjp: the forward rule of {self.name!r} must return a pair (value, residuals), got "
                f"{type(result).__name__}"
            )
        outputs, call.output_structure = flatten(result[0])
        return outputs, result[1]

    def _run(self, *arrays: Any, call: Any) -> tuple[tuple[Any, ...], Any]:
        with no_grad():
            outputs, residuals = self._evaluate(call, [Tensor(array) for array in arrays])
        return tuple([np.array(raw(output)) for output in outputs]), residuals

    def _pull_back(self, g: Any, arrays: Any, kept: Any, call: Any, needs: Any) -> list[Any]:
        create_graph = any(isinstance(part, Tensor) for part in g)
        with enable_grad() if create_graph else no_grad():
            if create_graph:
                _, kept = self._evaluate(call, arrays)
            cotangent = unflatten(call.output_structure, [_as_cotangent(part) for part in g])
            results = self._backward(kept, cotangent)  # type: ignore[misc]
        count = len(call.structure.children)
        if not isinstance(results, (list, tuple)) or len(results) != count:
            raise TypeError(
                f"custom_vjp: the backward rule of {self.name!r} must return a sequence of {count} cotangents, one for "
                f"each positional argument, got {type(results).__name__}"
                + (f" of {len(results)}" if isinstance(results, (list, tuple)) else "")
            )
        leaves = flatten_like(call.structure, list(results))
        chosen = [leaves[place] for place in call.places]
        return [value if wanted else None for value, wanted in zip(chosen, needs)]


def _as_cotangent(part: Any) -> Any:
    return wrap(part.copy()) if isinstance(part, np.ndarray) else part
