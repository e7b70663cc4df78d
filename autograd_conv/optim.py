"""Optimizers over lists of Tensors.

An optimizer is a convenience: ``p.data -= lr * p.grad`` in a loop of one's own does the same as `SGD`. Steps
write to the parameters in place and are not recorded.

Each formula is written here with NumPy's functions. For many numbers a compiled loop does the same, bit for bit, in one
pass over memory (`kernels.steps`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from . import kernels
from .clipping import clip_grad_norm, clip_grad_value
from .errors import AutodiffError
from .tape import STRICT, made_at
from .tensor import Tensor

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "clip_grad_norm", "clip_grad_value"]


# Numbers in all parameters from which the compiled loops are used: fewer are done before one is compiled.
_COMPILED_FROM = 1 << 16

# A call of a compiled loop takes as long as eight operations of NumPy on few numbers, each of which takes as long as it
# does to go over 4096 more of them.
_CALL_OPERATIONS = 8
_OPERATION_NUMBERS = 4096


class Optimizer:
    """What all optimizers share: parameters, their state, saving and restoring.

    Parameters
    ----------
    params : iterable of Tensor
        Leaves with ``requires_grad=True``. Those whose ``grad`` is None are left alone by `step`.
    lr : float
        Learning rate, at least 0. May be changed at any time.
    weight_decay : float
        At least 0.

    Raises
    ------
    TypeError, ValueError
        If there are no parameters, one of them is no leaf that requires grad, or one is given twice; if a
        number is out of its range.
    """

    # Names of the settings that state_dict saves, and of the arrays that it keeps for each parameter.
    _settings: tuple[str, ...] = ("lr", "weight_decay")
    _slots: tuple[str, ...] = ()

    def __init__(self, params: Iterable[Tensor], lr: float, weight_decay: float) -> None:
        name = type(self).__name__
        if isinstance(params, Tensor):
            raise TypeError(f"{name}: params is a Tensor; pass a list of Tensors")
        self.params = list(params)
        if not self.params:
            raise ValueError(f"{name}: params is empty; pass at least one Tensor")
        for k, p in enumerate(self.params):
            if not isinstance(p, Tensor):
                raise TypeError(f"{name}: params[{k}] is a {type(p).__name__}; it must be a Tensor")
            if not (p.is_leaf and p.requires_grad):
                raise ValueError(f"{name}: params[{k}] (shape {p.shape}) must be a leaf with requires_grad=True")
        if len({id(p) for p in self.params}) != len(self.params):
            raise ValueError(f"{name}: a parameter is given twice in params; each would be updated twice")
        self.lr = _in_range(name, "lr", lr)
        self.weight_decay = _in_range(name, "weight_decay", weight_decay)
        self.state: list[dict[str, np.ndarray]] = [{} for _ in self.params]
        self._many = sum(p.size for p in self.params) >= _COMPILED_FROM

    def zero_grad(self) -> None:
        """Set the ``grad`` of each parameter to None."""
        for p in self.params:
            p.grad = None

    def step(self) -> None:
        """Update each parameter that has a gradient, in place."""
        for p, state in zip(self.params, self.state):
            g = p.grad
            if g is not None:
                self._update(p.data, g, state)
            elif STRICT.get():
                raise AutodiffError(
                    f"{type(self).__name__}.step: a parameter of shape {p.shape}{made_at(p._node)} has no gradient: "
                    "no loss depended on it"
                )

    def _update(self, p: np.ndarray, g: np.ndarray, state: dict[str, np.ndarray]) -> None:
        raise NotImplementedError

    def _compiled(self, operations: int, p: np.ndarray, *state: np.ndarray | None) -> bool:
        """Whether a compiled loop steps `p`, for which NumPy needs so many operations."""
        return (
            self._many
            and operations * (_OPERATION_NUMBERS + p.size) >= _CALL_OPERATIONS * _OPERATION_NUMBERS
            and kernels.steps.covers(p, *state)
        )

    def state_dict(self) -> dict[str, Any]:
        """Settings and copies of the state arrays, by flat names: ready for `save`.

        The arrays of parameter k are named ``"k.momentum"`` and the like.
        """
        result: dict[str, Any] = {name: np.asarray(getattr(self, name)) for name in self._settings}
        for k, state in enumerate(self.state):
            for name, array in state.items():
                result[f"{k}.{name}"] = array.copy()
        return result

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what `state_dict` returned, for an optimizer over parameters of the same shapes.

        Raises
        ------
        ValueError
            If something is missing, unknown or of another shape; nothing has been changed then.
        """
        name = type(self).__name__
        settings: dict[str, Any] = {}
        state: list[dict[str, np.ndarray]] = [{} for _ in self.params]
        for required in self._settings:
            if required not in state_dict:
                raise ValueError(f"{name}.load_state_dict: {required!r} is missing; was another optimizer saved?")
        for key, value in state_dict.items():
            if key in self._settings:
                array = np.asarray(value)
                settings[key] = array.item() if array.ndim == 0 else tuple(array.tolist())
                continue
            position, _, slot = key.partition(".")
            if not position.isdigit() or int(position) >= len(self.params) or slot not in self._slots:
                raise ValueError(
                    f"{name}.load_state_dict: {key!r} means nothing here; state arrays are named 'k.slot' with k below "
                    f"the number of parameters, {len(self.params)}, and slot in {self._slots}"
                )
            p = self.params[int(position)]
            array = np.asarray(value)
            count = slot == "steps"
            if array.shape != (() if count else p.shape):
                raise ValueError(
                    f"{name}.load_state_dict: {key!r} has shape {array.shape}, its parameter has shape {p.shape}"
                )
            state[int(position)][slot] = np.array(array, dtype=np.int64 if count else p.dtype)
        for key, value in settings.items():
            setattr(self, key, value)
        self.state = state

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={getattr(self, name)}" for name in self._settings)
        return f"{type(self).__name__}({len(self.params)} parameters, {settings})"


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum and weight decay, as in PyTorch.

    Parameters
    ----------
    params, lr, weight_decay
        See `Optimizer`. The decay is added to the gradient: ``g + weight_decay * p``.
    momentum : float
        Each step goes along ``v = momentum * v + (1 - dampening) * g``, starting with ``v = g``.
    dampening : float
        See `momentum`.
    nesterov : bool
        Go along ``g + momentum * v`` instead. Needs momentum > 0 and no dampening.

    References
    ----------
    I. Sutskever, J. Martens, G. Dahl and G. Hinton, On the importance of initialization and momentum in deep
    learning, ICML 2013.
    """

    _settings = ("lr", "momentum", "dampening", "weight_decay", "nesterov")
    _slots = ("momentum",)

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        super().__init__(params, lr, weight_decay)
        self.momentum = _in_range("SGD", "momentum", momentum)
        self.dampening = float(dampening)
        self.nesterov = bool(nesterov)
        if self.nesterov and (self.momentum <= 0 or self.dampening != 0):
            raise ValueError(
                f"SGD: nesterov=True needs momentum > 0 and dampening = 0, not momentum={momentum} and "
                f"dampening={dampening}"
            )

    def _update(self, p: np.ndarray, g: np.ndarray, state: dict[str, np.ndarray]) -> None:
        v = state.get("momentum") if self.momentum else None
        if self._compiled(6 if self.momentum else 2, p, v):
            first = v is None
            if self.momentum and first:
                v = state["momentum"] = np.empty_like(p)
            kernels.steps.descend(
                p, g, v, lr=self.lr, decay=self.weight_decay, momentum=self.momentum, share=1 - self.dampening,
                first=first, nesterov=self.nesterov,
            )  # fmt: skip
            return
        if self.weight_decay:
            g = g + self.weight_decay * p
        if self.momentum:
            if v is None:
                v = state["momentum"] = np.array(g)
            else:
                v *= self.momentum
                v += g if self.dampening == 0 else (1 - self.dampening) * g
            g = g + self.momentum * v if self.nesterov else v
        p -= self.lr * g


class Adam(Optimizer):
    """Adam: steps scaled by running averages of the gradient and of its square.

    Parameters
    ----------
    params, lr, weight_decay
        See `Optimizer`. The decay is added to the gradient; see `AdamW` for the other way.
    betas : (float, float)
        Decay rates of the two averages, in [0, 1).
    eps : float
        Added to the root of the second average, at least 0.

    References
    ----------
    D. P. Kingma and J. Ba, Adam: a method for stochastic optimization, ICLR 2015, algorithm 1.
    """

    _settings = ("lr", "betas", "eps", "weight_decay")
    _slots = ("average", "square", "steps")

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, lr, weight_decay)
        name = type(self).__name__
        if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"{name}: betas must be two numbers in [0, 1), not {betas}")
        self.betas = (float(betas[0]), float(betas[1]))
        self.eps = _in_range(name, "eps", eps)

    def _update(self, p: np.ndarray, g: np.ndarray, state: dict[str, np.ndarray]) -> None:
        self._adapt(p, g, state, decay=self.weight_decay, shrink=1.0)

    def _adapt(
        self, p: np.ndarray, g: np.ndarray, state: dict[str, np.ndarray], *, decay: float, shrink: float
    ) -> None:
        """A step with ``g + decay * p`` as the gradient, after `p` was multiplied by `shrink`."""
        if not state:
            state["average"], state["square"] = np.zeros_like(p), np.zeros_like(p)
            state["steps"] = np.zeros((), np.int64)
        state["steps"] += 1
        steps = int(state["steps"])
        average, square = state["average"], state["square"]
        beta1, beta2 = self.betas
        # The averages start at zero; dividing by 1 - beta**steps makes them unbiased.
        bias, rate = math.sqrt(1 - beta2**steps), self.lr / (1 - beta1**steps)
        if self._compiled(13, p, average, square):
            kernels.steps.adapt(
                p, g, average, square, decay=decay, shrink=shrink, beta1=beta1, beta2=beta2, bias=bias, eps=self.eps,
                rate=rate,
            )  # fmt: skip
            return
        if shrink != 1:
            p *= shrink
        if decay:
            g = g + decay * p
        average *= beta1
        average += (1 - beta1) * g
        square *= beta2
        square += (1 - beta2) * (g * g)
        root = np.sqrt(square, out=np.empty_like(square))
        root /= bias
        root += self.eps
        np.divide(average, root, out=root)
        root *= rate
        p -= root


class AdamW(Adam):
    """Adam with decoupled weight decay: ``p -= lr * weight_decay * p`` beside the adaptive step.

    References
    ----------
    I. Loshchilov and F. Hutter, Decoupled weight decay regularization, ICLR 2019, algorithm 2.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay)

    def _update(self, p: np.ndarray, g: np.ndarray, state: dict[str, np.ndarray]) -> None:
        self._adapt(p, g, state, decay=0.0, shrink=1 - self.lr * self.weight_decay)


def _in_range(function: str, argument: str, value: float) -> float:
    if not isinstance(value, (int, float, np.floating, np.integer)) or isinstance(value, bool):
        raise TypeError(f"{function}: {argument} is a {type(value).__name__}; it must be a number")
    if not (value >= 0 and np.isfinite(value)):
        raise ValueError(f"{function}: {argument}={value}; it must be finite and at least 0")
    return float(value)
