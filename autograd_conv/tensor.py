"""Tensor: an ndarray with a place on the tape.

Nothing numerical happens here. Operators, methods and NumPy's protocols look up the function that stands for
the NumPy function in question (`autograd_conv.dispatch`) and call it.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np

from . import memory
from .dispatch import FUNCTIONS, OPERATORS, lookup
from .errors import AutodiffError
from .tape import LINES, STATE, Leaf, Node, Record, sweep, user_line

__all__ = ["ArrayLike", "Tensor", "as_tensor", "raw", "tensor", "wrap"]

_grad_lock = threading.Lock()


def _operand(value: Any) -> Any:
    """The other side of an operator, or NotImplemented if that side should have its turn."""
    if isinstance(value, (Tensor, np.ndarray, int, float, complex, np.generic)):
        return value
    return as_tensor(value) if isinstance(value, (list, tuple)) else NotImplemented


def _operators(ufunc: np.ufunc) -> tuple[Callable[[Any, Any], Any], ...]:
    """The methods ``__op__``, ``__rop__`` and ``__iop__`` that stand for a universal function."""

    def forward(self: Tensor, other: Any) -> Any:
        if type(other) is not Tensor and type(other) is not float and (other := _operand(other)) is NotImplemented:
            return NotImplemented
        return OPERATORS[ufunc](self, other)

    def reflected(self: Tensor, other: Any) -> Any:
        if (other := _operand(other)) is NotImplemented:
            return NotImplemented
        return OPERATORS[ufunc](other, self)

    def in_place(self: Tensor, other: Any) -> Any:
        result = forward(self, other)
        return result if result is NotImplemented else self._become(result)

    return forward, reflected, in_place


class Tensor:
    """An n-dimensional array whose use is recorded, so that it can be differentiated.

    Parameters
    ----------
    array : array_like
        Values; copied.
    dtype : dtype, optional
        Type of the elements; by default that of `array`.
    requires_grad : bool
        Whether gradients are wanted. Only for floating-point (and complex) types.

    Attributes
    ----------
    data : ndarray
        The values, to read and to write. Always the array itself: ``t.data -= 1`` changes the Tensor.
    grad : ndarray or None
        What `backward` accumulated: same shape and dtype as `data`, memory of its own.
    shape, ndim, size, dtype, T
        As of an ndarray.
    requires_grad : bool
        Whether operations on the Tensor are recorded.

    Notes
    -----
    Tensors have value semantics: no write through one of them, or through an array that was handed in or
    out, is ever visible in another.

    Examples
    --------
    >>> import autograd_conv as ac
    >>> x = ac.tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> y = (x**2).sum()
    >>> y
    Tensor(14., dtype=float64, made by sum)
    >>> y.backward()
    >>> x.grad
    array([2., 4., 6.])
    """

    __slots__ = ("__weakref__", "_array", "_exposed", "_leaf", "_node", "_shared")

    _array: np.ndarray
    _node: Node | None
    _leaf: Leaf | None
    _exposed: bool
    _shared: bool

    def __init__(self, array: ArrayLike, dtype: Any = None, requires_grad: bool = False) -> None:
        values = np.array(array._array if isinstance(array, Tensor) else array, dtype=dtype, order="K")
        if values.dtype.kind not in "biufc":
            raise TypeError(
                f"tensor: argument 'array' has dtype {values.dtype}; a Tensor holds booleans, integers, "
                "floating-point or complex numbers"
            )
        self._array = values
        self._node = self._leaf = None
        # The caller may hold a view of nothing of ours: the copy above is the Tensor's alone.
        self._exposed = self._shared = False
        if requires_grad:
            self.requires_grad = True

    # --- values ---------------------------------------------------------------------------------------

    @property
    def data(self) -> np.ndarray:
        return memory.expose(self)

    @data.setter
    def data(self, value: ArrayLike) -> None:
        if value is self._array:  # the last step of ``t.data -= ...``
            return
        array = np.asarray(value._array if isinstance(value, Tensor) else value)
        if array.shape != self.shape:
            raise ValueError(
                f"Tensor.data: cannot assign an array of shape {array.shape} to a Tensor of shape {self.shape}; "
                "the shape of a Tensor does not change"
            )
        if not np.can_cast(array.dtype, self.dtype, casting="same_kind"):
            raise TypeError(
                f"Tensor.data: cannot assign {array.dtype} values to a Tensor of dtype {self.dtype}; "
                "convert them with astype first"
            )
        memory.forget(self)
        self._array = np.array(array, dtype=self.dtype, order="K")
        self._exposed = self._shared = False

    @property
    def shape(self) -> tuple[int, ...]:
        return self._array.shape

    @property
    def ndim(self) -> int:
        return self._array.ndim

    @property
    def size(self) -> int:
        return self._array.size

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._array.dtype

    @property
    def itemsize(self) -> int:
        return self._array.itemsize

    @property
    def nbytes(self) -> int:
        return self._array.nbytes

    def numpy(self) -> np.ndarray:
        """A copy of the values as an ndarray, without history."""
        return self._array.copy()

    def item(self, *args: Any) -> Any:
        """The value of a Tensor of one element as a Python number."""
        return self._array.item(*args)

    def tolist(self) -> Any:
        """The values as nested lists of Python numbers."""
        return self._array.tolist()

    def detach(self) -> Tensor:
        """The same values as a Tensor without history and without gradient."""
        return _view(self)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            if dtype is not None and np.dtype(dtype) != self.dtype:
                raise ValueError(f"Tensor.__array__: converting {self.dtype} to {np.dtype(dtype)} needs a copy")
            return self.data
        has_derivative = dtype is None or np.dtype(dtype).kind in "fc"  # integers have none to lose
        if self._node is not None and has_derivative and STATE.get().recording:
            raise AutodiffError(
                "numpy.asarray: this Tensor requires grad, and an ndarray would lose its history; use the function of "
                "autograd_conv (array or stack for a sequence of Tensors), assign into a Tensor instead of an ndarray, "
                "or ask for the values alone with tensor.numpy()"
            )
        return np.array(self._array, dtype=dtype)

    # --- differentiation ------------------------------------------------------------------------------

    @property
    def requires_grad(self) -> bool:
        return self._node is not None

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if value:
            if self._node is None:
                if self.dtype.kind not in "fc":
                    raise TypeError(
                        f"Tensor.requires_grad: a Tensor of dtype {self.dtype} has no gradient; only "
                        "floating-point and complex Tensors do (pass dtype=float, say)"
                    )
                self._node = self._leaf = Leaf(self.shape, self.dtype)
                if STATE.get().tapes:
                    LINES[self._leaf] = user_line()
        elif isinstance(self._node, Leaf):
            self._node = self._leaf = None
        elif self._node is not None:
            raise AutodiffError(
                "Tensor.requires_grad: cannot be switched off on the result of "
                f"{_made_by(self._node)!r}; use detach() for a Tensor without history"
            )

    @property
    def is_leaf(self) -> bool:
        """Whether the Tensor was made by a user, not by an operation."""
        return self._node is None or isinstance(self._node, Leaf)

    @property
    def grad(self) -> np.ndarray | None:
        return None if self._leaf is None else self._leaf.grad

    @grad.setter
    def grad(self, value: ArrayLike | None) -> None:
        if value is None:
            if self._leaf is not None:
                self._leaf.grad = None
            return
        if self._leaf is None:
            raise AutodiffError(
                "Tensor.grad: only a Tensor made with requires_grad=True holds a gradient; this one "
                + ("does not require one" if self._node is None else f"was made by {_made_by(self._node)!r}")
            )
        array = np.array(value._array if isinstance(value, Tensor) else value, dtype=self.dtype)
        if array.shape != self.shape:
            raise ValueError(
                f"Tensor.grad: cannot assign an array of shape {array.shape}; a gradient has the shape of its "
                f"Tensor, {self.shape}"
            )
        self._leaf.grad = array

    def backward(self, grad: ArrayLike | None = None, retain_graph: bool = False) -> None:
        """Accumulate, in the ``grad`` of each leaf, the vector-Jacobian product of this Tensor with `grad`.

        Parameters
        ----------
        grad : array_like, optional
            The cotangent (seed), of the shape of this Tensor. Optional for a Tensor of one element: 1.
        retain_graph : bool
            Keep what the records saved, so that it is possible to go through them again.

        Raises
        ------
        AutodiffError
            If this Tensor has no history; if it has several elements and `grad` is missing; if a record on
            the way was freed by an earlier sweep; if an array that a record saved was changed since.
        ValueError
            If `grad` has another shape.

        Notes
        -----
        If anything goes wrong, no ``grad`` is changed. Cost: between one and about four times that of the
        forward computation, by the theorem of Baur and Strassen.
        """
        if self._node is None:
            raise AutodiffError(
                f"backward: this Tensor of dtype {self.dtype} has no derivative; booleans and integers are constants "
                "(comparisons, positions and counts are)"
                if self.dtype.kind in "biu"
                else "backward: this Tensor does not require grad (nothing that it was computed from was made with "
                "requires_grad=True, a function without a derivative made it, or recording was off)"
            )
        seed = seed_for("backward", self, grad)
        leaves, waiting, _ = sweep(
            [(self._node, seed)],
            None,
            retain_graph=retain_graph,
            create_graph=False,
        )
        with _grad_lock:
            for leaf in leaves:
                _accumulate(leaf, memory.Slot(waiting.pop(leaf.number)))

    def _repr_html_(self) -> str:
        from .inspection.notebook import tensor_html

        return tensor_html(self)

    def register_hook(self, hook: Callable[[Tensor], Any]) -> Any:
        """Let `hook` see, and replace, the cotangent of this Tensor; see `autograd_conv.hooks.register_hook`."""
        from .hooks import register_hook

        return register_hook(self, hook)

    # --- assignment -----------------------------------------------------------------------------------

    def __getitem__(self, key: Any) -> Tensor:
        result: Tensor = FUNCTIONS["getitem"](self, key)
        return result

    def __setitem__(self, key: Any, value: Any) -> None:
        self._become(FUNCTIONS["setitem"](self, key, value))

    def _become(self, result: Tensor) -> Tensor:
        """Take the value, and while recording the history, of `result`: how assignment in place is done."""
        if result.shape != self.shape:
            raise ValueError(
                f"in-place operation: the result has shape {result.shape}, but the Tensor has shape {self.shape} "
                "and cannot change it"
            )
        if result.dtype != self.dtype:
            if not np.can_cast(result.dtype, self.dtype, casting="same_kind"):
                raise TypeError(
                    f"in-place operation: the result has dtype {result.dtype}, which cannot be cast to the "
                    f"{self.dtype} of the Tensor"
                )
            result = result.astype(self.dtype)
        memory.forget(self)
        self._array = result._array
        self._exposed = False
        self._shared = result._shared = True
        if STATE.get().recording:
            self._node = result._node
        return self

    # --- operators ------------------------------------------------------------------------------------
    # Forward, reflected and in place; the functions behind them are looked up at each call.

    __add__, __radd__, __iadd__ = _operators(np.add)
    __sub__, __rsub__, __isub__ = _operators(np.subtract)
    __mul__, __rmul__, __imul__ = _operators(np.multiply)
    __truediv__, __rtruediv__, __itruediv__ = _operators(np.true_divide)
    __floordiv__, __rfloordiv__, __ifloordiv__ = _operators(np.floor_divide)
    __mod__, __rmod__, __imod__ = _operators(np.remainder)
    __pow__, __rpow__, __ipow__ = _operators(np.power)
    __matmul__, __rmatmul__, __imatmul__ = _operators(np.matmul)
    __and__, __rand__, __iand__ = _operators(np.bitwise_and)
    __or__, __ror__, __ior__ = _operators(np.bitwise_or)
    __xor__, __rxor__, __ixor__ = _operators(np.bitwise_xor)
    __lshift__, __rlshift__, __ilshift__ = _operators(np.left_shift)
    __rshift__, __rrshift__, __irshift__ = _operators(np.right_shift)
    # NumPy's comparison protocol: element by element, so the results are no bools.
    __eq__ = _operators(np.equal)[0]
    __ne__ = _operators(np.not_equal)[0]
    __lt__ = _operators(np.less)[0]
    __le__ = _operators(np.less_equal)[0]
    __gt__ = _operators(np.greater)[0]
    __ge__ = _operators(np.greater_equal)[0]

    def __divmod__(self, other: Any) -> tuple[Tensor, Tensor]:
        return self // other, self % other

    def __rdivmod__(self, other: Any) -> tuple[Tensor, Tensor]:
        return other // self, other % self

    # Tensors are mutable containers of numbers, yet they key dictionaries (of optimizer state, say): by identity.
    __hash__ = object.__hash__

    def __neg__(self) -> Tensor:
        return OPERATORS[np.negative](self)

    def __pos__(self) -> Tensor:
        return OPERATORS[np.positive](self)

    def __abs__(self) -> Tensor:
        return OPERATORS[np.absolute](self)

    def __invert__(self) -> Tensor:
        return OPERATORS[np.invert](self)

    def __round__(self, ndigits: int = 0) -> Tensor:
        return self.round(ndigits)

    # --- conversions ----------------------------------------------------------------------------------

    def __bool__(self) -> bool:
        return bool(self._array)

    def __int__(self) -> int:
        return int(self._array.item() if self.size == 1 else self._array)

    def __float__(self) -> float:
        return float(self._array.item() if self.size == 1 else self._array)

    def __complex__(self) -> complex:
        return complex(self._array.item() if self.size == 1 else self._array)

    def __index__(self) -> int:
        return self._array.__index__()

    def __len__(self) -> int:
        return len(self._array)

    def __iter__(self) -> Iterator[Tensor]:
        if self.ndim == 0:
            raise TypeError("iteration over a Tensor without axes (shape ())")
        return (self[i] for i in range(len(self)))

    def __contains__(self, value: Any) -> bool:
        return bool((self._array == (value._array if isinstance(value, Tensor) else value)).any())

    def __repr__(self) -> str:
        body = np.array2string(self._array, separator=", ", prefix="Tensor(", floatmode="maxprec")
        text = f"Tensor({body}, dtype={self.dtype}"
        if self.size == 0 and self.shape != (0,):
            text += f", shape={self.shape}"
        if isinstance(self._node, Leaf):
            text += ", requires_grad=True"
        elif self._node is not None:
            text += f", made by {_made_by(self._node)}"
        return text + ")"

    def __str__(self) -> str:
        return str(self._array)

    def __format__(self, spec: str) -> str:
        return format(self._array.item() if self.ndim == 0 else self._array, spec)

    def __reduce__(self) -> tuple[Any, ...]:
        if not self.is_leaf:
            raise TypeError(
                f"pickle or copy: the Tensor made by {_made_by(self._node)!r} has a history, which cannot be "
                "pickled; use detach() first"
            )
        return Tensor, (self._array.copy(), None, self.requires_grad)

    def __deepcopy__(self, memo: Any) -> Tensor:
        rebuild, arguments = self.__reduce__()
        copied: Tensor = rebuild(*arguments)
        if self.grad is not None:
            copied.grad = self.grad
        memo[id(self)] = copied
        return copied

    # --- NumPy protocols ------------------------------------------------------------------------------

    __array_priority__ = 1000

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        function = lookup(ufunc if method == "__call__" else (ufunc, method))
        if "out" not in kwargs or len(kwargs) > 1:
            return function(*inputs, **kwargs)
        # Functions that a user registered need not know of out=.
        results = function(*inputs)
        single = not isinstance(results, tuple)
        stored = []
        for out, result in zip(kwargs["out"], (results,) if single else results):
            if out is not None and out.shape != result.shape:  # a larger array is filled by broadcasting
                result = FUNCTIONS[np.broadcast_to](result, out.shape)
            stored.append(result if out is None else assign_out(ufunc.__name__, out, result))
        return stored[0] if single else tuple(stored)

    def __array_function__(
        self, function: Any, types: Sequence[type], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        return lookup(function)(*args, **kwargs)

    # --- the Array API standard -----------------------------------------------------------------------------

    @property
    def device(self) -> str:
        """Where the array lies: there is one device."""
        return "cpu"

    def to_device(self, device: Any, /, *, stream: Any = None) -> Tensor:
        """The Tensor itself; the only device is "cpu"."""
        if device != "cpu" or stream is not None:
            raise ValueError(f'Tensor.to_device: device {device!r}, stream {stream!r}; there is one device, "cpu"')
        return self

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        """The module whose functions take Tensors (Array API standard)."""
        if api_version not in (None, "2021.12", "2022.12", "2023.12", "2024.12"):
            raise ValueError(f"Tensor.__array_namespace__: version {api_version!r} of the standard is not known")
        return sys.modules[__package__]

    def __dlpack__(
        self, *, stream: Any = None, max_version: Any = None, dl_device: Any = None, copy: bool | None = None
    ) -> Any:
        """The values as a DLPack capsule: a copy, or with ``copy=False`` the memory of `data`."""
        options = {"stream": stream, "max_version": max_version, "dl_device": dl_device}
        array = self.data if copy is not None and not copy else self._array.copy()
        return array.__dlpack__(**{k: v for k, v in options.items() if v is not None})

    def __dlpack_device__(self) -> tuple[Any, Any]:
        """Kind and number of the device, for DLPack."""
        return self._array.__dlpack_device__()

    # --- methods of ndarray -------------------------------------------------------------------------------

    @property
    def T(self) -> Tensor:
        return FUNCTIONS[np.transpose](self)

    @property
    def mT(self) -> Tensor:
        """The Tensor with its last two axes exchanged."""
        return FUNCTIONS[np.matrix_transpose](self)

    @property
    def real(self) -> Tensor:
        """Real part."""
        return FUNCTIONS[np.real](self)

    @property
    def imag(self) -> Tensor:
        """Imaginary part."""
        return FUNCTIONS[np.imag](self)

    @property
    def flat(self) -> Flat:
        """The elements in row-major order, to step through, to read and to assign to."""
        return Flat(self)

    @flat.setter
    def flat(self, value: Any) -> None:
        FUNCTIONS[np.put](self, range(self.size), value)

    def sum(self, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False, **more: Any) -> Tensor:
        return FUNCTIONS[np.sum](self, axis, dtype, out, keepdims, **more)

    def mean(self, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False, **more: Any) -> Tensor:
        return FUNCTIONS[np.mean](self, axis, dtype, out, keepdims, **more)

    def var(
        self,
        axis: Any = None,
        dtype: Any = None,
        out: Any = None,
        ddof: float = 0,
        keepdims: bool = False,
        **more: Any,
    ) -> Tensor:
        return FUNCTIONS[np.var](self, axis, dtype, out, ddof, keepdims, **more)

    def std(
        self,
        axis: Any = None,
        dtype: Any = None,
        out: Any = None,
        ddof: float = 0,
        keepdims: bool = False,
        **more: Any,
    ) -> Tensor:
        return FUNCTIONS[np.std](self, axis, dtype, out, ddof, keepdims, **more)

    def prod(self, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False, **more: Any) -> Tensor:
        return FUNCTIONS[np.prod](self, axis, dtype, out, keepdims, **more)

    def max(self, axis: Any = None, out: Any = None, keepdims: bool = False, **more: Any) -> Tensor:
        return FUNCTIONS[np.max](self, axis, out, keepdims, **more)

    def min(self, axis: Any = None, out: Any = None, keepdims: bool = False, **more: Any) -> Tensor:
        return FUNCTIONS[np.min](self, axis, out, keepdims, **more)

    def argmax(self, axis: Any = None, out: Any = None, *, keepdims: bool = False) -> Tensor:
        return FUNCTIONS[np.argmax](self, axis, out, keepdims=keepdims)

    def argmin(self, axis: Any = None, out: Any = None, *, keepdims: bool = False) -> Tensor:
        return FUNCTIONS[np.argmin](self, axis, out, keepdims=keepdims)

    def all(self, axis: Any = None, out: Any = None, keepdims: bool = False, **more: Any) -> Tensor:
        return FUNCTIONS[np.all](self, axis, out, keepdims, **more)

    def any(self, axis: Any = None, out: Any = None, keepdims: bool = False, **more: Any) -> Tensor:
        return FUNCTIONS[np.any](self, axis, out, keepdims, **more)

    def cumsum(self, axis: Any = None, dtype: Any = None, out: Any = None) -> Tensor:
        return FUNCTIONS[np.cumsum](self, axis, dtype, out)

    def cumprod(self, axis: Any = None, dtype: Any = None, out: Any = None) -> Tensor:
        return FUNCTIONS[np.cumprod](self, axis, dtype, out)

    def argsort(self, axis: Any = -1, kind: Any = None, order: None = None, *, stable: Any = None) -> Tensor:
        return FUNCTIONS[np.argsort](self, axis, kind, order, stable=stable)

    def nonzero(self) -> tuple[Any, ...]:
        return FUNCTIONS[np.nonzero](self)

    def clip(self, min: Any = None, max: Any = None, out: Any = None) -> Tensor:
        return FUNCTIONS[np.clip](self, min, max, out)

    def round(self, decimals: int = 0, out: Any = None) -> Tensor:
        return FUNCTIONS[np.round](self, decimals, out)

    def dot(self, other: Any, out: Any = None) -> Tensor:
        return FUNCTIONS[np.dot](self, other, out)

    def astype(
        self, dtype: Any, order: str = "K", casting: Any = "unsafe", subok: bool = True, copy: bool = True
    ) -> Tensor:
        if casting != "unsafe" and not np.can_cast(self.dtype, dtype, casting):
            raise TypeError(
                f"Tensor.astype: casting={casting!r} does not convert {self.dtype} to {np.dtype(dtype)}; 'unsafe' does"
            )
        return FUNCTIONS["astype"](self, dtype, copy=copy)

    def copy(self, order: str = "C") -> Tensor:
        return FUNCTIONS[np.copy](self, order)

    def conj(self) -> Tensor:
        return FUNCTIONS[np.conjugate](self)

    def reshape(self, *shape: Any, order: str = "C", copy: bool | None = None) -> Tensor:
        return FUNCTIONS[np.reshape](self, shape[0] if len(shape) == 1 else shape, order)

    def ravel(self, order: str = "C") -> Tensor:
        return FUNCTIONS[np.ravel](self, order)

    def flatten(self, order: str = "C") -> Tensor:
        return FUNCTIONS[np.ravel](self, order)

    def transpose(self, *axes: Any) -> Tensor:
        order: Any = axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes
        return FUNCTIONS[np.transpose](self, order or None)

    def swapaxes(self, axis1: int, axis2: int) -> Tensor:
        return FUNCTIONS[np.swapaxes](self, axis1, axis2)

    def squeeze(self, axis: Any = None) -> Tensor:
        return FUNCTIONS[np.squeeze](self, axis=axis)

    def take(self, indices: Any, axis: int | None = None, out: Any = None, mode: str = "raise") -> Tensor:
        return FUNCTIONS[np.take](self, indices, axis, out, mode)

    def repeat(self, repeats: Any, axis: int | None = None) -> Tensor:
        return FUNCTIONS[np.repeat](self, repeats, axis=axis)

    def diagonal(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
        return FUNCTIONS[np.diagonal](self, offset, axis1, axis2)

    def trace(self, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: Any = None) -> Tensor:
        return FUNCTIONS[np.trace](self, offset, axis1, axis2, dtype, out)

    # --- more methods of ndarray: searching, choosing, and changing the Tensor itself -----------------------

    def argpartition(self, kth: Any, axis: Any = -1, kind: str = "introselect", order: None = None) -> Tensor:
        return FUNCTIONS[np.argpartition](self, kth, axis, kind, order)

    def searchsorted(self, v: Any, side: str = "left", sorter: Any = None) -> Tensor:
        return FUNCTIONS[np.searchsorted](self, v, side, sorter)

    def choose(self, choices: Any, out: Any = None, mode: str = "raise") -> Tensor:
        return FUNCTIONS[np.choose](self, choices, out, mode)

    def compress(self, condition: Any, axis: int | None = None, out: Any = None) -> Tensor:
        return FUNCTIONS[np.compress](condition, self, axis, out)

    def conjugate(self) -> Tensor:
        return FUNCTIONS[np.conjugate](self)

    def sort(self, axis: int = -1, kind: Any = None, order: None = None, *, stable: Any = None) -> None:
        """Sort the Tensor itself."""
        self._become(FUNCTIONS[np.sort](self, axis, kind, order, stable=stable))

    def partition(self, kth: Any, axis: int = -1, kind: str = "introselect", order: None = None) -> None:
        """Partition the Tensor itself."""
        self._become(FUNCTIONS[np.partition](self, kth, axis, kind, order))

    def put(self, indices: Any, values: Any, mode: str = "raise") -> None:
        """Assign to elements by their position in row-major order."""
        FUNCTIONS[np.put](self, indices, values, mode)

    def tobytes(self, order: Any = "C") -> bytes:
        """The values as bytes."""
        return self._array.tobytes(order)

    def fill(self, value: Any) -> None:
        """Assign one value to all elements."""
        self[...] = value


class Flat:
    """The elements of a Tensor as one row, as ``ndarray.flat``."""

    __slots__ = ("_tensor",)

    def __init__(self, tensor: Tensor) -> None:
        self._tensor = tensor

    def __iter__(self) -> Iterator[Tensor]:
        return iter(self._tensor.reshape(-1))

    def __len__(self) -> int:
        return self._tensor.size

    def __getitem__(self, key: Any) -> Tensor:
        return self._tensor.reshape(-1)[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        row = self._tensor.reshape(-1)
        row[key] = value
        self._tensor._become(row.reshape(self._tensor.shape))


ArrayLike: TypeAlias = Tensor | np.ndarray | float | int | complex | bool | np.generic | Sequence[Any]


def tensor(array: ArrayLike, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """Make a Tensor from values, which are copied.

    Parameters
    ----------
    array : array_like
        Numbers, nested sequences of numbers, an ndarray or a Tensor (whose history is left behind).
    dtype : dtype, optional
        By default that of `array`, as in ``numpy.array``.
    requires_grad : bool
        Whether to record what is done with the Tensor, so that gradients reach it.

    Returns
    -------
    Tensor

    Raises
    ------
    TypeError
        If the values are no numbers, or `requires_grad` is asked for integers or booleans.
    """
    return Tensor(array, dtype, requires_grad)


def wrap(array: np.ndarray, node: Node | None = None) -> Tensor:
    """A Tensor around an array that is the engine's own: no copy, no check."""
    result: Tensor = _new(Tensor)
    result._array = array
    result._node = node
    result._leaf = node if type(node) is Leaf else None
    result._exposed = False
    result._shared = False
    return result


_new = object.__new__


def as_tensor(value: ArrayLike, dtype: Any = None) -> Tensor:
    """`value` itself if it is a Tensor (of that dtype), else a new Tensor without gradient."""
    if isinstance(value, Tensor):
        return value if dtype is None or value.dtype == dtype else value.astype(dtype)
    if isinstance(value, (list, tuple)):  # there may be Tensors inside, whose history counts
        result: Tensor = FUNCTIONS["array"](value, dtype)
        return result
    return Tensor(value, dtype)


def raw(value: Any) -> Any:
    """The array of a Tensor, for reading inside the engine; anything else unchanged."""
    return value._array if isinstance(value, Tensor) else value


def _view(source: Tensor) -> Tensor:
    """A Tensor without history with the values of `source`; the memory is shared while nobody writes."""
    memory.settle(source)
    result = wrap(memory.share(source, source._array.view()))
    result._shared = True
    return result


def assign_out(name: str, out: Any, result: Tensor) -> Any:
    """Store `result` where the ``out=`` argument of a NumPy function says."""
    if isinstance(out, Tensor):
        return out._become(result)
    if result.requires_grad:
        raise TypeError(
            f"numpy.{name}: out= is an ndarray, which has no history, but the result requires grad; "
            "pass a Tensor as out, or leave out= away"
        )
    np.copyto(out, result._array, casting="same_kind")
    return out


def _made_by(node: Any) -> str:
    return node.name if isinstance(node, Record) else node.record.name


# --- seeds and gradients ----------------------------------------------------------------------------------


def seed_for(function: str, output: Tensor, grad: ArrayLike | None) -> np.ndarray:
    """The cotangent to start with, checked and cast to the dtype of `output`."""
    if grad is None:
        if output.size != 1:
            raise AutodiffError(
                f"{function}: a Tensor of shape {output.shape} is no scalar, so its gradient needs a seed; pass "
                f"an array of shape {output.shape}, or reduce the Tensor to one element first"
            )
        return np.array(1, output.dtype).reshape(output.shape)
    array = np.asarray(raw(grad))
    if array.dtype is output.dtype and array.shape == output.shape:
        return array
    if array.shape != output.shape:
        raise ValueError(
            f"{function}: the seed has shape {array.shape}, but the Tensor has shape {output.shape}; they must be equal"
        )
    if not np.can_cast(array.dtype, output.dtype, casting="same_kind"):
        raise TypeError(
            f"{function}: the seed has dtype {array.dtype}, which cannot be cast to the {output.dtype} of the Tensor"
        )
    return array.astype(output.dtype, copy=False)


def _accumulate(leaf: Leaf, slot: memory.Slot) -> None:
    """Add the cotangent in `slot` to the gradient of `leaf`, which must alias nothing."""
    if leaf.grad is None:
        leaf.grad = memory.unshared(slot)
        return
    total = memory.Slot(leaf.grad)
    leaf.grad = None
    if memory.held_elsewhere(total):
        leaf.grad = total._array + slot._array
    else:
        leaf.grad = np.add(total._array, slot._array, out=total._array)
