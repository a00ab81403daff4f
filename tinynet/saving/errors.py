"""Errors about the contents of a file, of Python and of other libraries, as ValueError."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

#: Python's errors about a configuration with something of the wrong kind.
MALFORMED = (TypeError, LookupError, AttributeError, ArithmeticError, RecursionError, MemoryError)


@contextlib.contextmanager
def refusing(expected: str, *errors: type[Exception]) -> Iterator[None]:
    """Convert errors to a ValueError that says what was expected.

    Parameters
    ----------
    expected : str
        Beginning of the message.
    *errors : type
        Types of the errors.

    Yields
    ------
    None
        The block may raise such an error.

    Raises
    ------
    ValueError
        If it does.

    Examples
    --------
    >>> with refusing("The text must be a number", TypeError):
    ...     int(None)
    Traceback (most recent call last):
        ...
    ValueError: The text must be a number. Received: TypeError: int() argument must be a string, a
        bytes-like object or a real number, not 'NoneType'
    """
    try:
        yield
    except errors as error:
        raise ValueError(f"{expected}. Received: {type(error).__name__}: {error}") from error
