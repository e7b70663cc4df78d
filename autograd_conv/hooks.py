"""Hooks: functions that see, or replace, cotangents and saved values on their way.

None of them costs anything where nobody registered one: the sweep looks once whether there is any.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from .errors import AutodiffError, explain_failure
from .primitive import Primitive
from .tape import HOOKS, RECALLS, STATE, Node, Output, Record, State
from .tensor import Tensor, raw, wrap

__all__ = ["Handle", "hook_node", "register_hook", "register_primitive_hook", "saved_tensors_hooks"]

_numbers = itertools.count()


class Handle:
    """What undoes the registration of a hook: call `remove`, or use it in a ``with`` statement."""

    def __init__(self, table: dict[int, Any], after: Callable[[], None]) -> None:
        self._table = table
        self._after = after
        self._number = next(_numbers)

    def remove(self) -> None:
        """Remove the hook; harmless if it is gone."""
        if self._table.pop(self._number, None) is not None and not self._table:
            self._after()

    def __enter__(self) -> Handle:
        return self

    def __exit__(self, *exception: object) -> None:
        self.remove()


class _NodeHooks:
    """The hooks of one node: for each of its outputs (None: the only one), functions in order."""

    def __init__(self) -> None:
        self.tables: dict[int | None, dict[int, Callable[[Tensor], Any]]] = {}

    def __call__(self, cotangent: Any, create_graph: bool) -> Any:
        if isinstance(cotangent, tuple):
            return tuple([self._apply(k, part, create_graph) for k, part in enumerate(cotangent)])
        return self._apply(None, cotangent, create_graph)

    def _apply(self, index: int | None, cotangent: Any, create_graph: bool) -> Any:
        if cotangent is None:
            return None
        for hook in list(self.tables.get(index, {}).values()):
            cotangent = _call("Tensor.register_hook", hook, cotangent, create_graph)
        return cotangent


def _call(where: str, hook: Callable[..., Any], cotangent: Any, create_graph: bool, *more: Any) -> Any:
    """The cotangent that a hook leaves: its result, or, for None, what it was given."""
    shown = cotangent if isinstance(cotangent, Tensor) else wrap(np.array(cotangent))
    try:
        result = hook(*more, shown)
    except Exception as error:
        explain_failure(error, f"{where}: the hook {getattr(hook, '__name__', hook)!r}")
        raise
    if result is None:
        return cotangent
    if np.shape(raw(result)) != cotangent.shape:
        raise AutodiffError(
            f"{where}: the hook {getattr(hook, '__name__', hook)!r} returned shape {np.shape(raw(result))} for a "
            f"cotangent of shape {cotangent.shape}; they must be equal"
        )
    if create_graph:
        return result if isinstance(result, Tensor) else wrap(np.array(result, cotangent.dtype))
    return np.array(raw(result), cotangent.dtype)


def register_hook(tensor: Tensor, hook: Callable[[Tensor], Any]) -> Handle:
    """Let `hook` see, and replace, the cotangent of a Tensor when it is complete.

    Parameters
    ----------
    tensor : Tensor
        That requires grad: a leaf or a result.
    hook : callable
        Takes the cotangent as a Tensor; returns another one of its shape, or None to leave it as it is.

    Returns
    -------
    Handle

    Raises
    ------
    AutodiffError
        If the Tensor does not require grad.
    TypeError
        If `hook` is not callable.

    Examples
    --------
    >>> import autograd_conv as ac
    >>> x = ac.tensor([1.0, 2.0], requires_grad=True)
    >>> handle = x.register_hook(lambda g: 10 * g)
    >>> (x * x).sum().backward()
    >>> x.grad
    array([20., 40.])
    """
    if not callable(hook):
        raise TypeError(f"Tensor.register_hook: argument 'hook' is {hook!r}; it must be callable")
    node = tensor._node
    if node is None:
        raise AutodiffError("Tensor.register_hook: this Tensor does not require grad, so it has no cotangent")
    return hook_node(node, hook)


def hook_node(node: Node, hook: Callable[[Tensor], Any]) -> Handle:
    """`register_hook` for a node of the tape."""
    index = node.index if isinstance(node, Output) else None
    owner = node.record if isinstance(node, Output) else node
    hooks = HOOKS.get(owner)
    if hooks is None:
        hooks = HOOKS[owner] = _NodeHooks()
    table = hooks.tables.setdefault(index, {})
    handle = Handle(table, lambda: None if any(hooks.tables.values()) else HOOKS.pop(owner, None))
    table[handle._number] = hook
    return handle


def register_primitive_hook(primitive: Primitive, hook: Callable[[Record, int, Tensor], Any]) -> Handle:
    """Let `hook` see, and replace, every cotangent that the VJPs of a primitive return.

    Parameters
    ----------
    primitive : Primitive
    hook : callable
        ``hook(record, argnum, cotangent)`` returns another cotangent, or None to leave it as it is.

    Returns
    -------
    Handle
    """
    if not callable(hook):
        raise TypeError(f"register_primitive_hook: argument 'hook' is {hook!r}; it must be callable")
    if not isinstance(primitive, Primitive):
        raise TypeError(f"register_primitive_hook: argument 'primitive' is a {type(primitive).__name__}")
    table = primitive.__dict__.get("_hooks")
    if table is None:
        table = primitive.__dict__["_hooks"] = {}

        def pull_back(record: Record, g: Any, needed: set[int] | None, create_graph: bool) -> list[tuple[Any, Any]]:
            pairs = type(primitive).pull_back(primitive, record, g, needed, create_graph)
            place = f"hook of primitive {primitive.name!r}"
            for one in list(table.values()):
                pairs = [
                    (parent, _call(place, one, cotangent, create_graph, record, _argnum(record, parent, k)))
                    for k, (parent, cotangent) in enumerate(pairs)
                ]
            return pairs

        primitive.__dict__["pull_back"] = pull_back  # only primitives that are looked at take this way

    def forget() -> None:
        primitive.__dict__.pop("_hooks", None)
        primitive.__dict__.pop("pull_back", None)

    handle = Handle(table, forget)
    table[handle._number] = hook
    return handle


def _argnum(record: Record, parent: Any, position: int) -> int:
    """Which argument the `position`-th cotangent belongs to."""
    places = [k for k, node in enumerate(record.parents) if node is not None]
    if position < len(places) and record.parents[places[position]] is parent:
        return places[position]
    return next(k for k, node in enumerate(record.parents) if node is parent)


class _Packed:
    """Saved values in the form that a user's function gave them."""

    __slots__ = ("record", "unpack", "values")

    def __init__(self, values: tuple[Any, ...], unpack: Callable[[Any], Any]) -> None:
        self.values = values
        self.unpack = unpack
        self.record: Any = None

    def __call__(self) -> None:
        record = self.record()
        record.saved = tuple([_unpacked(value, self.unpack) for value in self.values])
        RECALLS.pop(record, None)


class _Box:
    """A packed array among values that were not packed."""

    __slots__ = ("content", "dtype", "shape")

    def __init__(self, content: Any, shape: tuple[int, ...], dtype: Any) -> None:
        self.content = content
        self.shape = shape
        self.dtype = dtype


def _packed(value: Any, pack: Callable[[np.ndarray], Any]) -> Any:
    if isinstance(value, np.ndarray):
        return _Box(pack(value), value.shape, value.dtype)
    return tuple([_packed(part, pack) for part in value]) if type(value) is tuple else value


def _unpacked(value: Any, unpack: Callable[[Any], Any]) -> Any:
    if type(value) is tuple:
        return tuple([_unpacked(part, unpack) for part in value])
    if not isinstance(value, _Box):
        return value
    array = np.asarray(raw(unpack(value.content)))
    if array.shape != value.shape or array.dtype != value.dtype:
        raise AutodiffError(
            f"saved_tensors_hooks: unpack returned {array.dtype} {array.shape} for an array that was {value.dtype} "
            f"{value.shape}; they must be equal"
        )
    return array


@contextmanager
def saved_tensors_hooks(pack: Callable[[np.ndarray], Any], unpack: Callable[[Any], Any]) -> Iterator[None]:
    """Inside the ``with`` block, keep what `pack` makes of each saved array, and give `unpack` of it to VJPs.

    To compress what the tape keeps, to move it elsewhere, or to watch it.

    Parameters
    ----------
    pack : callable
        Takes an ndarray (not to be written to), returns anything.
    unpack : callable
        Takes what `pack` returned, returns an ndarray of the same shape and dtype.

    Examples
    --------
    Keep saved arrays in half precision:

    >>> import autograd_conv as ac
    >>> import numpy as np
    >>> x = ac.tensor([1.0, 2.0], requires_grad=True)
    >>> with ac.saved_tensors_hooks(lambda a: a.astype(np.float16), lambda a: a.astype(np.float64)):
    ...     y = (x * x).sum()
    >>> y.backward()
    >>> x.grad
    array([2., 4.])
    """
    import weakref

    class _Packer:
        def keep(self, record: Record, args: Any) -> None:
            saved = record.saved
            if not saved or not any(isinstance(value, (np.ndarray, tuple)) for value in saved):
                return
            packed = _Packed(tuple([_packed(value, pack) for value in saved]), unpack)
            packed.record = weakref.ref(record)
            record.saved = None
            RECALLS[record] = packed

    state = STATE.get()
    packer: Any = _Packer()
    token = STATE.set(State(state.recording, (*state.tapes, packer)))
    try:
        yield
    finally:
        STATE.reset(token)
