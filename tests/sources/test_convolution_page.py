"""docs/convolution.md names code that exists, and its picture can be drawn."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "convolution.md").read_text(encoding="utf-8")


def test_every_function_that_the_page_names_exists():
    named = re.findall(r"`((?:kernels|autograd_conv)/[\w/]+\.py):(\w+)`", PAGE)
    assert len(named) > 40
    for path, name in named:
        file = ROOT / path
        assert file.exists(), f"docs/convolution.md names {path}"
        defined = {node.name for node in ast.parse(file.read_text()).body if hasattr(node, "name")}
        assert name in defined, f"docs/convolution.md names {name} in {path}, which defines no such function"


def test_every_path_that_the_page_names_exists():
    for path in re.findall(r"`((?:tests|docs|kernels|autograd_conv)/[\w/.]*?)[`:]", PAGE):
        assert (ROOT / path).exists(), f"docs/convolution.md names {path}"


def test_the_picture_can_be_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    target = tmp_path / "convolution.png"
    script = ROOT / "docs" / "draw_convolution.py"
    # not from the repository's root, where kernels/ would be importable under a wrong name
    subprocess.run([sys.executable, str(script), str(target)], check=True, cwd=tmp_path, capture_output=True)
    assert target.stat().st_size > 50_000
    assert (ROOT / "docs" / "convolution.png").exists()
