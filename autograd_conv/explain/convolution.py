"""A convolution and its gradients in five ways, with all their matrices."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

import autograd_conv.kernels as kernels

from .. import nn
from ..kernels.geometry import Window
from ..tensor import ArrayLike, raw
from .writing import WIDTH, Page, as_stack, beside, image_shape, named, number, planes, section, table

__all__ = ["Convolution", "conv2d"]


@dataclass(repr=False)
class Convolution(Page):
    """What `conv2d` returns: prints as a page of text.

    Attributes
    ----------
    x, w, gy : ndarray, shapes (C, H, W), (O, C, KH, KW), (O, OH, OW)
        What was given.
    y, gx, gw, gb : ndarray
        Output and gradients, by the definition.
    window : Window
        Stride, padding and dilation, parsed.
    im2col, W : ndarray, shapes (OH*OW, KH*KW*C), (KH*KW*C, O)
        ``Y = im2col @ W``. Windows and taps are counted row by row.
    padpad, rotated : ndarray, shapes (O, ..., ...), (C, O, KH, KW)
        ``gx = padpad * rotated`` with stride 1: the output's gradient padded inside and outside, the kernel rotated
        by 180 degrees and transposed.
    padpad_rotated, x_rotated : ndarray, shapes (O, ..., ...), (C, H, W)
        ``gw = padpad_rotated * x_rotated``: the same for the gradient of the kernel.
    phi, C, M, kronecker : ndarray, shapes (P, Q), (Q, O), (P*Q, C*H*W), (O*P, O*Q)
        Source 002: ``vec(phi) = M vec(x)``, ``vec(y) = kronecker vec(C)``, ``kronecker = I kron phi``. Windows and
        taps are counted column by column.
    jacobian : ndarray, shape (C*H*W, O*OH*OW)
        The derivative of each output (a column) with respect to each input (a row), counted row by row.
    table : list of list of str
        The same with the names of the kernel's elements, as in source 004: ``"k1,1"``; ``"0"`` where there is none.
    """

    x: np.ndarray
    w: np.ndarray
    gy: np.ndarray
    y: np.ndarray
    gx: np.ndarray
    gw: np.ndarray
    gb: np.ndarray
    window: Window
    im2col: np.ndarray
    W: np.ndarray
    padpad: np.ndarray
    rotated: np.ndarray
    padpad_rotated: np.ndarray
    x_rotated: np.ndarray
    phi: np.ndarray
    C: np.ndarray
    M: np.ndarray
    kronecker: np.ndarray
    jacobian: np.ndarray
    table: list[list[str]]

    def differences(self) -> dict[str, float]:
        """Largest distance of each formulation from the definition, over output and gradients.

        Examples
        --------
        >>> conv2d([[1, 2, 3]], [[1, 10]]).differences()
        {'im2col': 0.0, 'padpad': 0.0, 'kronecker': 0.0, 'jacobian': 0.0}
        """
        found = {}
        x, w, gy = self.x[None], self.w, self.gy[None]
        settings = _settings(self.window)
        for method in ("im2col", "padpad", "kronecker"):
            y = nn.conv2d(x, w, method=method, **settings).data[0]
            gx = nn.conv2d_input(x.shape, w, gy, method=method, **settings).data[0]
            gw = nn.conv2d_weight(x, w.shape, gy, method=method, **settings).data
            pairs = ((y, self.y), (gx, self.gx), (gw, self.gw))
            found[method] = max(float(np.abs(a - b).max(initial=0)) for a, b in pairs)
        by_table = (self.jacobian @ self.gy.ravel()).reshape(self.x.shape)
        found["jacobian"] = float(np.abs(by_table - self.gx).max(initial=0))
        return found

    def _lines(self) -> Iterable[str]:
        window = self.window
        (top, left), (bottom, right) = window.before[1:], window.after[1:]
        yield f"conv2d of x {image_shape(self.x)} with w {image_shape(self.w)} is y {image_shape(self.y)}"
        yield (
            f"stride {window.stride[1:]}, padding (({top}, {bottom}), ({left}, {right})), "
            f"dilation {window.dilation[1:]}"
        )
        yield "Zeros that stand for nothing are dots; names like k1,2 count row, column."
        yield from section(
            "1. The definition",
            "y[o,i,j] = sum over c,u,v of w[o,c,u,v] * xpad[c, i*S + u*D, j*S + v*D]",
            beside(*planes("x", self.x), *planes("w", self.w), *planes("y", self.y)),
            self._first_output(),
            "Let gy be the gradient of a loss with respect to y. Then the gradients of x, w and b are",
            beside(*planes("gy", self.gy), *planes("gx", self.gx), *planes("gw", self.gw)),
            f"gb = {', '.join(number(g, False) for g in self.gb)}: the sum of gy",
        )
        Y, gY = self.y.reshape(len(self.y), -1).T, self.gy.reshape(len(self.gy), -1).T
        yield from section(
            "2. im2col: one matrix product (sources 000, 003)",
            "Each row of im2col(x) is a window; the kernel is a column for each output channel.",
            "Y = im2col(x) @ W",
            beside(named("im2col(x)", self.im2col), named("W", self.W), named("Y", Y)),
            "gW = im2col(x).T @ gY: each element of gy weighs the window that it came from",
            beside(named("gY", gY), named("gW", self.im2col.T @ gY)),
            "gx = col2im(gY @ W.T): fold the rows back into windows; what falls on one place adds up",
            named("gY @ W.T", gY @ self.W.T),
        )
        yield from section(
            "3. padpad: correlations with stride 1 (source 001)",
            "gx = padpad(gy) * rot180 trans(w). padpad puts S-1 zeros between the elements of gy, and around them "
            "as many as give gx the size of x. The kernel is rotated by 180 degrees, its channels are exchanged.",
            beside(*planes("padpad(gy)", _dotted(self.padpad, window, False)), *planes("rotated", self.rotated)),
            "gw = padpad(rot180(gy)) * rot180(x): the input takes the part of the kernel, the dilation that of the "
            "stride.",
            beside(
                *planes("padpad(rot180(gy))", _dotted(self.padpad_rotated, window, True)),
                *planes("rot180(x)", self.x_rotated),
            ),
        )
        yield from section(
            "4. vec and Kronecker: matrices times vectors (source 002)",
            "vec stacks columns: windows and taps are counted column by column. phi(x) holds the windows as rows.",
            "vec(y) = vec(phi(x) C) = (I kron phi(x)) vec(C)",
            beside(named("phi(x)", self.phi), named("C", self.C)),
            named("I kron phi(x)", self.kronecker, dot=True),
            "vec(phi(x)) = M vec(x): M routes the input to the windows. vec(gx) = M.T vec(gY C.T) routes back.",
            named("M", self.M, dot=True),
        )
        several = len(self.x) * len(self.y) > 1
        yield from section(
            "5. The Jacobian (source 004)",
            "A row for each input, a column for each output u (here y): what stands between them is at most one "
            "element of the kernel. gx = table @ gy.",
            table(
                [["." if entry == "0" else entry for entry in row] for row in self.table],
                rows=_labels("x", self.x.shape, several),
                columns=_labels("u", self.y.shape, several),
            ),
        )
        parts = ", ".join(f"{name} {difference:.1g}" for name, difference in self.differences().items())
        yield from section("6. They agree", f"Largest difference from the definition: {parts}")

    def _first_output(self) -> str:
        """The sum that the first output is, with numbers; cut off where the line ends."""
        if not self.y.size:
            return ""
        window, terms = self.window, []
        for c, u, v in np.ndindex(self.w.shape[1:]):
            h = u * window.dilation[1] - window.before[1]
            k = v * window.dilation[2] - window.before[2]
            inside = 0 <= h < window.size[1] and 0 <= k < window.size[2]
            factors = [self.w[0, c, u, v], self.x[c, h, k] if inside else "pad"]
            terms.append(
                "*".join(f"({text})" if text[0] == "-" else text for text in (number(f, False) for f in factors))
            )
        line = f"y[0,0,0] = {' + '.join(terms)} = {number(self.y[0, 0, 0], False)}"
        return line if len(line) <= WIDTH else f"{line[: WIDTH - 4]} ..."


def _settings(window: Window) -> dict[str, Any]:
    """The settings of `conv2d` that a window was parsed from."""
    padding = tuple(zip(window.before[1:], window.after[1:]))
    return {"stride": window.stride[1:], "padding": padding, "dilation": window.dilation[1:]}


def _labels(letter: str, shape: tuple[int, ...], several: bool) -> list[str]:
    """Names of the elements of (C, H, W), counted from one as in the sources; with the channel if there are several."""
    return [
        f"{letter}[{c + 1}]{i + 1},{j + 1}" if several else f"{letter}{i + 1},{j + 1}" for c, i, j in np.ndindex(shape)
    ]


def _outer(window: Window, turned: bool) -> tuple[tuple[int, int], ...]:
    """The outer padding of padpad(gy); with its sides exchanged for the rotated gy."""
    outer = kernels.formulations.outer_padding(window)
    return tuple([(after, before) for before, after in outer]) if turned else outer


def _dotted(padded: np.ndarray, window: Window, turned: bool) -> np.ndarray:
    """`padded` as text, with dots for the zeros that padpad put in; zeros of the gradient itself stay."""
    ones = np.ones((1, *window.out, len(padded)), int)
    given = kernels.padpad.padpad(ones, window.stride, _outer(window, turned))[0, 0].transpose(2, 0, 1)
    texts = np.full(padded.shape, ".", dtype=object)
    for at in np.ndindex(padded.shape):
        if given[at]:
            texts[at] = number(padded[at], False)
    return texts


def conv2d(
    x: ArrayLike,
    w: ArrayLike,
    gy: ArrayLike | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
) -> Convolution:
    """Explain a convolution: five ways to compute it and its gradients, with all their matrices.

    Parameters
    ----------
    x : array_like, shape (H, W) or (C, H, W)
        One small image. Integers stay integers, which is easier to read.
    w : array_like, shape (KH, KW) or (O, C, KH, KW)
    gy : array_like, shape (OH, OW) or (O, OH, OW), optional
        Gradient of a loss with respect to the output; by default 1, 2, 3, ..., so that one sees what goes where.
    stride, padding, dilation
        As in `nn.conv2d`.

    Returns
    -------
    Convolution
        Prints as a page of text; has the matrices as attributes.

    Raises
    ------
    TypeError, ValueError
        As `nn.conv2d`; and if a matrix of source 002 would have more than ``kernels.kronecker.MAX_ELEMENTS`` elements.

    Examples
    --------
    >>> page = conv2d([[1, 3, 1, 4], [2, 8, 5, 1], [3, 2, 0, 3]], [[1, 0], [-1, 1]])
    >>> page.y[0]
    array([[ 7,  0, -3],
           [ 1,  6,  8]])
    >>> page.padpad[0]
    array([[0, 0, 0, 0, 0],
           [0, 1, 2, 3, 0],
           [0, 4, 5, 6, 0],
           [0, 0, 0, 0, 0]])
    """
    function = "explain.conv2d"
    x, w = np.asarray(raw(x)), np.asarray(raw(w))
    if x.ndim not in (2, 3) or w.ndim not in (2, 4):
        raise ValueError(
            f"{function}: argument 'x' has shape {x.shape} and argument 'w' shape {w.shape}; they must be (H, W) or "
            "(C, H, W), and (KH, KW) or (O, C, KH, KW)"
        )
    x, w = as_stack(x, 3), as_stack(w, 4)
    window = Window.of(function, x.shape[1:], w.shape[2:], stride, padding, dilation)
    settings = _settings(window)
    y = nn.conv2d(x, w, **settings).data
    kernels.kronecker.check_size(function, window, len(x), len(w))
    if gy is None:
        gy = np.arange(1, y.size + 1, dtype=y.dtype).reshape(y.shape)
    gy = np.asarray(raw(gy))
    gy = as_stack(gy, 3) if gy.ndim == 2 else gy
    gx = nn.conv2d_input(x.shape, w, gy, **settings).data
    gw = nn.conv2d_weight(x, w.shape, gy, **settings).data

    # What kernels take: (1, 1, H, W, C) and (1, KH, KW, C, O)
    last, taps = x.transpose(1, 2, 0)[None, None], w.transpose(2, 3, 1, 0)[None]
    last_gy = gy.transpose(1, 2, 0)[None, None]
    routing = kernels.kronecker.routing_matrix(window, len(x), x.dtype)
    phi = kernels.kronecker.phi(last[0], routing, window)
    padded = kernels.padpad.padpad(last_gy, window.stride, _outer(window, False))
    turned = kernels.padpad.padpad(kernels.padpad.rot180(last_gy), window.stride, _outer(window, True))
    units = np.eye(y.size, dtype=np.result_type(w)).reshape(y.size, *y.shape)
    jacobian = nn.conv2d_input((y.size, *x.shape), w, units, **settings).data.reshape(y.size, x.size).T
    return Convolution(
        x=x,
        w=w,
        gy=gy,
        y=y,
        gx=gx,
        gw=gw,
        gb=gy.sum(axis=(1, 2)),
        window=window,
        im2col=kernels.im2col.im2col(last, window)[0],
        W=taps.reshape(len(x) * window.taps, len(w)),
        padpad=padded[0, 0].transpose(2, 0, 1),
        rotated=kernels.padpad.rot180_transposed(taps)[0].transpose(3, 2, 0, 1),
        padpad_rotated=turned[0, 0].transpose(2, 0, 1),
        x_rotated=x[:, ::-1, ::-1].copy(),
        phi=phi,
        C=kernels.kronecker.kernel_matrix(taps),
        M=routing,
        kronecker=np.kron(np.eye(len(w), dtype=phi.dtype), phi),
        jacobian=jacobian,
        table=_symbols(x.shape, w.shape, y.shape, window),
    )


def _symbols(
    x_shape: tuple[int, ...], w_shape: tuple[int, ...], y_shape: tuple[int, ...], window: Window
) -> list[list[str]]:
    """The table of source 004: which element of the kernel stands between each input and each output."""
    several = w_shape[0] * w_shape[1] > 1
    columns = list(np.ndindex(y_shape))
    rows = {at: ["0"] * len(columns) for at in np.ndindex(x_shape)}
    for column, (o, i, j) in enumerate(columns):
        for c, u, v in np.ndindex(w_shape[1:]):
            h = i * window.stride[1] + u * window.dilation[1] - window.before[1]
            k = j * window.stride[2] + v * window.dilation[2] - window.before[2]
            if (c, h, k) in rows:
                name = f"k{{{o + 1}}}[{c + 1}]" if several else "k"  # channels as in source 003
                rows[c, h, k][column] = f"{name}{u + 1},{v + 1}"
    return list(rows.values())
