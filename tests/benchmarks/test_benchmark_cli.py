"""``python -m benchmarks`` as it is typed: that it runs, what it writes, and how it fails."""

import importlib.util
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
    files = [ROOT / "README.md", *(ROOT / "benchmarks").glob("results*"), *(ROOT / "docs").rglob("*.png")]
    return {path: path.read_bytes() for path in files if path.is_file()}


def check_quick_run(tmp_path, layer, *arguments):
    before = repository_state()
    written = ("--json", tmp_path / "a.json", "--pictures", tmp_path / "pictures")
    done = run("--quick", "--only", layer, *written, *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\n| layer " in done.stdout
    report = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    assert (tmp_path / "pictures" / "layers.png").exists() == bool(report.get("layers"))
    assert repository_state() == before
    return report


def test_quick_run_of_a_convolution_writes_what_it_is_told_to(tmp_path, bench):
    torch = ("torch",) if importlib.util.find_spec("torch") else ()  # PyTorch is no dependency
    peers = (*torch, "numpy", "loops")
    report = check_quick_run(tmp_path, "lenet", *[word for peer in peers for word in ("--against", peer)])
    operations = ("forward", "gx", "gw")
    expected = {("NCHW", operation, peer) for operation in operations for peer in peers}
    expected |= {("NHWC", operation, peer) for operation in operations for peer in torch}
    expected |= {("NCHW", "forward", "control")}
    rows = report["layers"]
    assert {(row["layout"], row["operation"], row["peer"]) for row in rows} == expected
    assert all(row["ratio"] > 0 and row["low"] <= row["ratio"] <= row["high"] for row in rows)
    assert all(row["reduced"] and row["error"] < 1e-4 for row in rows)
    assert ("PyTorch" in report["machine"]["versions"]) == bool(torch)
    assert not report["whole"]


def test_quick_run_of_sections_that_need_no_other_process(tmp_path):
    path = tmp_path / "a.json"
    sections = ("training", "recording", "growth", "roofline", "methods")
    words = [word for name in sections for word in ("--section", name)]
    done = run("--quick", *words, "--against", "numpy", "--threads", 1, "--json", path)
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(path.read_text(encoding="utf-8"))
    assert set(report["measured"]) == set(sections)
    assert {row["axis"] for row in report["growth"]} == {"batch", "channels", "size", "threads"}
    assert report["machine"]["threads"] == report["roofline"]["threads"] == 1
    assert report["recording"][0]["peer"] == "numpy"
    done = run("--from", path, "--pictures", tmp_path / "pictures")
    assert (done.returncode, done.stderr) == (0, "")
    assert {path.name for path in (tmp_path / "pictures").iterdir()} == {"growth.png", "roofline.png"}


def test_start_up_alone(tmp_path):
    path = tmp_path / "a.json"
    done = run("--quick", "--section", "startup", "--against", "numpy", "--json", path)
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(path.read_text(encoding="utf-8"))
    assert "layers" not in report
    startup = report["startup"]
    assert set(startup["imports"]) == {"autograd_conv", "numpy"}
    gradient = startup["first_gradient"]
    assert all(seconds > 0 for seconds in (*startup["imports"].values(), gradient["cold"], gradient["warm"]))
    if os.environ.get("NUMBA_DISABLE_JIT", "0") == "0":
        assert len(gradient["kernels"]) > 3
        assert all(seconds > 0 for _, seconds in gradient["kernels"])
    assert gradient["compiled_warm"] == 0
    assert report["measured"]["startup"]["command"] == "python -m benchmarks --quick --section startup --against numpy"


def test_quick_run_of_kernels_and_pooling_with_one_thread(tmp_path):
    options = ("--subject", "kernels", "--against", "numpy", "--threads", 1, "--only", "avg-2x2")
    report = check_quick_run(tmp_path, "max-3x3", *options)
    assert {(row["layer"], row["operation"]) for row in report["others"] if row["peer"] == "numpy"} == {
        ("max-3x3-stride2", "forward"), ("max-3x3-stride2", "gx"), ("avg-2x2", "forward"), ("avg-2x2", "gx"),
    }  # fmt: skip
    assert report["machine"]["threads"] == 1
    assert report["measured"]["others"]["command"] == (
        "python -m benchmarks --quick --only max-3x3 --only avg-2x2 --against numpy --subject kernels --threads 1"
    )


def test_list_names_layers_and_contenders():
    done = run("--list")
    assert done.returncode == 0
    for name in ("digits-first", "64,1,8×8 → 16, 3×3 p1", "loops", "jax", "torch", "kronecker", "tiny-3x3", "resnet20"):
        assert name in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--quick", "--only", "nothing-like-it"], "no layer is called 'nothing-like-it'"),
        (["--quick", "--against", "nobody"], "there is no contender 'nobody'"),
        (["--quick", "--readme"], "what README.md shows are whole sections"),
        (["--section", "layers", "--against", "numpy", "--readme"], "what README.md shows are whole sections"),
        (["--quick", "--section", "methods", "--only", "max-2x2"], "there is nothing to measure"),
        (["--quick", "--json", "no-such-directory/x.json"], "there is no directory no-such-directory"),
        (["--quick", "--pictures", "setup.cfg"], "cannot write to setup.cfg: it is no directory"),
        (["--quick", "--json", "tests"], "cannot write tests: it is a directory"),
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
    for name, file in (
        ("JSON", "results.json"), ("PICTURES", "results"), ("README", "README.md"), ("SHOWN", "shown"),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, tmp_path / file)
    return module


EMPTY = "<!-- benchmarks:begin -->\n<!-- benchmarks:end -->\n"


def test_figures_of_a_whole_run_make_pictures_and_readme_again(command, bench, make_report, tmp_path, capsys):
    bench("report").write_json(make_report(), tmp_path / "figures.json")
    arguments = ["--from", str(tmp_path / "figures.json")]
    assert command.main([*arguments, "--readme"]) == 1
    assert capsys.readouterr().err == "benchmarks: cannot read README.md: No such file or directory\n"
    command.README.write_text(EMPTY)
    assert command.main(arguments) == 0
    table = capsys.readouterr().out
    assert command.README.read_text() == EMPTY  # only when it is asked for
    assert not command.PICTURES.exists()
    assert command.main([*arguments, "--readme", "--pictures", str(command.PICTURES)]) == 0
    names = {"layers.png", "roofline.png", "training.png", "growth.png"}
    assert {path.name for path in command.PICTURES.iterdir()} == names
    assert {path.name for path in command.SHOWN.iterdir()} == names
    assert not command.JSON.exists()
    text = command.README.read_text()
    assert all(f"](shown/{name})" in text for name in names)
    assert set(table.splitlines()) <= set(text.splitlines())


@pytest.mark.parametrize(
    ("options", "written"),
    [
        ([], {"results.json", "results"}),
        (["--readme"], {"results.json", "results", "shown", "README.md"}),
        (["--print-only"], set()),
        (["--only", "digits"], set()),
    ],
)
def test_only_a_whole_run_writes_files_unasked(command, make_report, monkeypatch, tmp_path, options, written):
    monkeypatch.setattr(command, "_measure", lambda options, threads: make_report(not options.only))
    command.README.write_text(EMPTY)
    assert command.main(options) == 0
    changed = {path.name for path in tmp_path.iterdir()} - {"README.md"}
    changed |= {"README.md"} if command.README.read_text() != EMPTY else set()
    assert changed == written


def test_a_section_measured_again_takes_its_place_in_the_readme(command, make_report, monkeypatch, bench, capsys):
    def part(options, threads):
        report = make_report(False)
        for section in bench("report").SECTIONS:
            if section not in options.section:
                del report[section], report["measured"][section]
        report["startup"]["imports"]["numpy"] = 77.0
        return report

    monkeypatch.setattr(command, "_measure", part)
    command.README.write_text(EMPTY)
    assert command.main(["--section", "startup", "--readme"]) == 1
    assert "cannot read" in capsys.readouterr().err
    bench("report").write_json(make_report(), command.JSON)
    assert command.main(["--section", "startup", "--readme"]) == 0
    text = command.README.read_text()
    assert "77 s" in text
    assert "Net a" in text
    assert bench("report").read_json(command.JSON)["startup"]["imports"]["numpy"] == 77.0


def test_figures_of_a_part_of_a_run_stay_out_of_the_readme(command, bench, make_report, tmp_path, capsys):
    bench("report").write_json(make_report(whole=False), tmp_path / "figures.json")
    arguments = ["--from", str(tmp_path / "figures.json")]
    assert command.main(arguments) == 0
    assert command.main([*arguments, "--readme"]) == 1
    assert "is a whole run, not a part of one" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["figures.json"]


def test_an_interrupted_run_says_so(command, monkeypatch, capsys):
    def interrupt(options):
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "_go", interrupt)
    assert command.main(["--quick"]) == 130
    assert capsys.readouterr().err == "benchmarks: interrupted; nothing was written\n"
