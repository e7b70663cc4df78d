"""Every code block of the documents runs."""

from __future__ import annotations

import contextlib
import doctest
import io
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def printed_by_block(path: Path, code: str) -> str | None:
    """The block of text right after a block of code: what it prints. None if something else follows."""
    after = path.read_text(encoding="utf-8").partition(code + "```\n")[2]
    match = re.match(r"\n```text\n(.*?)^```$", after, re.MULTILINE | re.DOTALL)
    return match[1] if match else None


def blocks(path: Path, language: str) -> list[tuple[int, str]]:
    """Line number and text of the fenced blocks of a language; a block in a list is indented."""
    text = path.read_text(encoding="utf-8")
    found = []
    for match in re.finditer(rf"^( *)```{language}\n(.*?)^\1```$", text, re.MULTILINE | re.DOTALL):
        indent = match[1]
        code = "\n".join(line.removeprefix(indent) for line in match[2].split("\n"))
        found.append((text[: match.start(2)].count("\n"), code))
    return found


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_python_blocks_run_one_after_the_other(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "document"}
    printed = io.StringIO()
    for line, code in blocks(path, "python"):
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            exec(compile("\n" * line + code, str(path), "exec"), namespace)
        printed.write(output.getvalue())
        expected = printed_by_block(path, code)
        if expected is not None:
            same = doctest.OutputChecker().check_output(expected, output.getvalue(), doctest.ELLIPSIS)
            assert same, f"{path.name}:{line} prints\n{output.getvalue()}"
    if path.name == "README.md":
        loss, grad, zeros = printed.getvalue().splitlines()
        assert float(loss.split()[1]) < 0.2
        assert grad.startswith("[")
        assert zeros == "[0. 0. 0.]"


def test_the_picture_of_the_tutorial_is_what_its_code_draws(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path, namespace = ROOT / "docs" / "tutorial.md", {"__name__": "document"}
    for line, code in blocks(path, "python")[:3]:
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile("\n" * line + code, str(path), "exec"), namespace)
    drawn, kept = (
        re.sub(r" at tutorial\.md:\d+", "", (folder / "resnet-block.svg").read_text(encoding="utf-8"))
        for folder in (tmp_path, ROOT / "docs")
    )
    assert drawn == kept, "copy the picture that the code of docs/tutorial.md draws to docs/resnet-block.svg"


def test_the_readme_has_the_two_commands():
    commands = "".join(code for _, code in blocks(ROOT / "README.md", "sh"))
    assert commands.splitlines() == [
        'python -m pip install -e ".[demo]" && python -m autograd_conv digits',
        'python -m pip install -e ".[test]" && pytest',
    ]


def test_links_inside_the_repository_lead_somewhere():
    for path in DOCUMENTS:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", path.read_text(encoding="utf-8")):
            assert (path.parent / target).exists(), f"{path.name} links to {target}"
