"""Gaussian-process regression, with hyperparameters that maximise the marginal likelihood.

The textbook's algorithm, written with NumPy's functions for NumPy's arrays; gradients go through the Cholesky
factorization, the solution of linear systems and the kernel. scikit-learn has the same gradient written by hand for
each of its kernels; the two are compared.

C. E. Rasmussen and C. K. I. Williams, Gaussian Processes for Machine Learning, MIT Press 2006, algorithm 2.1.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from program import BLUE, GRAY, figure, options, save
from scipy.optimize import minimize
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, ExpSineSquared, WhiteKernel

import autograd_conv as ac


def kernel(a: Any, b: Any, logs: Any) -> Any:
    """A smooth trend and a periodic part, each with a variance and a length; the period comes last."""
    trend, length, season, width, period = np.exp(logs[:5])
    distance = np.abs(a[:, None] - b[None, :])
    return trend * np.exp(-0.5 * (distance / length) ** 2) + season * np.exp(
        -2 * (np.sin(np.pi * distance / period) / width) ** 2
    )


def log_marginal_likelihood(logs: Any, x: Any, y: Any) -> Any:
    """Logarithm of the density of `y`, shape (n,), at `x`, shape (n,); the last of `logs` is the noise's."""
    covariance = kernel(x, x, logs) + np.exp(logs[5]) * np.eye(len(x))
    factor = np.linalg.cholesky(covariance)
    half = np.linalg.solve(factor, y)
    return -0.5 * half @ half - np.sum(np.log(np.diag(factor))) - 0.5 * len(x) * np.log(2 * np.pi)


def posterior(logs: Any, x: Any, y: Any, at: Any) -> tuple[Any, Any]:
    """Mean and standard deviation of the function at other places."""
    covariance = kernel(x, x, logs) + np.exp(logs[5]) * np.eye(len(x))
    across = kernel(x, at, logs)
    mean = across.T @ np.linalg.solve(covariance, y)
    variance = np.diag(kernel(at, at, logs)) - np.sum(across * np.linalg.solve(covariance, across), axis=0)
    return mean, np.sqrt(np.maximum(variance, 0))


def by_scikit_learn(logs: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
    """The same value and gradient from scikit-learn's rules."""
    theirs = ConstantKernel() * RBF() + ConstantKernel() * ExpSineSquared() + WhiteKernel()
    model = GaussianProcessRegressor(theirs, optimizer=None, alpha=0.0).fit(x[:, None], y)
    value, gradient = model.log_marginal_likelihood(logs, eval_gradient=True)
    return float(value), gradient


def main(argv: Sequence[str] | None = None) -> dict[str, float]:
    args = options("gaussian_process", "Fit the hyperparameters of a Gaussian process.", argv)
    rng = np.random.default_rng(3)
    n = 30 if args.small else 90
    x = np.sort(rng.uniform(0, 8, n))
    truth = 1.5 * np.sin(0.5 * x) + 0.8 * np.sin(2 * np.pi * x / 1.3)
    y = truth + rng.normal(scale=0.25, size=n)

    guess = np.log([1.0, 2.0, 1.0, 1.0, 1.2, 0.2])
    value, gradient = ac.value_and_grad(log_marginal_likelihood)(guess, x, y)
    their_value, their_gradient = by_scikit_learn(guess, x, y)
    results = {
        "value": abs(float(value) - their_value) / abs(their_value),
        "gradient": float(abs(gradient - their_gradient).max() / abs(their_gradient).max()),
    }
    print(f"relative difference from scikit-learn: value {results['value']:.0e}, gradient {results['gradient']:.0e}")

    loss = ac.value_and_grad(lambda logs: -log_marginal_likelihood(logs, x, y))
    fit = minimize(loss, guess, jac=True, method="L-BFGS-B", bounds=[(-7, 7)] * 6)
    print(f"log marginal likelihood {value:.1f} -> {-fit.fun:.1f} in {fit.nfev} evaluations")
    print(f"period {np.exp(fit.x[4]):.3f} (truth 1.3), noise {np.exp(fit.x[5] / 2):.3f} (truth 0.25)")
    results.update(gain=float(-fit.fun - value), period=float(np.exp(fit.x[4])), noise=float(np.exp(fit.x[5] / 2)))

    drawing, axes = figure(2)
    at = np.linspace(0, 11, 60 if args.small else 300)
    for axis, title, logs in ((axes[0], "first guess", guess), (axes[1], "maximum marginal likelihood", fit.x)):
        mean, deviation = posterior(logs, x, y, at)
        axis.fill_between(at, mean - 2 * deviation, mean + 2 * deviation, color=BLUE, alpha=0.2, linewidth=0)
        axis.plot(at, mean, color=BLUE)
        axis.plot(at, 1.5 * np.sin(0.5 * at) + 0.8 * np.sin(2 * np.pi * at / 1.3), "--", color=GRAY, linewidth=1)
        axis.plot(x, y, "k.", markersize=3)
        axis.set_ylim(-4, 4)
        axis.set_title(title)
    save(drawing, args.picture)
    return results


if __name__ == "__main__":
    main(sys.argv[1:])
