"""``python -m benchmarks`` as it is typed: that it runs, what it writes, and how it fails."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments):
    """Run the command in a process of its own, which no setting of this one reaches."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *map(str, arguments)],
        cwd=ROOT, env=environment, capture_output=True, text=True, encoding="utf-8", timeout=300, check=False,
    )  # fmt: skip


def repository_state():
    files = [ROOT / "README.md", *(ROOT / "benchmarks").glob("results.*")]
    return {path: path.read_bytes() for path in files if path.exists()}


def check_quick_run(tmp_path, layer, *arguments):
    before = repository_state()
    done = run("--quick", "--only", layer, "--json", tmp_path / "a.json", "--png", tmp_path / "a.png", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("| layer ")
    report = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert repository_state() == before
    return report


def test_quick_run_of_a_convolution_writes_what_it_is_told_to(tmp_path, bench):
    report = check_quick_run(tmp_path, "digits-first")
    assert report["subject"]["name"] == "autograd_conv"
    peers = bench("contenders").default_peers()
    operations = ("forward", "gx", "gw")
    expected = {(operation, peer) for operation in operations for peer in peers} | {("forward", "control")}
    assert {(row["operation"], row["peer"]) for row in report["rows"]} == expected
    of_methods = report["methods"]["rows"]
    assert {(row["operation"], row["peer"]) for row in of_methods} == {
        (operation, method) for operation in operations for method in ("direct", "im2col", "padpad")
    }
    rows = [*report["rows"], *of_methods]
    assert all(row["ratio"] > 0 and row["low"] <= row["ratio"] <= row["high"] for row in rows)
    assert all(row["reduced"] and row["error"] < 1e-4 for row in rows)
    assert ("PyTorch" in report["machine"]["versions"]) == ("torch" in peers)
    assert report["startup"] == []
    assert not report["whole"]


def test_start_up_alone(tmp_path):
    path = tmp_path / "a.json"
    done = run("--quick", "--section", "startup", "--json", path)
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(path.read_text(encoding="utf-8"))
    assert not report["rows"]
    assert not report["methods"]
    assert [row["what"].split(",")[0] for row in report["startup"]] == [
        "import autograd_conv", "first gradient of a small network",
        "one recorded operation on three elements", "one recorded operation on three elements",
    ]  # fmt: skip
    assert all(row["seconds"] > 0 and row["against_seconds"] > 0 and row["ratio"] > 0 for row in report["startup"])
    assert report["command"] == "python -m benchmarks --quick --section startup"
    done = run("--from", path, "--png", tmp_path / "a.png")
    assert done.returncode == 1
    assert "draws the section 'layers'" in done.stderr


def test_quick_run_of_kernels_and_pooling_with_one_thread(tmp_path):
    options = ("--subject", "kernels", "--against", "numpy", "--threads", 1, "--only", "avg-2x2")
    report = check_quick_run(tmp_path, "max-3x3", *options)
    assert {(row["layer"], row["operation"]) for row in report["rows"] if row["peer"] == "numpy"} == {
        ("max-3x3-stride2", "forward"), ("max-3x3-stride2", "gx"), ("avg-2x2", "forward"), ("avg-2x2", "gx"),
    }  # fmt: skip
    assert report["machine"]["threads"] == 1
    assert report["command"] == (
        "python -m benchmarks --quick --only max-3x3 --only avg-2x2 --against numpy --subject kernels --threads 1"
    )


def test_list_names_layers_and_contenders():
    done = run("--list")
    assert done.returncode == 0
    for name in ("digits-first", "64,1,8×8 → 16, 3×3 p1", "loops", "numpy", "torch", "kronecker", "tiny-3x3"):
        assert name in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--quick", "--only", "nothing-like-it"], "no layer is called 'nothing-like-it'"),
        (["--quick", "--against", "nobody"], "there is no contender 'nobody'"),
        (["--quick", "--readme"], "that of a whole run"),
        (["--section", "layers", "--readme"], "that of a whole run"),
        (["--quick", "--section", "methods", "--only", "max-2x2"], "there is nothing to measure"),
        (["--quick", "--section", "startup", "--png", "x.png"], "draws the section 'layers'"),
        (["--quick", "--json", "no-such-directory/x.json"], "there is no directory no-such-directory"),
        (["--quick", "--png", "tests"], "cannot write tests: it is a directory"),
        (["--from", "no-such-file.json"], "cannot read no-such-file.json"),
        (["--from", "x.json", "--quick"], "--from measures nothing, so that --quick has no meaning"),
    ],
)
def test_errors_are_one_line_and_come_before_any_measurement(arguments, message):
    done = run(*arguments)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("benchmarks: ")
    assert done.stderr.count("\n") == 1
    assert message in done.stderr


@pytest.mark.parametrize(
    "arguments", [["--seconds", "0"], ["--threads", "-1"], ["--threads", "x"], ["--faster"], ["--section", "x"]]
)
def test_what_cannot_be_parsed_is_reported_by_argparse(arguments):
    done = run(*arguments)
    assert done.returncode == 2
    assert "python -m benchmarks: error:" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture
def command(bench, monkeypatch, tmp_path):
    """The command inside this process, with its files in a temporary directory and no effect on the environment."""
    module = bench("__main__")
    monkeypatch.setattr(bench("environment"), "prepare", lambda threads: None)
    for name in ("JSON", "PNG", "README"):
        monkeypatch.setattr(module, name, tmp_path / f"{name.lower()}.out")
    return module


def test_figures_of_a_whole_run_make_picture_and_readme_again(command, bench, make_report, tmp_path, capsys):
    bench("report").write_json(make_report(), tmp_path / "figures.json")
    arguments = ["--from", str(tmp_path / "figures.json")]
    assert command.main([*arguments, "--readme"]) == 1
    assert capsys.readouterr().err == "benchmarks: cannot read readme.out: No such file or directory\n"
    text = "<!-- benchmarks:begin -->\n<!-- benchmarks:end -->\n"
    command.README.write_text(text)
    assert command.main(arguments) == 0
    table = capsys.readouterr().out
    assert command.README.read_text() == text  # only when it is asked for
    assert not command.PNG.exists()
    assert command.main([*arguments, "--readme", "--png", str(command.PNG)]) == 0
    assert command.PNG.exists()
    assert not command.JSON.exists()
    assert table.strip() in command.README.read_text()


@pytest.mark.parametrize(
    ("options", "written"),
    [
        ([], {"json.out", "png.out"}),
        (["--readme"], {"json.out", "png.out", "readme.out"}),
        (["--print-only"], set()),
        (["--only", "digits"], set()),
    ],
)
def test_only_a_whole_run_writes_files_unasked(command, make_report, monkeypatch, tmp_path, options, written):
    monkeypatch.setattr(command, "_measure", lambda options, threads, whole: make_report(whole))
    text = "<!-- benchmarks:begin -->\n<!-- benchmarks:end -->\n"
    command.README.write_text(text)
    assert command.main(options) == 0
    changed = {path.name for path in tmp_path.iterdir()} - {"readme.out"}
    changed |= {"readme.out"} if command.README.read_text() != text else set()
    assert changed == written


def test_figures_of_a_part_of_a_run_stay_out_of_the_readme(command, bench, make_report, tmp_path, capsys):
    bench("report").write_json(make_report(whole=False), tmp_path / "figures.json")
    arguments = ["--from", str(tmp_path / "figures.json")]
    assert command.main(arguments) == 0
    assert command.main([*arguments, "--readme"]) == 1
    assert "that of a whole run" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["figures.json"]


def test_an_interrupted_run_says_so(command, monkeypatch, capsys):
    def interrupt(options):
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "_go", interrupt)
    assert command.main(["--quick"]) == 130
    assert capsys.readouterr().err == "benchmarks: interrupted; nothing was written\n"
