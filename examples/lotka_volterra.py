"""Foxes and rabbits: an ordinary differential equation, integrated step by step and fitted to noisy counts.

Each step is taken by SciPy's own implementation of the Dormand-Prince method (`rk_step` of the solver RK45), which
knows nothing of Tensors: it fills a preallocated array of stages, one assignment after the other. Here that array is a
Tensor. `scipy.optimize.least_squares` gets the exact Jacobian of the whole trajectory.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from program import BLUE, ORANGE, figure, options, save
from scipy.integrate import RK45
from scipy.integrate._ivp.rk import rk_step
from scipy.optimize import least_squares

import autograd_conv as ac

TRUTH = np.array([1.1, 0.4, 0.4, 0.1])
START = np.array([10.0, 5.0])


def trajectory(parameters: Any, times: np.ndarray, steps: int) -> Any:
    """Populations at each of `times`, shape (T, 2), with a number of steps between neighbours."""
    births, eaten, deaths, fed = parameters

    def slope(t: float, y: Any) -> Any:
        rabbits, foxes = y
        return np.stack([births * rabbits - eaten * rabbits * foxes, fed * rabbits * foxes - deaths * foxes])

    path = ac.empty((len(times), 2))
    stages = ac.empty((RK45.n_stages + 1, 2))
    y = ac.tensor(START)
    path[0] = y
    f = slope(times[0], y)
    for i in range(1, len(times)):
        h = (times[i] - times[i - 1]) / steps
        for j in range(steps):
            y, f = rk_step(slope, times[i - 1] + j * h, y, f, h, RK45.A, RK45.B, RK45.C, stages)
        path[i] = y
    return path


def main(argv: Sequence[str] | None = None) -> dict[str, float]:
    args = options("lotka_volterra", "Fit an ordinary differential equation to data.", argv)
    times = np.linspace(0.0, 4.0 if args.small else 14.0, 9 if args.small else 29)
    steps = 2
    rng = np.random.default_rng(0)
    clean = trajectory(TRUTH, times, steps).numpy()
    counts = clean * rng.lognormal(sigma=0.08, size=clean.shape)

    def residuals(parameters: Any) -> Any:
        return (np.log(trajectory(parameters, times, steps)) - np.log(counts)).ravel()

    guess = TRUTH * [0.8, 1.3, 1.25, 0.75]

    def columns(parameters: np.ndarray) -> np.ndarray:
        """The Jacobian, shape (residuals, parameters): few columns, so forward derivatives are the cheaper ones."""
        return np.stack([ac.jvp(residuals, [parameters], [way])[1] for way in np.eye(len(parameters))], axis=1)

    fit = least_squares(lambda p: residuals(p).numpy(), guess, jac=columns)
    print(f"truth {TRUTH}, guess {guess.round(3)}, fit {fit.x.round(3)} after {fit.njev} Jacobians")

    drawing, axes = figure(2)
    fine = np.linspace(times[0], times[-1], 60 if args.small else 300)
    for axis, title, parameters in ((axes[0], "guess", guess), (axes[1], "fit", fit.x)):
        for k, (name, colour) in enumerate((("rabbits", BLUE), ("foxes", ORANGE))):
            axis.plot(fine, trajectory(parameters, fine, 1).numpy()[:, k], color=colour)
            axis.plot(times, counts[:, k], ".", color=colour, label=name)
        axis.set_title(title)
        axis.set_xlabel("time")
    axes[1].legend()
    save(drawing, args.picture)
    return {
        "error": float(abs(fit.x / TRUTH - 1).max()),
        "optimality": float(fit.optimality),
        "cost": float(fit.cost),
        "jacobian": float(abs(columns(guess) - ac.jacobian(residuals)(guess)).max()) if args.small else 0.0,
    }


if __name__ == "__main__":
    main(sys.argv[1:])
