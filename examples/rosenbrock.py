"""SciPy's optimisers on SciPy's own test function, differentiated as it is.

`scipy.optimize.rosen` is written for arrays of any library that follows the Python Array API standard. Handed
Tensors, it differentiates: the gradient and the products with the Hessian that `scipy.optimize.minimize` asks for come
from it alone. SciPy has both in closed form (`rosen_der`, `rosen_hess`), so that the results can be compared.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

os.environ["SCIPY_ARRAY_API"] = "1"  # read when SciPy is imported

import numpy as np
from program import BLUE, GRAY, ORANGE, figure, options, save
from scipy.optimize import minimize, rosen, rosen_der, rosen_hess

import autograd_conv as ac

value_and_gradient = ac.value_and_grad(rosen)
gradient, hessian, hessian_times_vector = ac.grad(rosen), ac.hessian(rosen), ac.hvp(rosen)


def main(argv: Sequence[str] | None = None) -> dict[str, float]:
    args = options("rosenbrock", "Minimise SciPy's Rosenbrock function with its derivatives.", argv)
    start = np.linspace(-1.2, 1.0, 4 if args.small else 20)
    results = {
        "gradient": float(abs(gradient(start) - rosen_der(start)).max() / abs(rosen_der(start)).max()),
        "hessian": float(abs(hessian(start) - rosen_hess(start)).max() / abs(rosen_hess(start)).max()),
    }
    print(f"relative difference from rosen_der {results['gradient']:.0e}, from rosen_hess {results['hessian']:.0e}")

    plane = np.array([-1.2, 1.0])
    paths, falls = {}, {}
    for method, more in {"BFGS": {}, "Newton-CG": {"hessp": hessian_times_vector}}.items():
        steps, values = [plane], [float(rosen(start))]
        minimize(value_and_gradient, plane, jac=True, method=method, callback=steps.append, **more)
        found = minimize(
            value_and_gradient,
            start,
            jac=True,
            method=method,
            callback=lambda x, values=values: values.append(float(rosen(x))),
            **more,
        )
        paths[method], falls[method] = np.array(steps), values
        results[method] = float(abs(found.x - 1).max())
        print(f"{method}: {found.nit} iterations, {found.nfev} evaluations, off by {results[method]:.0e}")

    drawing, (left, right) = figure(2)
    x, y = np.meshgrid(np.linspace(-1.6, 1.4, 200), np.linspace(-0.6, 1.6, 200))
    left.contour(x, y, np.log10(rosen(np.stack([x, y])) + 1e-3), 14, colors=GRAY, linewidths=0.5)
    for (method, path), colour in zip(paths.items(), (BLUE, ORANGE)):
        left.plot(*path.T, ".-", color=colour, linewidth=1, label=method)
        right.semilogy(np.maximum(falls[method], 1e-22), color=colour, label=method)
    left.plot(1, 1, "k*", markersize=10)
    left.set_title("two variables: the way to (1, 1)")
    right.set_title(f"{len(start)} variables: value by iteration")
    right.legend()
    save(drawing, args.picture)
    return results


if __name__ == "__main__":
    main(sys.argv[1:])
