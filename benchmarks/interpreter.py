"""Fresh interpreters: for whatever can only be measured once in a process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from .errors import BenchmarkError

ROOT = Path(__file__).resolve().parent.parent


def python(arguments: list[str], **variables: str) -> Any:
    """Run an interpreter in the root of the repository and return what it printed last, as JSON.

    Raises
    ------
    BenchmarkError
        If it failed; with the last line that it wrote.
    """
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        last = (done.stderr.strip() or f"exit status {done.returncode}").splitlines()[-1]
        raise BenchmarkError(f"a fresh interpreter failed: {last}")
    return json.loads(done.stdout.splitlines()[-1])
