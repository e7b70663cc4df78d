"""The first gradient of a small network in a fresh process: ``python -m benchmarks.first_gradient``.

Prints, as JSON: the seconds of ``import autograd_conv``; the seconds from then until the gradients are there - Numba is
imported and kernels are compiled meanwhile, or loaded from the cache -; which kernels were compiled, and the seconds of
each; and the sums of the squares of the gradients.
"""

# ruff: noqa: E402
import time

START = time.perf_counter()

import json

import numpy as np

import autograd_conv as ac
from autograd_conv import nn

IMPORTED = time.perf_counter()

IMAGES, CLASSES = 8, 10


def network(images: np.ndarray, kernel: ac.Tensor, weight: ac.Tensor) -> ac.Tensor:
    """Return the scores of `images` (N, 1, 8, 8), shape (N, `CLASSES`), of a convolution and a linear layer."""
    hidden = nn.max_pool2d(nn.relu(nn.conv2d(images, kernel, padding=1)), 2)
    return nn.linear(nn.flatten(hidden, 1), weight)


def main() -> None:
    """Compute the gradients once, and print what there is to print."""
    rng = np.random.default_rng(0)
    images = rng.standard_normal((IMAGES, 1, 8, 8), dtype=np.float32)
    kernel = ac.tensor(rng.standard_normal((8, 1, 3, 3), dtype=np.float32), requires_grad=True)
    weight = ac.tensor(rng.standard_normal((CLASSES, 8 * 4 * 4), dtype=np.float32), requires_grad=True)
    loss = nn.cross_entropy(network(images, kernel, weight), np.arange(IMAGES) % CLASSES)
    gradients = ac.grad(loss, [kernel, weight])
    end = time.perf_counter()
    from autograd_conv.kernels import jit

    result = {
        "import_seconds": IMPORTED - START,
        "seconds": end - IMPORTED,
        "kernels": jit.compilations(),
        "squares": [float(np.square(gradient.numpy()).sum()) for gradient in gradients],
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
