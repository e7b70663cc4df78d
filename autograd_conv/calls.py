"""A function called on Tensors that stand for its arguments: what every derivative operator starts with."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from .gradients import grad as _grad
from .primitive import primitive
from .tape import Leaf, Output, Record, enable_grad, is_grad_enabled
from .tensor import Tensor, as_tensor, raw
from .trees import Structure, flatten, unflatten

__all__ = ["Call", "Function", "call_on_tensors", "fit", "is_recorded", "positions", "scalar_output"]

Function = Callable[..., Any]


@primitive
def _entry(x: Any) -> Any:
    """The identity. Its record marks where an argument enters a function."""
    return x.view()


_entry.name = "argument"
_entry.defvjp(x=lambda g: g)


class Call(NamedTuple):
    """A function, called on Tensors that stand for chosen leaves of its arguments.

    Attributes
    ----------
    inputs : list of Tensor
        What the derivatives are taken with respect to.
    structure : Structure
        Of the arguments chosen.
    outputs : list
        Leaves of the result.
    output_structure : Structure
        Of the result.
    auxiliary : any
        What the function returned beside, if so asked.
    as_tensors : bool
        Whether results are Tensors.
    outside : bool
        Whether results are to have a history.
    """

    inputs: list[Tensor]
    structure: Structure
    outputs: list[Any]
    output_structure: Structure
    auxiliary: Any
    as_tensors: bool
    outside: bool

    def result(self, value: Any) -> Any:
        """A value as the caller is to see it."""
        if not isinstance(value, Tensor):
            return value
        if self.outside:
            return value
        if self.as_tensors:
            return value.detach()
        array = value.numpy()
        return array if array.ndim else array[()]

    def value(self) -> Any:
        return unflatten(self.output_structure, [self.result(output) for output in self.outputs])

    def pull_back(self, cotangents: Sequence[Any], retain: bool = False) -> list[Any]:
        """Leaves of the vector-Jacobian product with one cotangent for each output."""
        return [self.result(value) for value in self.differentiate(cotangents, retain, self.outside)]

    def differentiate(self, cotangents: Sequence[Any], retain: bool, create_graph: bool) -> list[Tensor]:
        live = [(out, g) for out, g in zip(self.outputs, cotangents) if is_recorded(out) and g is not None]
        if not live or not self.inputs:
            return [as_tensor(np.zeros(value.shape, value.dtype)) for value in self.inputs]
        outputs, seeds = zip(*live)
        return list(_grad(outputs, self.inputs, seeds, retain_graph=retain or self.outside, create_graph=create_graph))


def is_recorded(value: Any) -> bool:
    return isinstance(value, Tensor) and value.requires_grad


def _enter(name: str, place: str, leaf: Any, recording: bool) -> Tensor:
    """The Tensor that stands for a leaf of an argument."""
    if isinstance(leaf, Tensor):
        if leaf.dtype.kind not in "fc":
            raise TypeError(
                f"{name}: {place} is a Tensor of dtype {leaf.dtype}; derivatives are taken with respect to "
                "floating-point or complex values"
            )
        if leaf.requires_grad and recording:
            entered: Tensor = _entry(leaf)
            return entered
        return Tensor(leaf, requires_grad=True)
    if isinstance(leaf, bool) or not isinstance(leaf, (int, float, complex, np.ndarray, np.generic)):
        raise TypeError(
            f"{name}: {place} is a {type(leaf).__name__}; derivatives are taken with respect to Tensors, arrays and "
            "numbers, in lists, tuples, dictionaries and dataclasses"
        )
    if isinstance(leaf, int):
        leaf = float(leaf)
    array = np.asarray(leaf)
    if array.dtype.kind not in "fc":
        raise TypeError(
            f"{name}: {place} is an array of dtype {array.dtype}; derivatives are taken with respect to "
            "floating-point or complex values (convert it with astype(float), say)"
        )
    return Tensor(array, requires_grad=True)


# Leaves that stood for arguments of calls that have returned: to every other call they are constants.
_RETURNED: weakref.WeakSet[Leaf] = weakref.WeakSet()


def _depends_on_others(outputs: Sequence[Any], inputs: Sequence[Tensor]) -> bool:
    """Whether the history of `outputs` reaches beyond `inputs`: to Tensors that the function closes over."""
    own: set[int] = {id(value._node) for value in inputs}
    seen: set[int] = set()
    stack: list[Any] = [out._node for out in outputs if is_recorded(out)]
    while stack:
        node = stack.pop()
        if type(node) is Output:
            node = node.record
        if id(node) in seen or id(node) in own:
            continue
        seen.add(id(node))
        if isinstance(node, Leaf) and node not in _RETURNED:
            return True
        if isinstance(node, Record):
            stack.extend(parent for parent in node.parents if parent is not None)
    return False


def positions(name: str, argnums: Any, count: int) -> tuple[int, ...]:
    numbers = (argnums,) if isinstance(argnums, int) else tuple(argnums)
    for number in numbers:
        if not isinstance(number, (int, np.integer)) or isinstance(number, bool):
            raise TypeError(f"{name}: argument 'argnums' is {argnums!r}; it must be an int or a sequence of ints")
        if not -count <= number < count:
            raise ValueError(
                f"{name}: argument 'argnums' names positional argument {number}, but the function was called with "
                f"{count}"
            )
    return tuple(int(number) % count for number in numbers)


def call_on_tensors(
    name: str,
    function: Function,
    args: Sequence[Any],
    keywords: dict[str, Any],
    argnums: Sequence[int],
    has_aux: bool = False,
) -> Call:
    """Call `function` with Tensors for the leaves of the arguments `argnums`."""
    recording = is_grad_enabled()
    chosen = [args[number] for number in argnums]
    leaves, structure = flatten(chosen)
    as_tensors = any(isinstance(leaf, Tensor) for leaf in flatten(list(args))[0])
    inputs = [
        _enter(name, f"leaf {k} of the arguments {tuple(argnums)}" if len(leaves) > 1 else f"argument {argnums[0]}",
               leaf, recording)
        for k, leaf in enumerate(leaves)
    ]  # fmt: skip
    replaced = list(args)
    for number, value in zip(argnums, unflatten(structure, inputs)):
        replaced[number] = value
    with enable_grad():
        result = function(*replaced, **keywords)
    auxiliary = None
    if has_aux:
        if not isinstance(result, tuple) or len(result) != 2:
            raise TypeError(
                f"{name}: with has_aux=True the function must return a pair (value, auxiliary), got "
                f"{type(result).__name__}"
            )
        result, auxiliary = result
    outputs, output_structure = flatten(result)
    entered = any(leaf._node is not None for leaf in leaves if isinstance(leaf, Tensor))
    outside = recording and (entered or _depends_on_others(outputs, inputs))
    _RETURNED.update(value._leaf for value in inputs if value._leaf is not None)
    return Call(inputs, structure, outputs, output_structure, auxiliary, as_tensors or outside, outside)


def scalar_output(name: str, call: Call) -> Tensor:
    """The one output of a function that is to be differentiated as a whole."""
    outputs = call.outputs
    if len(outputs) != 1:
        raise ValueError(f"{name}: the function must return one scalar, it returned {len(outputs)} values")
    output = outputs[0]
    if np.size(raw(output)) != 1:
        raise ValueError(
            f"{name}: the function must return a scalar, it returned shape {np.shape(raw(output))}; use jacobian, "
            "elementwise_grad or vjp for functions with several values"
        )
    if np.iscomplexobj(raw(output)):
        raise TypeError(
            f"{name}: the function must return a real scalar, it returned {raw(output).dtype}; use vjp with a cotangent"
        )
    if isinstance(output, bool) or getattr(raw(output), "dtype", np.dtype(float)).kind in "biu":
        raise TypeError(
            f"{name}: the function returned {np.asarray(raw(output)).dtype}, which has no derivative; booleans and "
            "integers are constants (comparisons, positions and counts are)"
        )
    return as_tensor(output)


def fit(name: str, role: str, value: Any, like: Any) -> Any:
    """`value` in the dtype of `like`, of whose shape it must be."""
    array = value if isinstance(value, Tensor) else np.asarray(value)
    if array.shape != like.shape:
        raise ValueError(f"{name}: a {role} has shape {array.shape}, its value shape {like.shape}; they must be equal")
    if not np.can_cast(array.dtype, like.dtype, casting="same_kind"):
        raise TypeError(
            f"{name}: a {role} has dtype {array.dtype}, which cannot be cast to the {like.dtype} of its value"
        )
    return array.astype(like.dtype, copy=False)
