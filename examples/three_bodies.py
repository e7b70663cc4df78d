"""Three bodies on one orbit: the first velocities for which they chase each other along a figure of eight.

Newton's law and the velocity Verlet scheme, as one writes them for NumPy's arrays. What is minimised is the distance
between the bodies after a third of a period and where their predecessors stood in the beginning.

A. Chenciner and R. Montgomery, "A remarkable periodic solution of the three-body problem in the case of equal masses",
Annals of Mathematics 152, 2000. The constants to compare with are those of C. Simo, given there.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from program import BLUE, GRAY, ORANGE, figure, options, save
from scipy.optimize import minimize

import autograd_conv as ac

START = np.array([[0.97000436, -0.24308753], [-0.97000436, 0.24308753], [0.0, 0.0]])
VELOCITY, PERIOD = np.array([-0.93240737, -0.86473146]), 6.32591398  # of the third body
NEXT = [2, 0, 1]  # where each body is after a third of the period: in the place of this one


def acceleration(x: Any) -> Any:
    """Of bodies of mass 1 at `x`, shape (3, 2)."""
    distance = x[None, :, :] - x[:, None, :]
    squares = np.sum(distance**2, axis=-1) + np.eye(len(x))  # a body does not pull at itself: 0 / 1
    return np.sum(distance / squares[..., None] ** 1.5, axis=1)


def orbit(parameters: Any, share: float, steps: int) -> tuple[list[Any], Any]:
    """Positions at every step of a share of the period, and the last velocities."""
    v3, period = parameters[:2], parameters[2]
    h = period * share / steps
    x, v = START, np.stack([-v3 / 2, -v3 / 2, v3])
    path, a = [x], acceleration(x)
    for _ in range(steps):
        half = v + 0.5 * h * a
        x = x + h * half
        a = acceleration(x)
        v = half + 0.5 * h * a
        path.append(x)
    return path, v


def main(argv: Sequence[str] | None = None) -> dict[str, float]:
    args = options("three_bodies", "Find a periodic orbit of three bodies.", argv)
    steps = 60 if args.small else 300

    def miss(parameters: Any) -> Any:
        path, velocity = orbit(parameters, 1 / 3, steps)
        start = np.stack([-parameters[:2] / 2, -parameters[:2] / 2, parameters[:2]])
        return np.sum((path[-1] - START[NEXT]) ** 2) + np.sum((velocity - start[NEXT]) ** 2)

    truth = np.append(VELOCITY, PERIOD)
    guess = np.array([-0.8, -1.0, 6.0])
    fit = minimize(ac.value_and_grad(miss), guess, jac=True, method="BFGS", options={"gtol": 1e-9})
    print(f"velocity {fit.x[:2].round(5)} (known {VELOCITY}), period {fit.x[2]:.5f} (known {PERIOD})")
    print(f"miss {miss(guess):.3f} -> {fit.fun:.1e} in {fit.nfev} orbits of {steps} steps")

    drawing, axes = figure(2)
    for axis, title, parameters in ((axes[0], "first guess", guess), (axes[1], "found", fit.x)):
        path = np.array(orbit(parameters, 1.0, 3 * steps)[0])
        for body, colour in enumerate((BLUE, ORANGE, GRAY)):
            axis.plot(*path[:, body].T, color=colour, linewidth=1 + 2 * (2 - body))
            axis.plot(*path[0, body], "o", color=colour)
        axis.set_aspect("equal")
        axis.set_title(title)
    save(drawing, args.picture)
    return {"off": float(abs(fit.x - truth).max()), "miss": float(fit.fun), "guess": float(miss(guess))}


if __name__ == "__main__":
    main(sys.argv[1:])
