"""Conversion of exceptions about file contents to ValueError."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

#: Exceptions that malformed configurations raise in Python code.
MALFORMED = (TypeError, LookupError, AttributeError, ArithmeticError, RecursionError, MemoryError)


@contextlib.contextmanager
def refusing(expected: str, *errors: type[Exception]) -> Iterator[None]:
    """Convert exceptions of the given types to ``ValueError(f"{expected}. Received: ...")``."""
    try:
        yield
    except errors as error:
        raise ValueError(f"{expected}. Received: {type(error).__name__}: {error}") from error
