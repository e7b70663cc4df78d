"""The error of the engine itself."""

from __future__ import annotations

__all__ = ["AutodiffError", "explain_failure"]


class AutodiffError(RuntimeError, ValueError):
    """A gradient cannot be computed as asked.

    Raised for a second ``backward()`` through a freed record, for an array that was changed while the tape
    still needed it, for a missing seed, and for a VJP that returns a cotangent of the wrong shape. It is a
    `ValueError` (the request was wrong) and a `RuntimeError` (so that handlers written for PyTorch catch it).
    """


def explain_failure(error: BaseException, context: str) -> None:
    """Put `context` in front of the message of `error`, which keeps its type and traceback.

    Exceptions whose text is not their first argument get the context as a note instead.
    """
    if error.args and isinstance(error.args[0], str) and type(error).__str__ is BaseException.__str__:
        if not error.args[0].startswith(context):
            error.args = (f"{context}: {error.args[0]}", *error.args[1:])
    else:
        error.add_note(context)
