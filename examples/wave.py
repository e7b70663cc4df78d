"""A drum that draws: the push that lets waves run together into a picture at a given moment.

The two-dimensional wave equation by the leapfrog scheme, in the way it is written for NumPy's arrays: slices, and
assignments in place. A disk in which waves run slower bends them. The gradient of the distance from the picture with
respect to the first displacement goes back through all time steps.

R. Courant, K. Friedrichs and H. Lewy, 1928, for the scheme and its condition (time step below 1/sqrt(2) cells here).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from program import figure, options, save
from scipy.optimize import minimize

import autograd_conv as ac


def simulate(start: Any, speed: np.ndarray, steps: int, keep: Sequence[int] = ()) -> Any:
    """Displacement after `steps` steps of a membrane that was let go at rest; the border is held.

    Parameters
    ----------
    start : array, shape (H, W)
        First displacement.
    speed : array, shape (H, W)
        Squared speed times the time step, in cells.
    keep : sequence of int
        Steps whose displacements are wanted too.
    """
    frames = []
    before, now = start, start
    for k in range(steps + 1):
        if k in keep:
            frames.append(now)
        pull = -4 * now
        pull[1:, :] += now[:-1, :]
        pull[:-1, :] += now[1:, :]
        pull[:, 1:] += now[:, :-1]
        pull[:, :-1] += now[:, 1:]
        before, now = now, 2 * now - before + speed * pull
    return (before, frames) if keep else before


def target(n: int) -> np.ndarray:
    """A ring with a dot, shape (n, n)."""
    y, x = np.mgrid[-1 : 1 : n * 1j, -1 : 1 : n * 1j]
    r = np.hypot(x, y)
    return np.exp(-(((r - 0.5) / 0.08) ** 2)) + np.exp(-((r / 0.12) ** 2))


def main(argv: Sequence[str] | None = None) -> dict[str, float]:
    args = options("wave", "Find the displacement of a membrane from which a picture forms.", argv)
    n, steps, iterations = (20, 16, 25) if args.small else (56, 70, 100)
    y, x = np.mgrid[-1 : 1 : n * 1j, -1 : 1 : n * 1j]
    speed = np.where(np.hypot(x - 0.4, y + 0.3) < 0.35, 0.12, 0.45)
    goal = target(n)

    def loss(push: Any) -> Any:
        end = simulate(push.reshape(n, n), speed, steps)
        return np.sum((end - goal) ** 2) + 1e-4 * np.sum(push**2)

    fit = minimize(
        ac.value_and_grad(loss), np.zeros(n * n), jac=True, method="L-BFGS-B",
        options={"maxiter": iterations, "maxfun": 2 * iterations},
    )  # fmt: skip
    push = fit.x.reshape(n, n)
    moments = [0, steps // 3, 2 * steps // 3, steps]
    end, frames = simulate(push, speed, steps, moments)
    missed = float(np.sum((end - goal) ** 2) / np.sum(goal**2))
    print(f"{missed:.1%} of the picture is missing after {fit.nit} iterations, {fit.nfev} simulations")

    # A direction at random, by central differences: the objective is quadratic, so they are exact but for rounding.
    way = np.random.default_rng(0).normal(size=n * n)
    slope = (loss(fit.x + way) - loss(fit.x - way)) / 2
    expected = ac.grad(loss)(fit.x) @ way

    drawing, axes = figure(5, width=10, height=2.3)
    for axis, moment, frame in zip(axes, moments, frames):
        scale = abs(frame).max()
        axis.imshow(frame, cmap="RdBu_r", vmin=-scale, vmax=scale)
        axis.contour(speed, [0.3], colors="k", linewidths=0.5)
        axis.set_title(f"step {moment}")
    axes[4].imshow(goal, cmap="RdBu_r", vmin=-1, vmax=1)
    axes[4].set_title("wanted")
    for axis in axes:
        axis.set_axis_off()
    save(drawing, args.picture)
    return {"missed": missed, "slope": float(abs(slope - expected) / (1 + abs(slope)))}


if __name__ == "__main__":
    main(sys.argv[1:])
