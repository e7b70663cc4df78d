"""The place in README.md where tables and pictures go."""

from pathlib import Path

from .errors import BenchmarkError

BEGIN = "<!-- benchmarks:begin -->"
END = "<!-- benchmarks:end -->"


def replace_table(text: str, new: str, name: str = "README.md") -> str:
    """Return `text` with what stands between the two markers replaced by `new`; nothing else changes.

    Raises
    ------
    BenchmarkError
        If the markers are not there exactly once each, in order; `name` is what the message calls the file.
    """
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise BenchmarkError(f"{name} must hold {BEGIN} and, after it, {END}, each once: the table goes between them")
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    newline = "\r\n" if "\r\n" in text else "\n"
    body = new.strip("\n").replace("\n", newline)
    return f"{before}{BEGIN}{newline}{newline}{body}{newline}{newline}{END}{after}"


def read_readme(path: Path) -> str:
    """Return the text of the README, with its line ends as they are, after looking for the markers.

    Raises
    ------
    BenchmarkError
        If there is no such file, or it has no place for the table.
    """
    try:
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        raise BenchmarkError(f"cannot read {path.name}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise BenchmarkError(f"{path.name} is not UTF-8: {error.reason}") from error
    replace_table(text, "", path.name)
    return text


def write_readme(new: str, path: Path) -> None:
    """Put `new` into its place in the README at `path`."""
    path.write_bytes(replace_table(read_readme(path), new, path.name).encode("utf-8"))
