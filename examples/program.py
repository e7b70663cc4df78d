"""What the examples share: their options, and where their pictures go."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PICTURES = Path(__file__).parent / "pictures"
BLUE, ORANGE, GRAY = "#1d4ed8", "#c2410c", "#8a8f98"


def options(name: str, description: str, argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line: ``--small`` and ``--picture``."""
    parser = argparse.ArgumentParser(prog=f"python examples/{name}.py", description=description)
    parser.add_argument("--small", action="store_true", help="a size that takes a second or two")
    parser.add_argument("--picture", type=Path, default=PICTURES / f"{name}.png", help="where to write the picture")
    return parser.parse_args(argv)


def figure(columns: int, rows: int = 1, width: float = 9.0, height: float = 3.4) -> tuple[Any, Any]:
    """A figure that needs no screen, and its axes."""
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(width, height), layout="constrained")
    return drawing, drawing.subplots(rows, columns)


def save(drawing: Any, path: Path) -> None:
    """Write the picture, and say where."""
    path.parent.mkdir(parents=True, exist_ok=True)
    drawing.savefig(path, dpi=80)
    print(f"picture: {path}")
