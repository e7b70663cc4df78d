"""Ordinary programs: loops, branches, preallocated arrays, dictionaries, recursion, classes. They differentiate.

Every program runs twice, on Tensors and on float64 arrays; the gradient is compared with central differences of the
second, which knows nothing of the package.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import pytest

import autograd_conv as ac

PROGRAMS = {}


def program(*shapes, second=True):
    """Register a function of `xp` (the namespace) and arrays of these shapes; `second`: has a second derivative."""

    def register(function):
        PROGRAMS[function.__name__] = (function, shapes, second)
        return function

    return register


# --- assignment into preallocated arrays -------------------------------------------------------------------


@program((5,))
def recurrence(xp, x):
    out = xp.zeros(8)
    out[0], out[1] = x[0], x[1]
    for i in range(2, 8):
        out[i] = out[i - 1] * x[i % 5] + xp.sin(out[i - 2])
    return out


@program((4, 4))
def matrix_from_entries(xp, x):
    n = len(x)
    gram = xp.empty((n, n))
    for i in range(n):
        for j in range(i + 1):
            gram[i, j] = gram[j, i] = xp.exp(-xp.sum((x[i] - x[j]) ** 2))
    return gram


@program((6,), (3,))
def overwritten(xp, x, y):
    out = xp.ones(6) * x
    out[1:4] = y * out[:3]  # reads what it writes
    out[::2] *= x[1::2]
    out[-1] += xp.sum(out[:3])
    out[[0, 2]] = out[[2, 0]]
    return out


@program((5,))
def heat_in_place(xp, x):
    u = xp.zeros(7)
    u[1:-1] = x
    for _ in range(6):
        u[1:-1] += 0.2 * (u[2:] - 2 * u[1:-1] + u[:-2])
    return u


@program((3, 3))
def elimination(xp, a):
    """Gaussian elimination with pivots, in place; the product of the pivots."""
    a = a + 0.0
    sign = 1.0
    for k in range(3):
        pivot = k + int(xp.argmax(abs(a[k:, k])))
        if pivot != k:
            a[[k, pivot]] = a[[pivot, k]]
            sign = -sign
        for i in range(k + 1, 3):
            a[i, k:] -= a[i, k] / a[k, k] * a[k, k:]
    return sign * a[0, 0] * a[1, 1] * a[2, 2]


@program((5,))
def masked(xp, x):
    out = xp.zeros(5)
    big = x > 0
    out[big] = x[big] ** 2
    out[~big] = xp.exp(x[~big])
    return out


@program((2, 3))
def accumulated_at_an_index(xp, x):
    total = xp.zeros(4)
    for row, k in zip(x, (1, 1)):
        for value in row:
            total[k] += value**3
            k = (k + 2) % 4
    return total


@program((4,), (4,))
def columns_filled_by_functions(xp, x, y):
    table = xp.zeros((4, 3))
    for k, function in enumerate((xp.sin, xp.cos, xp.tanh)):
        table[:, k] = function(x) * y
    table[0] = table[1] + table[2]
    return table.T @ table


# --- branches and loops ----------------------------------------------------------------------------------------


@program((4,))
def branches(xp, x):
    total = 0.0
    for value in x:
        if value > 0.5:
            total = total + value**2
        elif value > -0.5:
            total = total * value
        else:
            total = total - xp.exp(value)
    return total


@program((3,))
def loop_until_converged(xp, x):
    """Newton's method; how many steps it takes depends on the values."""
    a = x**2 + 1.0
    root = a
    for _ in range(50):
        following = 0.5 * (root + a / root)
        if xp.max(abs(following - root)) < 1e-13:
            break
        root = following
    return following


@program((3,), ())
def early_exit(xp, x, rate):
    state = x
    while True:
        state = state * xp.exp(rate) + 0.1
        if xp.sum(state**2) > 50.0:
            break
        if xp.sum(state**2) < 1e-3:
            return state
    else:
        raise AssertionError
    return xp.sqrt(state**2 + 1.0)


@program((6,))
def generator_and_comprehension(xp, x):
    def partial_sums():
        total = 0.0
        for value in x:
            total = total + value
            yield total

    return sum([xp.sin(s) * k for k, s in enumerate(partial_sums())])


@program((4,))
def exceptions(xp, x):
    def careful(value):
        if value < 0:
            raise ValueError("negative")
        return xp.sqrt(value + 1.0)

    total = 0.0
    for value in x:
        try:
            total = total + careful(value) ** 3
        except ValueError:
            total = total + value**2
    return total


# --- structures ----------------------------------------------------------------------------------------------------


@program((3,), (3,))
def dictionaries(xp, x, y):
    state = {"position": x, "velocity": y, "log": []}
    for _ in range(4):
        force = {name: -state["position"] * k for name, k in (("spring", 1.0), ("wind", 0.1))}
        state["velocity"] = state["velocity"] + 0.1 * sum(force.values())
        state = {**state, "position": state["position"] + 0.1 * state["velocity"]}
        state["log"].append(xp.sum(state["position"] * state["velocity"]))
    return xp.stack(state["log"]) * len(state)


@program((5,))
def stack_machine(xp, x):
    stack = []
    for word in ["a", "b", "*", "c", "sin", "+", "d", "e", "/", "-"]:
        if word in "abcde":
            stack.append(x["abcde".index(word)])
        elif word == "sin":
            stack.append(xp.sin(stack.pop()))
        else:
            right, left = stack.pop(), stack.pop()
            stack.append({"*": left * right, "+": left + right, "-": left - right, "/": left / (right**2 + 1)}[word])
    return stack.pop()


@dataclasses.dataclass
class Ball:
    height: object
    speed: object

    def bounce(self, damping):
        if self.height < 0:
            return Ball(-self.height * damping, -self.speed * damping)
        return self


@program((2,), ())
def objects(xp, start, damping):
    ball = Ball(start[0] ** 2 + 1.0, start[1])
    damping = xp.tanh(damping)
    for _ in range(30):
        ball = Ball(ball.height + 0.1 * ball.speed, ball.speed - 0.3).bounce(damping)
    return ball.height * ball.speed


# --- recursion and functions of functions ----------------------------------------------------------------------


@program((8,))
def divide_and_conquer(xp, x):
    """The fast Fourier transform of a real signal, by real and imaginary parts; its power."""

    def transform(real, imaginary):
        n = len(real)
        if n == 1:
            return real, imaginary
        (er, ei), (our, oi) = transform(real[::2], imaginary[::2]), transform(real[1::2], imaginary[1::2])
        angle = -2 * np.pi * np.arange(n // 2) / n
        tr, ti = np.cos(angle) * our - np.sin(angle) * oi, np.cos(angle) * oi + np.sin(angle) * our
        return xp.concatenate([er + tr, er - tr]), xp.concatenate([ei + ti, ei - ti])

    real, imaginary = transform(x, 0.0 * x)
    return real**2 + imaginary**2


@program((4,))
def tree(xp, x):
    def value(node):
        if isinstance(node, int):
            return x[node]
        kind, *children = node
        return {"sum": sum, "product": functools.partial(functools.reduce, lambda a, b: a * b)}[kind](
            [value(child) for child in children]
        )

    return value(("sum", 0, ("product", 1, 2, ("sum", 3, 0)), ("product", 3, 3)))


@program((3,))
def mutual_recursion(xp, x):
    def even(n, v):
        return v if n == 0 else xp.sin(odd(n - 1, v * x))

    def odd(n, v):
        return v + 1.0 if n == 0 else xp.exp(-(even(n - 1, v + x) ** 2))

    return even(7, x)


@program((5,), second=False)
def recursion_remembered(xp, x):
    """The longest weighted common subsequence: a table by memoised recursion, with a branch by value."""
    words = "abcab", "bacba"

    @functools.cache
    def best(i, j):
        if i == 5 or j == 5:
            return 0.0
        skip = xp.maximum(best(i + 1, j), best(i, j + 1))
        return xp.maximum(skip, abs(x[i]) + best(i + 1, j + 1)) if words[0][i] == words[1][j] else skip

    return best(0, 0)


@program((), ())
def composed_functions(xp, a, b):
    def derivative_like(f, h):
        return lambda v: (f(v + h) - f(v - h)) / (2 * h)

    f = derivative_like(derivative_like(lambda v: xp.sin(a * v) * b, 0.5), 0.25)
    return f(b) * f(a)


# --- the tests ---------------------------------------------------------------------------------------------------


def _values(name):
    _, shapes, _ = PROGRAMS[name]
    rng = np.random.default_rng(len(name))
    return [rng.normal(size=shape) for shape in shapes], rng


def _slope(function, values, ways, step):
    ahead = function(*[value + step * way for value, way in zip(values, ways)])
    behind = function(*[value - step * way for value, way in zip(values, ways)])
    return (ahead - behind) / (2 * step)


@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name):
    function, _, _ = PROGRAMS[name]
    values, rng = _values(name)
    tensors = [ac.tensor(value, requires_grad=True) for value in values]
    result = function(ac, *tensors)
    expected = np.asarray(function(np, *values))
    np.testing.assert_allclose(result.numpy(), expected, rtol=1e-12, atol=1e-12)
    seed = rng.normal(size=expected.shape)
    result.backward(seed)
    for tensor, value in zip(tensors, values):
        np.testing.assert_array_equal(tensor.numpy(), value)  # no program changes its arguments
    ways = [rng.normal(size=value.shape) for value in values]
    slope = np.sum(seed * _slope(functools.partial(function, np), values, ways, 1e-6))
    ours = sum([np.sum(tensor.grad * way) for tensor, way in zip(tensors, ways)])
    np.testing.assert_allclose(ours, slope, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", [name for name, (_, _, second) in PROGRAMS.items() if second])
def test_second_derivative(name):
    function, _, _ = PROGRAMS[name]
    values, rng = _values(name)
    seed = rng.normal(size=np.shape(function(np, *values)))
    ways = [rng.normal(size=value.shape) for value in values]
    everything = tuple(range(len(values)))

    def along(*points):
        gradients = ac.grad(lambda *args: ac.sum(function(ac, *args) * seed), argnums=everything)(*points)
        return sum([np.sum(gradient * way) for gradient, way in zip(gradients, ways)])

    gradients = ac.grad(along, argnums=everything)(*values)
    others = [rng.normal(size=value.shape) for value in values]
    ours = sum([np.sum(gradient * way) for gradient, way in zip(gradients, others)])
    np.testing.assert_allclose(ours, _slope(along, values, others, 1e-5), rtol=1e-5, atol=1e-6)


def test_history_survives_in_the_array_that_was_filled():
    """The array is filled first and read later; earlier contents have no say any more."""
    x = ac.tensor([1.0, 2.0, 3.0], requires_grad=True)
    out = ac.zeros(3)
    for i in range(3):
        out[i] = x[i] * 100.0
    for i in range(3):
        out[i] = x[i] ** 2
    out.backward([1.0, 10.0, 100.0])
    np.testing.assert_array_equal(x.grad, [2.0, 40.0, 600.0])


def test_an_ndarray_that_is_filled_says_what_to_do():
    x = ac.tensor([1.0, 2.0], requires_grad=True)
    out = np.zeros(2)
    with pytest.raises(ac.AutodiffError, match="assign into a Tensor"):
        out[:] = x


@pytest.mark.parametrize("function", [np.argmax, lambda x: np.sum(x) > 2, lambda x: np.allclose(x, x)])
def test_values_without_a_derivative_say_so(function):
    with pytest.raises(TypeError, match="has no derivative; booleans and integers are constants"):
        ac.grad(function)(np.array([1.0, 2.0]))
    with pytest.raises(TypeError, match="hvp"):
        ac.hvp(function)(np.array([1.0, 2.0]), np.ones(2))


def test_a_constant_is_no_mistake():
    np.testing.assert_array_equal(ac.grad(lambda x: sum([value for value in x if value > 5]))(np.ones(2)), [0.0, 0.0])


def test_derivative_of_a_dictionary_of_lists():
    parameters = {"weights": [np.ones((2, 3)), np.full((3, 2), 0.5)], "bias": np.zeros(3)}
    x = np.arange(4.0).reshape(2, 2)

    def loss(p):
        hidden = np.tanh(x @ p["weights"][0] + p["bias"])
        return np.sum((hidden @ p["weights"][1] - x) ** 2)

    gradient = ac.grad(loss)(parameters)
    assert set(gradient) == {"weights", "bias"}
    step = 1e-6
    ahead = {**parameters, "bias": parameters["bias"] + step * np.eye(3)[1]}
    behind = {**parameters, "bias": parameters["bias"] - step * np.eye(3)[1]}
    np.testing.assert_allclose(gradient["bias"][1], (loss(ahead) - loss(behind)) / (2 * step), rtol=1e-7)
