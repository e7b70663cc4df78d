"""``python -m autograd_conv show``: what it writes, what it says, and what it does when something is in the way."""

from __future__ import annotations

import sys
import webbrowser

import pytest

from autograd_conv.__main__ import main


def test_it_writes_the_page_and_opens_it(tmp_path, monkeypatch, capsys):
    opened = []
    monkeypatch.setattr(webbrowser, "open", lambda address: opened.append(address) or True)
    path = tmp_path / "page.html"
    assert main(["show", "--epochs", "0", "--digits", "2", "--output", str(path)]) == 0
    assert opened == [path.as_uri()]
    html = path.read_text(encoding="utf-8")
    assert "conv3.weight" in html
    assert "(2,16,8,8)" in html
    assert "grad: norm" not in html
    assert f"the page is {path}" in capsys.readouterr().out


def test_without_a_browser(tmp_path, monkeypatch, capsys):
    def unwanted(address):
        raise AssertionError("opened")

    monkeypatch.setattr(webbrowser, "open", unwanted)
    assert main(["show", "--epochs", "0", "--no-browser", "--output", str(tmp_path / "page.html")]) == 0
    monkeypatch.setattr(webbrowser, "open", lambda address: False)
    assert main(["show", "--epochs", "0", "--output", str(tmp_path / "page.html")]) == 0
    assert "open the page yourself" in capsys.readouterr().out


def test_it_learns_before(tmp_path, capsys):
    assert main(["show", "--no-browser", "--output", str(tmp_path / "page.html")]) == 0
    assert "epoch 1/1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--digits", "0"], "must be at least 1"),
        (["--epochs", "-1"], "must be at least 0"),
        (["--output", ""], "must be the name of a file"),
    ],
)
def test_bad_options(options, message, capsys):
    with pytest.raises(SystemExit) as exit_code:
        main(["show", *options])
    assert exit_code.value.code == 2
    assert message in capsys.readouterr().err


def test_a_folder_in_the_way_a_folder_that_is_missing_and_a_package_that_is(tmp_path, monkeypatch, capsys):
    assert main(["show", "--no-browser", "--epochs", "0", "--output", str(tmp_path)]) == 2
    assert "is a folder" in capsys.readouterr().err
    assert main(["show", "--no-browser", "--epochs", "0", "--output", str(tmp_path / "no" / "page.html")]) == 2
    assert "no folder" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    assert main(["show", "--no-browser", "--output", str(tmp_path / "page.html")]) == 2
    assert "show needs scikit-learn; install it with" in capsys.readouterr().err
