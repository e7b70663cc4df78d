"""Which training points harm a model? scikit-learn's estimators, differentiated through ``fit``.

A pipeline of scikit-learn (polynomial features and ridge regression, by singular values) is fitted to Tensors: its
array API support lets them through, unchanged. So the validation error has a gradient with respect to each training
target, and the points whose correction would help most stand out: among them those that were tampered with.

P. W. Koh and P. Liang, "Understanding black-box predictions via influence functions", 2017.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

os.environ["SCIPY_ARRAY_API"] = "1"  # scikit-learn asks for it where it takes arrays of other libraries

import numpy as np
import sklearn
from program import BLUE, GRAY, ORANGE, figure, options, save
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures

import autograd_conv as ac


def truth(x: np.ndarray) -> np.ndarray:
    return np.sin(3 * x) + 0.5 * x


def main(argv: Sequence[str] | None = None) -> dict[str, float]:
    args = options("influence", "Find harmful training points by differentiating scikit-learn.", argv)
    rng = np.random.default_rng(0)
    n, bad = (25, 3) if args.small else (80, 8)
    x = np.sort(rng.uniform(-1.5, 1.5, n))
    y = truth(x) + rng.normal(scale=0.15, size=n)
    tampered = rng.choice(n, bad, replace=False)
    y[tampered] += rng.choice([-1, 1], bad) * 1.8
    x_valid = rng.uniform(-1.5, 1.5, n)
    y_valid = truth(x_valid) + rng.normal(scale=0.15, size=n)

    def predict(targets: Any, at: Any) -> Any:
        model = make_pipeline(PolynomialFeatures(7, include_bias=False), Ridge(alpha=1e-2, solver="svd"))
        return model.fit(ac.asarray(x[:, None]), targets).predict(ac.asarray(at[:, None]))

    def error(targets: Any) -> Any:
        return ac.mean((predict(ac.asarray(targets), x_valid) - y_valid) ** 2)

    with sklearn.config_context(array_api_dispatch=True):
        before, gradient = ac.value_and_grad(error)(y)
        fitted = predict(ac.asarray(y), x).numpy()
        grid = np.linspace(-1.5, 1.5, 200)
        curve = predict(ac.asarray(y), grid).numpy()
        # How much the error would fall, to first order, if the target were what the model says.
        harm = gradient * (y - fitted)
        worst = np.argsort(harm)[::-1][:bad]
        way = rng.normal(size=n)
        slope = (error(y + way).item() - error(y - way).item()) / 2  # exact: the error is quadratic in the targets
        mended = y.copy()
        mended[worst] = fitted[worst]
        after = error(mended).item()
        curve_after = predict(ac.asarray(mended), grid).numpy()
    caught = len(set(worst) & set(tampered))
    print(f"{caught} of the {bad} most harmful points are among the {bad} that were tampered with")
    print(f"validation error {before:.4f}, and {after:.4f} with these points mended")

    drawing, (left, right) = figure(2)
    size = 10 + 200 * np.maximum(harm, 0) / harm.max()
    left.scatter(x, y, size, color=GRAY, alpha=0.7, linewidths=0)
    left.scatter(x[worst], y[worst], size[worst], color=ORANGE, label="most harmful")
    left.plot(x[tampered], y[tampered], "k+", label="tampered with")
    left.plot(grid, truth(grid), "--", color=GRAY, linewidth=1, label="truth")
    left.plot(grid, curve, color=ORANGE, label="fit")
    left.plot(grid, curve_after, color=BLUE, label="fit without the harm")
    left.legend(fontsize=7)
    left.set_title("training points, by harm")
    order = np.argsort(harm)[::-1]
    right.bar(np.arange(n), harm[order], color=[ORANGE if k in tampered else GRAY for k in order])
    right.set_title("fall of the validation error if mended (orange: tampered)")
    right.title.set_fontsize(9)
    save(drawing, args.picture)
    return {
        "slope": float(abs(slope - gradient @ way)),
        "before": float(before),
        "after": after,
        "caught": caught / bad,
    }


if __name__ == "__main__":
    main(sys.argv[1:])
