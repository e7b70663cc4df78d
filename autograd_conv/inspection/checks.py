"""Checking a real run: each record of a tape against central differences of its own forward."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..memory import changed_since
from ..plans import ANSWER, ARGUMENT
from ..tape import RECALLS, Record, Tape
from ..tensor import raw

__all__ = ["Suspicion", "check_tape"]


# They read one triangle of a Hermitian matrix, and their cotangents are Hermitian: only such changes can be compared.
_OF_HERMITIAN = ("cholesky", "eigh")


# Their statistics are computed outside of the record and handed to the forward, so it alone tells nothing.
_GIVEN_STATISTICS = "batch_norm"


class Suspicion(NamedTuple):
    """A VJP that disagrees with its forward.

    Attributes
    ----------
    record : int
        Of the record on the tape.
    primitive, argument : str
    line : str
        Of the user's program.
    reason : str
    """

    record: int
    primitive: str
    argument: str
    line: str
    reason: str

    def __str__(self) -> str:
        return f"#{self.record} {self.primitive}, argument {self.argument!r}, from {self.line}: {self.reason}"


def _forward(record: Record, args: tuple[Any, ...]) -> Any:
    primitive: Any = record.primitive
    result = primitive.forward(*args, **record.settings)
    return result[0] if primitive.residuals else result


def _directional(
    record: Record, args: tuple[Any, ...], k: int, seeds: list[Any], direction: np.ndarray
) -> tuple[float, float]:
    """<seeds, f(x + direction) - f(x - direction)> / 2 for argument k, and how large its rounding errors may be."""
    values, noise = [], 0.0
    for sign in (1, -1):
        outputs = _forward(record, (*args[:k], args[k] + sign * direction, *args[k + 1 :]))
        parts = outputs if isinstance(outputs, (tuple, list)) else (outputs,)
        total = 0.0
        for seed, part in zip(seeds, parts):
            if seed is not None:
                terms = (np.conj(seed) * np.asarray(part)).real
                total += float(np.sum(terms))
                noise += float(np.sum(np.abs(terms)))
        values.append(total)
    return (values[0] - values[1]) / 2, 8 * float(np.finfo(np.float64).eps) * noise


def _wide(dtype: np.dtype[Any]) -> Any:
    return np.complex128 if dtype.kind == "c" else np.float64


def _in_double(value: Any) -> Any:
    """A floating-point array in double precision, where differences are sharp; anything else as it is."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "fc":
        return value.astype(_wide(value.dtype))
    return value


def _random(rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
    values = rng.standard_normal(shape)
    return values + 1j * rng.standard_normal(shape) if dtype.kind == "c" else values


def _steps(x: np.ndarray) -> np.ndarray:
    """For each element, the step whose differences have the least error; in proportion to it, if it is not tiny."""
    size = np.abs(x)
    least = 1e-3 * float(np.max(size, initial=0.0)) or 1.0
    return np.asarray(float(np.cbrt(np.finfo(np.float64).eps)) * np.maximum(size, least))


def _check_record(
    record: Record, args: tuple[Any, ...], rng: np.random.Generator, directions: int
) -> list[tuple[int, str]]:
    """Pairs of argument number (-1: all) and reason."""
    primitive: Any = record.primitive
    shapes = record.shape if primitive.multiple else (record.shape,)
    dtypes = record.dtype if primitive.multiple else (record.dtype,)
    seeds: list[Any] = [
        _random(rng, shape, dtype).astype(dtype) if dtype.kind in "fc" else None for shape, dtype in zip(shapes, dtypes)
    ]
    try:
        pairs = primitive.pull_back(record, tuple(seeds) if primitive.multiple else seeds[0], None, False)
    except Exception as error:
        return [(-1, f"the VJP failed: {type(error).__name__}: {error}")]
    wide = [_in_double(seed) for seed in seeds]
    double = tuple([_in_double(arg) for arg in args])
    found = []
    places = [k for k, node in enumerate(record.parents) if node is not None]
    for k, (_, cotangent) in zip(places, pairs):
        x = np.asarray(double[k])
        single = np.finfo(np.asarray(args[k]).dtype).eps > 1e-10
        cotangent = _in_double(np.asarray(raw(cotangent)))
        for turn in range(directions):
            direction = _random(rng, x.shape, x.dtype) * _steps(x)
            if record.name in _OF_HERMITIAN:
                direction = direction + np.conj(np.swapaxes(direction, -1, -2))
            elif turn % 2 and x.size:  # one element, so that a single wrong one is not lost among many
                only = np.zeros(x.shape)
                only.flat[int(rng.integers(x.size))] = 1
                direction = direction * only
            numerical, noise = _directional(record, (*double[:k], x, *double[k + 1 :]), k, wide, direction)
            terms = (np.conj(direction) * cotangent).real
            analytical = float(np.sum(terms))
            size = max(float(np.sum(np.abs(terms))), abs(numerical))
            if not abs(numerical - analytical) <= (2e-3 if single else 1e-5) * size + noise + 1e-300:
                scale = float(np.sqrt(np.sum(np.abs(direction) ** 2)))
                found.append(
                    (k, f"the VJP gives {analytical / scale:.6g}, central differences {numerical / scale:.6g}")
                )
                break
    return found


def check_tape(tape: Tape, *, seed: int = 0, directions: int = 4) -> list[Suspicion]:
    """See `Tape.check`."""
    rng = np.random.default_rng(seed)
    suspicions = []
    for index, (record, line) in enumerate(zip(tape.records, tape.lines)):
        args = tape.arguments.get(record.number)
        if record.saved is None and record in RECALLS:
            RECALLS[record]()
        if args is None or record.saved is None or record.name.startswith(_GIVEN_STATISTICS):
            continue
        primitive: Any = record.primitive
        if any(
            kind in (ARGUMENT, ANSWER) and isinstance(value, np.ndarray) and changed_since(value, record.number)
            for (kind, _), value in zip(record.plan.saves, record.saved)
        ):
            suspicions.append(Suspicion(index, record.name, "?", line, "an array that it needs was changed in place"))
            continue
        with np.errstate(all="ignore"):
            # At a kink there is no derivative to compare with.
            found = [
                (k, why) for k, why in _check_record(record, args, rng, directions) if not _is_kink(record, args, k)
            ]
        suspicions += [
            Suspicion(index, record.name, "?" if k < 0 else primitive._argument(k), line, why) for k, why in found
        ]
    return suspicions


def _is_kink(record: Record, args: tuple[Any, ...], k: int) -> bool:
    """Whether the differences to the two sides disagree, for a step that halves as well as for the whole one."""
    if k < 0:
        return False
    double = [_in_double(arg) for arg in args]
    x = np.asarray(double[k])
    direction = _random(np.random.default_rng(1), x.shape, x.dtype) * _steps(x)

    def value(t: float) -> np.ndarray:
        outputs = _forward(record, (*double[:k], x + t * direction, *double[k + 1 :]))
        return np.asarray(outputs[0] if isinstance(outputs, (tuple, list)) else outputs)

    middle = value(0.0)
    for t in (1.0, 0.5):
        right, left = (value(t) - middle) / t, (middle - value(-t)) / t
        size = np.abs(right) + np.abs(left)
        if not np.any(
            np.abs(right - left) > 0.1 * np.maximum(size, 1e-6 * np.max(size, initial=0.0)) + 1e-13 * np.abs(middle)
        ):
            return False
    return True
