"""Turning the errors of foreign readers into sentences: bad input never shows their traceback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from colloidlab.errors import ColloidlabError, InputError


@contextmanager
def reading(path: Path, kind: str) -> Iterator[None]:
    """Raise `InputError` for whatever a foreign reader raises on a bad file.

    Readers of binary formats raise almost any class on hostile bytes (struct.error,
    KeyError, ZeroDivisionError, MemoryError, ...), so all are caught here, and only here.
    """
    try:
        yield
    except ColloidlabError:
        raise
    except Exception as error:
        raise InputError(
            f"{path} cannot be read as {kind} ({describe(error)}); check that it opens in the program "
            "that wrote it, and copy it again if it was cut short"
        ) from error


def describe(error: BaseException) -> str:
    """First line of a foreign message, or its class when it has none."""
    lines = str(error).strip().splitlines()
    return lines[0][:200].rstrip(".") if lines else type(error).__name__
