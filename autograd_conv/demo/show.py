"""The tape of the digits network, as a page to step through: ``python -m autograd_conv show``."""

from __future__ import annotations

import webbrowser
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np

import autograd_conv as ac
from autograd_conv import nn

from .digits import (
    DemoError,
    Settings,
    initial_parameters,
    load_data,
    network,
    require_extras,
    train,
    writing_to,
)
from .progress import Progress, StopRequest

__all__ = ["ShowSettings", "show"]


@dataclass(frozen=True)
class ShowSettings:
    """What the command line can change.

    Parameters
    ----------
    digits : int
        How many images the network is shown.
    epochs : int
        How long it learns before.
    seed : int
        Of all that is random.
    output : Path
        File for the page.
    browser : bool
        Whether to open it.
    """

    digits: int = 4
    epochs: int = 1
    seed: int = 0
    output: Path = Path("digits-tape.html")
    browser: bool = True


def show(settings: ShowSettings, stream: TextIO) -> int:
    """Write, and open, a page that steps through the backward sweep of the digits network.

    Parameters
    ----------
    settings : ShowSettings
    stream : text stream
        Where to tell about it.

    Returns
    -------
    int
        Exit code: 0.

    Raises
    ------
    DemoError
        If a package is missing, or the page cannot be written.
    """
    require_extras("show", "scikit-learn")
    if settings.output.is_dir():
        raise DemoError(f"{settings.output}: is a folder; name a file with --output")
    if not settings.output.parent.is_dir():
        raise DemoError(
            f"{settings.output}: there is no folder {settings.output.parent}; make it, or name another file"
        )
    rng = np.random.default_rng(settings.seed)
    data = load_data(rng)
    parameters = initial_parameters(rng)
    if settings.epochs:
        progress = Progress(stream, settings.epochs, len(data.train_labels))
        with StopRequest() as stop:
            train(parameters, data, Settings(epochs=settings.epochs, seed=settings.seed), rng, progress, stop)
    for parameter in parameters.values():
        parameter.grad = None
    chosen = rng.permutation(len(data.test_labels))[: settings.digits]
    with ac.Tape() as tape:
        scores = network(parameters, ac.tensor(data.test_images[chosen]))
        loss = nn.cross_entropy(scores, data.test_labels[chosen])
    with writing_to(settings.output):
        tape.page(settings.output, loss, names={**parameters, "scores": scores, "loss": loss})
    labels = ", ".join(str(label) for label in data.test_labels[chosen])
    print(f"{len(tape)} records of the digits {labels}: the page is {settings.output}", file=stream, flush=True)
    if settings.browser and not webbrowser.open(settings.output.resolve().as_uri()):
        print("no browser was found: open the page yourself", file=stream, flush=True)
    return 0
