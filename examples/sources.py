"""Blind separation: three signals recovered from three mixtures of them, by `scipy.stats.kurtosis` alone.

Mixtures of independent signals are closer to the normal distribution than the signals. So the rotation of the whitened
mixtures is sought whose components are as far from normal as can be, measured by SciPy's own excess kurtosis: written
for arrays of any library that follows the Python Array API standard, it differentiates when it is handed Tensors.

P. Comon, "Independent component analysis, a new concept?", Signal Processing 36, 1994.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

os.environ["SCIPY_ARRAY_API"] = "1"  # read when SciPy is imported

import numpy as np
from program import BLUE, GRAY, ORANGE, figure, options, save
from scipy import signal, stats
from scipy.optimize import minimize

import autograd_conv as ac


def rotation(numbers: Any) -> Any:
    """A rotation of three axes from three numbers: the exponential of a skew-symmetric matrix."""
    generator = ac.zeros((3, 3))
    generator[[0, 0, 1], [1, 2, 2]] = numbers
    return ac.linalg.expm(generator - generator.T)


def main(argv: Sequence[str] | None = None) -> dict[str, float]:
    args = options("sources", "Separate mixed signals by their kurtosis.", argv)
    n = 500 if args.small else 4000
    t = np.linspace(0, 8, n)
    rng = np.random.default_rng(0)
    clean = np.stack([signal.sawtooth(9 * t), np.sign(np.sin(5 * t)), rng.laplace(size=n)])
    clean = stats.zscore(clean, axis=1)
    mixed = rng.normal(size=(3, 3)) @ clean

    values, vectors = np.linalg.eigh(np.cov(mixed))
    white = (vectors / np.sqrt(values)).T @ (mixed - mixed.mean(axis=1, keepdims=True))

    def loss(numbers: Any) -> Any:
        return -ac.sum(stats.kurtosis(rotation(numbers) @ white, axis=1) ** 2)

    fit = minimize(ac.value_and_grad(loss), np.full(3, 0.1), jac=True, method="BFGS")
    found = rotation(fit.x).numpy() @ white
    likeness = abs(np.corrcoef(clean, found)[:3, 3:])
    print(f"sum of squared kurtosis {-loss(np.full(3, 0.1)).item():.2f} -> {-fit.fun:.2f} in {fit.nfev} evaluations")
    print(f"correlation of each signal with its likeness: {likeness.max(axis=1).round(3)}")

    drawing, axes = figure(3, 3, height=4.2)
    columns = (("signals", clean, GRAY), ("mixtures", mixed, ORANGE), ("recovered", found, BLUE))
    shown = slice(0, n // 2)
    for column, (title, rows, colour) in enumerate(columns):
        axes[0, column].set_title(title)
        for axis, row in zip(axes[:, column], rows):
            axis.plot(t[shown], row[shown], color=colour, linewidth=0.8)
            axis.set_axis_off()
    save(drawing, args.picture)
    return {"likeness": float(likeness.max(axis=1).min()), "gradient": float(abs(ac.grad(loss)(fit.x)).max())}


if __name__ == "__main__":
    main(sys.argv[1:])
