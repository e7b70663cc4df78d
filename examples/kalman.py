"""Tracking with a Kalman filter, whose noise levels are found by maximum likelihood.

The filter is the textbook's, written with NumPy's functions for NumPy's arrays; nothing in `log_likelihood` knows of
Tensors. Its gradient goes to `scipy.optimize.minimize`, and the Hessian at the optimum gives the error bars.

R. E. Kalman, "A new approach to linear filtering and prediction problems", 1960; A. C. Harvey, Forecasting, Structural
Time Series Models and the Kalman Filter, 1989, section 3.4.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from program import BLUE, GRAY, ORANGE, figure, options, save
from scipy.optimize import minimize

import autograd_conv as ac

DT = 1.0
F = np.array([[1.0, DT], [0.0, 1.0]])  # position and velocity
Q = np.array([[DT**3 / 3, DT**2 / 2], [DT**2 / 2, DT]])  # white noise in the acceleration
H = np.array([[1.0, 0.0]])  # the position is what is measured


def filtered(log_variances: Any, measured: Any) -> tuple[Any, list[Any]]:
    """Log-likelihood of measurements, and mean of the position after each of them.

    Parameters
    ----------
    log_variances : array, shape (2,)
        Of the acceleration and of the measurement.
    measured : array, shape (T,)
    """
    q, r = np.exp(log_variances)
    mean, covariance = np.array([measured[0], 0.0]), 100.0 * np.eye(2)
    total, positions = 0.0, []
    for z in measured:
        mean, covariance = F @ mean, F @ covariance @ F.T + q * Q
        innovation = z - H @ mean
        s = H @ covariance @ H.T + r
        gain = np.linalg.solve(s, H @ covariance).T
        total = total - 0.5 * (innovation @ np.linalg.solve(s, innovation) + np.linalg.slogdet(2 * np.pi * s)[1])
        mean, covariance = mean + gain @ innovation, covariance - gain @ s @ gain.T
        positions.append(mean[0])
    return total, positions


def main(argv: Sequence[str] | None = None) -> dict[str, float]:
    args = options("kalman", "Find the noise levels of a Kalman filter by maximum likelihood.", argv)
    rng = np.random.default_rng(1)
    steps = 40 if args.small else 150
    truth = np.log([0.02, 4.0])
    states, shaken = np.zeros((steps, 2)), np.exp(truth[0] / 2) * rng.normal(size=(steps, 2)) @ np.linalg.cholesky(Q).T
    for k in range(1, steps):
        states[k] = F @ states[k - 1] + shaken[k]
    position = states[:, 0]
    measured = position + rng.normal(scale=np.exp(truth[1] / 2), size=steps)

    def loss(log_variances: Any) -> Any:
        return -filtered(log_variances, measured)[0]

    guess = np.array([0.0, 0.0])
    fit = minimize(ac.value_and_grad(loss), guess, jac=True, method="BFGS")
    deviations = np.sqrt(np.diag(np.linalg.inv(ac.hessian(loss)(fit.x))))
    for name, true, found, deviation in zip(("acceleration", "measurement"), truth, fit.x, deviations):
        print(f"log variance of the {name}: {found:.2f} +- {deviation:.2f} (truth {true:.2f})")

    before = np.array(filtered(guess, measured)[1])
    after = np.array(filtered(fit.x, measured)[1])
    drawing, (left, right) = figure(2)
    left.plot(measured - position, ".", color=GRAY, label="measured")
    left.plot(before - position, color=ORANGE, label="filtered, first guess")
    left.plot(after - position, color=BLUE, label="filtered, maximum likelihood")
    left.axhline(0, color="k", linewidth=0.5)
    left.set_title("distance from the true position")
    left.legend(fontsize=8)
    grid = np.linspace(-1, 1, 9 if args.small else 25)
    surface = [[-loss(fit.x + np.array([4 * a, 1.5 * b])) for a in grid] for b in grid]
    right.contourf(fit.x[0] + 4 * grid, fit.x[1] + 1.5 * grid, np.maximum(surface, -fit.fun - 40), 16, cmap="Blues")
    right.errorbar(*fit.x, deviations[1], deviations[0], fmt="o", color=BLUE, label="found")
    right.plot(*truth, "k*", label="truth")
    right.set_xlabel("log variance of the acceleration")
    right.set_ylabel("of the measurement")
    right.set_title("log-likelihood")
    right.legend(fontsize=8)
    save(drawing, args.picture)
    return {
        "gradient": float(abs(ac.grad(loss)(fit.x)).max()),
        "before": float(np.sqrt(np.mean((before - position) ** 2))),
        "after": float(np.sqrt(np.mean((after - position) ** 2))),
        "off": float((abs(fit.x - truth) / deviations).max()),
    }


if __name__ == "__main__":
    main(sys.argv[1:])
