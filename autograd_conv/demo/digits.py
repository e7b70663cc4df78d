"""Handwritten digits: a small convolutional network learns to read them.

Read from top to bottom: the data, the network, the training, and what `python -m autograd_conv digits` does
with them. The images are the 1797 handwritten digits of 8 by 8 pixels that come with scikit-learn.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import math
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TextIO

import numpy as np

import autograd_conv as ac
from autograd_conv import Tensor, nn, optim

from . import report
from .progress import Progress, StopRequest, duration

__all__ = [
    "Data",
    "DemoError",
    "History",
    "Settings",
    "augment",
    "evaluate",
    "feature_maps",
    "initial_parameters",
    "load_data",
    "network",
    "require_extras",
    "run",
    "train",
    "writing_to",
]

Parameters = dict[str, Tensor]

# --- settings ---------------------------------------------------------------------------------------------


class DemoError(Exception):
    """Something is in the way; the message is one line that says what to do.

    Parameters
    ----------
    message : str
    exit_code : int
        2 if nothing has been done, 1 if it went wrong later.
    """

    def __init__(self, message: str, exit_code: int = 2) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclass(frozen=True)
class Settings:
    """What the command line can change.

    Parameters
    ----------
    epochs : int
        How often training goes through all training images.
    batch_size : int
        Images for each step.
    learning_rate : float
        At the start; it falls to zero along half a cosine.
    seed : int
        Of all that is random: the split, the initial parameters, the order and the distortions of the images.
    threads : int or None
        For the kernels; the result does not depend on it. None for as many as the machine has.
    output : Path
        Folder for what is written.
    """

    epochs: int = 20
    batch_size: int = 32
    learning_rate: float = 3e-3
    seed: int = 0
    threads: int | None = None
    output: Path = Path("digits-run")


# --- data -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Data:
    """Images, shape (N, 1, 8, 8), float32 from 0 (paper) to 1 (ink), and the digits that they show, shape (N,)."""

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray


def load_data(rng: np.random.Generator, test_fraction: float = 0.2) -> Data:
    """Load the digits and hold back a part of each digit's images for the test."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = (digits.images[:, np.newaxis] / 16).astype(np.float32)
    labels = digits.target.astype(np.int64)
    test = np.zeros(len(labels), dtype=bool)
    for digit in range(10):
        members = rng.permutation(np.flatnonzero(labels == digit))
        test[members[: round(test_fraction * len(members))]] = True
    return Data(images[~test], labels[~test], images[test], labels[test])


def augment(
    images: np.ndarray, rng: np.random.Generator, turn: float = 0.15, zoom: float = 0.08, shift: float = 0.7
) -> np.ndarray:
    """Turn, zoom and shift each image a little, as another hand might have written it.

    Parameters
    ----------
    images : ndarray, shape (N, 1, H, W)
    rng : Generator
    turn : float
        Largest angle, in radians.
    zoom : float
        Largest change in size: 0.1 for 10 %.
    shift : float
        Largest shift along each axis, in pixels.

    Returns
    -------
    ndarray, shape (N, 1, H, W), float32
    """
    count, _, height, width = images.shape
    angle = rng.uniform(-turn, turn, (count, 1, 1))
    scale = np.exp(rng.uniform(-zoom, zoom, (count, 1, 1)))
    down, right = rng.uniform(-shift, shift, (2, count, 1, 1))
    # Where each new pixel looks in the old image: coordinates around the centre, (N, H, W).
    y, x = np.mgrid[:height, :width]
    y, x = y - (height - 1) / 2, x - (width - 1) / 2
    old_y = scale * (np.cos(angle) * y - np.sin(angle) * x) - down + (height - 1) / 2
    old_x = scale * (np.sin(angle) * y + np.cos(angle) * x) - right + (width - 1) / 2
    # It gets the mean of its four neighbours there, weighted by their distance. Around the image is paper.
    paper = np.pad(images[:, 0], ((0, 0), (1, 2), (1, 2)))
    old_y, old_x = np.clip(old_y, -1, height) + 1, np.clip(old_x, -1, width) + 1
    top, left = old_y.astype(np.intp), old_x.astype(np.intp)
    below, beside = old_y - top, old_x - left
    n = np.arange(count)[:, np.newaxis, np.newaxis]
    upper = (1 - beside) * paper[n, top, left] + beside * paper[n, top, left + 1]
    lower = (1 - beside) * paper[n, top + 1, left] + beside * paper[n, top + 1, left + 1]
    return ((1 - below) * upper + below * lower)[:, np.newaxis].astype(np.float32)


# --- network ----------------------------------------------------------------------------------------------


def initial_parameters(rng: np.random.Generator) -> Parameters:
    """Random weights, whose variance keeps that of the signal the same from layer to layer (He et al., 2015)."""

    def weight(*shape: int) -> Tensor:
        inputs = math.prod(shape[1:])
        values = math.sqrt(2 / inputs) * rng.standard_normal(shape)
        return ac.tensor(values, dtype=np.float32, requires_grad=True)

    def bias(size: int) -> Tensor:
        return ac.tensor(np.zeros(size), dtype=np.float32, requires_grad=True)

    return {
        "conv1.weight": weight(16, 1, 3, 3),
        "conv1.bias": bias(16),
        "conv2.weight": weight(32, 16, 3, 3),
        "conv2.bias": bias(32),
        "conv3.weight": weight(64, 32, 3, 3),
        "conv3.bias": bias(64),
        "linear.weight": weight(10, 64 * 4 * 4),
        "linear.bias": bias(10),
    }


def feature_maps(parameters: Parameters, images: Tensor) -> list[Tensor]:
    """What the three convolutions see: (N, 1, 8, 8) -> (N, 16, 8, 8), (N, 32, 8, 8) and (N, 64, 4, 4)."""
    p = parameters
    first = nn.relu(nn.conv2d(images, p["conv1.weight"], p["conv1.bias"], padding=1))
    second = nn.relu(nn.conv2d(first, p["conv2.weight"], p["conv2.bias"], padding=1))
    smaller = nn.max_pool2d(second, 2)  # (N, 32, 8, 8) -> (N, 32, 4, 4)
    third = nn.relu(nn.conv2d(smaller, p["conv3.weight"], p["conv3.bias"], padding=1))
    return [first, second, third]


def network(parameters: Parameters, images: Tensor) -> Tensor:
    """Scores of the ten digits, (N, 10): the larger, the likelier."""
    last = feature_maps(parameters, images)[-1]
    return nn.linear(last.reshape(len(images), -1), parameters["linear.weight"], parameters["linear.bias"])


# --- training ---------------------------------------------------------------------------------------------


@dataclass
class History:
    """The learning curves: one number for each epoch.

    `epoch` counts from 1; a last epoch that was ended early counts as the part of it that was done. `train_loss`
    and `train_accuracy` are means over an epoch, of distorted images and of a network that still learns; the
    test has neither, and may well look better.
    """

    epoch: list[float] = field(default_factory=list)
    train_loss: list[float] = field(default_factory=list)
    train_accuracy: list[float] = field(default_factory=list)
    test_loss: list[float] = field(default_factory=list)
    test_accuracy: list[float] = field(default_factory=list)


def batches(count: int, size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Indices of all images in random order, `size` at a time."""
    order = rng.permutation(count)
    for start in range(0, count, size):
        yield order[start : start + size]


def evaluate(parameters: Parameters, images: np.ndarray, labels: np.ndarray) -> tuple[float, np.ndarray]:
    """Mean loss, and the probabilities of the ten digits for each image, (N, 10)."""
    with ac.no_grad():
        scores = network(parameters, ac.tensor(images))
        return nn.cross_entropy(scores, labels).item(), nn.softmax(scores, axis=1).numpy()


def train(
    parameters: Parameters,
    data: Data,
    settings: Settings,
    rng: np.random.Generator,
    progress: Progress,
    stop: StopRequest,
) -> History:
    """Change `parameters` until they read the training images; return the learning curves.

    Raises
    ------
    DemoError
        If the loss is no longer a number.
    """
    history = History()
    optimizer = optim.AdamW(parameters.values(), lr=settings.learning_rate)
    count = len(data.train_labels)
    steps_in_all = settings.epochs * math.ceil(count / settings.batch_size)
    steps = 0
    for epoch in range(1, settings.epochs + 1):
        done, loss_sum, correct = 0, 0.0, 0
        for batch in batches(count, settings.batch_size, rng):
            optimizer.lr = settings.learning_rate * (1 + math.cos(math.pi * steps / steps_in_all)) / 2
            labels = data.train_labels[batch]
            scores = network(parameters, ac.tensor(augment(data.train_images[batch], rng)))
            loss = nn.cross_entropy(scores, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

            steps += 1
            done += len(batch)
            loss_sum += loss.item() * len(batch)
            correct += int(np.sum(scores.numpy().argmax(axis=1) == labels))
            _require_finite(loss.item(), epoch, settings, progress)
            progress.step(epoch, done, loss_sum / done, correct / done)
            if stop.made:
                break
        test_loss, probabilities = evaluate(parameters, data.test_images, data.test_labels)
        _require_finite(test_loss, epoch, settings, progress)
        history.epoch.append(epoch - 1 + done / count)
        history.train_loss.append(loss_sum / done)
        history.train_accuracy.append(correct / done)
        history.test_loss.append(test_loss)
        history.test_accuracy.append(float(np.mean(probabilities.argmax(axis=1) == data.test_labels)))
        progress.epoch(epoch, done, loss_sum / done, correct / done, history.test_accuracy[-1])
        if stop.made:
            break
    progress.close()
    return history


def _require_finite(loss: float, epoch: int, settings: Settings, progress: Progress) -> None:
    if not math.isfinite(loss):
        progress.close()
        raise DemoError(
            f"the loss became {loss} in epoch {epoch}; choose a --learning-rate smaller than "
            f"{settings.learning_rate:g}",
            exit_code=1,
        )


# --- the command ------------------------------------------------------------------------------------------


def run(settings: Settings, stream: TextIO) -> int:
    """Train, test, save and draw: ``python -m autograd_conv digits``.

    Parameters
    ----------
    settings : Settings
    stream : text stream
        Where to tell about it.

    Returns
    -------
    int
        Exit code: 0, or 130 if Ctrl-C ended the training early.

    Raises
    ------
    DemoError
        If a package is missing, the output folder cannot be written, or training fails.
    KeyboardInterrupt
        Upon Ctrl-C before the training has begun or after it has ended, or twice during it.
    """
    start = time.perf_counter()
    require_extras("digits", "scikit-learn", "matplotlib")
    _require_folder(settings.output)
    try:
        threads_before = ac.get_num_threads()
    except ValueError as error:  # AUTOGRAD_CONV_NUM_THREADS holds something strange
        raise DemoError(str(error)) from None
    ac.set_num_threads(settings.threads or threads_before)
    try:
        return _train_and_report(settings, stream, start)
    finally:
        ac.set_num_threads(threads_before)


def _train_and_report(settings: Settings, stream: TextIO, start: float) -> int:
    rng = np.random.default_rng(settings.seed)
    data = load_data(rng)
    parameters = initial_parameters(rng)
    count = len(data.train_labels)
    progress = Progress(stream, settings.epochs, count)
    size = sum(p.size for p in parameters.values())
    progress.say(
        f"{count} digits to learn from, {len(data.test_labels)} to test; {size} parameters; "
        f"seed {settings.seed}, threads {ac.get_num_threads()}"
    )

    os.environ.setdefault("AUTOGRAD_CONV_QUIET", "1")  # it is said here
    with progress.waiting("compiling kernels (later runs find them in a cache)..."):
        sample = slice(0, settings.batch_size)
        loss = nn.cross_entropy(network(parameters, ac.tensor(data.train_images[sample])), data.train_labels[sample])
        loss.backward()

    path = settings.output
    # Numbers that overflow end the training with a message of its own; NumPy's warnings would only hide it.
    with StopRequest() as stop, np.errstate(over="ignore", invalid="ignore"):
        history = train(parameters, data, settings, rng, progress, stop)
        with writing_to(path):
            ac.save(path / "parameters.npz", parameters)
    if stop.made:
        print(f"\nCtrl-C: ended after {history.epoch[-1]:.2f} epochs; what was learned is saved", file=stream)

    _, probabilities = evaluate(parameters, data.test_images, data.test_labels)
    predicted = probabilities.argmax(axis=1)
    accuracy = float(np.mean(predicted == data.test_labels))
    used = {**asdict(settings), "threads": ac.get_num_threads(), "output": str(path)}
    text = json.dumps({"settings": used, "history": asdict(history), "test_accuracy": accuracy}, indent=2)
    with ac.no_grad():
        maps = feature_maps(parameters, ac.tensor(data.test_images[:1]))
    with writing_to(path):
        (path / "history.json").write_text(text + "\n", encoding="utf-8")
        report.draw(
            path / "digits.png",
            curves=asdict(history),
            kernels=parameters["conv1.weight"].numpy()[:, 0],
            digit=data.test_images[0, 0],
            maps=[layer.numpy()[0] for layer in maps],
            images=data.test_images[:, 0],
            labels=data.test_labels,
            probabilities=probabilities,
        )

    print(f"\n{report.confusion_table(data.test_labels, predicted)}", file=stream)
    wrong = int(np.sum(predicted != data.test_labels))
    print(f"\ntest accuracy {accuracy:.2%} ({wrong} of {len(predicted)} digits read wrongly)", file=stream)
    print(f"{duration(time.perf_counter() - start)} in all; parameters.npz, digits.png and ", end="", file=stream)
    print(f"history.json are in {path}", file=stream, flush=True)
    return 130 if stop.made else 0


@contextlib.contextmanager
def writing_to(path: Path) -> Iterator[None]:
    """A disk may fill up during the training: say so in a line."""
    try:
        yield
    except OSError as error:
        raise DemoError(
            f"cannot write to {path}: {error.strerror or error}; choose another place with --output", exit_code=1
        ) from None


def require_extras(command: str, *packages: str) -> None:
    """Find out now, and not after the training, whether something is missing."""
    for package in packages:
        module = {"scikit-learn": "sklearn.datasets", "matplotlib": "matplotlib.figure"}[package]
        try:
            importlib.import_module(module)
        except ImportError:
            raise DemoError(
                f'{command} needs {package}; install it with: python -m pip install "autograd-conv[demo]" '
                '(in a clone: python -m pip install -e ".[demo]")'
            ) from None


def _require_folder(path: Path) -> None:
    """Make the output folder if it is not there; find out whether files can be written in it."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except (FileExistsError, NotADirectoryError):
        raise DemoError(f"{path}: a file is in the way; choose another folder with --output") from None
    except OSError as error:
        raise DemoError(f"{path}: cannot be written ({error.strerror}); choose another folder with --output") from None
