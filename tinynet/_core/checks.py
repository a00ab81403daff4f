"""Validation of arguments, for all public functions.

Each function returns the converted value, or raises an error that describes the expected value and
ends with the received value.
"""

from __future__ import annotations

import contextlib
import inspect
import math
import numbers
import operator
import os
import sys
import warnings
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")

FLOATS = ("float32", "float64")
_BRACKETS: dict[type, tuple[str, str]] = {list: ("[", "]"), tuple: ("(", ")"), dict: ("{", "}")}
_LARGEST = float(np.finfo(np.float32).max)


def shorten(value: Any, limit: int = 60, depth: int = 3) -> str:
    """Describe a value for an error message, in at most about `limit` characters."""
    if isinstance(value, np.ndarray):
        return f"{type(value).__name__} of shape {value.shape}, dtype {value.dtype}"
    if isinstance(value, list | tuple | dict | set | frozenset) and len(value) > 10:
        return f"{type(value).__name__} of length {len(value)}"
    if isinstance(value, str | bytes | bytearray):
        value = value[:limit]
    elif isinstance(value, int) and value.bit_length() > 4 * limit:
        return f"an integer of {value.bit_length()} bits"
    if type(value) in _BRACKETS and value:
        inside, (start, end) = "", _BRACKETS[type(value)]
        for entry in value.items() if isinstance(value, dict) else zip(value, strict=True):
            if len(inside) <= limit:
                texts = [shorten(part, limit, depth - 1) if depth else "…" for part in entry]
                inside += ", " * bool(inside) + ": ".join(texts)
        comma = "," * (type(value) is tuple and len(value) == 1)
        text = f"{start}{inside}{comma}{end}"
    else:
        text = repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def require(
    condition: Any, expected: str, received: str, error: type[Exception] = ValueError
) -> None:
    """Raise ``error(f"{expected}. Received: {received}")`` unless a condition holds."""
    if not condition:
        raise error(f"{expected}. Received: {received}")


def whole(name: str, value: Any, minimum: int = 1, wrong_type: type[Exception] = TypeError) -> int:
    """Validate an integer: a count, a size or an index.

    Parameters
    ----------
    name : str
        Name of the argument.
    value : object
        Value of the argument; NumPy integers are accepted, bools are not.
    minimum : int
        Smallest allowed value.
    wrong_type : type
        Error for values that are not integers.

    Returns
    -------
    int
        The value.

    Examples
    --------
    >>> whole("units", np.int64(3))
    3
    >>> whole("units", -3)
    Traceback (most recent call last):
        ...
    ValueError: units must be a positive integer. Received: units=-3
    """
    kind = {0: "a non-negative integer", 1: "a positive integer"}.get(minimum)
    expected = f"{name} must be {kind or f'an integer greater than or equal to {minimum}'}"
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Integral):
        raise wrong_type(f"{expected}. Received: {name}={shorten(value)}")
    if value < minimum:
        raise ValueError(f"{expected}. Received: {name}={shorten(operator.index(value))}")
    return operator.index(value)


def number(
    name: str,
    value: Any,
    low: float = -math.inf,
    high: float = _LARGEST,
    open_low: bool = False,
    wrong_type: type[Exception] = TypeError,
    open_high: bool = False,
) -> float:
    """Validate a finite number; bounds are inclusive unless `open_low` or `open_high` is True.

    By default, `high` is the largest float32. With `open_high`, numbers that float32 rounds to
    `high` are not allowed either. NumPy numbers are accepted, bools are not.
    """
    span = f" greater than {'or equal to ' * (not open_low)}{low}" if low > -math.inf else ""
    if high < _LARGEST:
        span = f" in the range {'[('[open_low]}{low}, {high}{'])'[open_high]}"
    expected = f"{name} must be a{'' if span else ' finite'} number{span}"
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Real):
        raise wrong_type(f"{expected}. Received: {name}={shorten(value)}")
    try:
        result = float(value)
    except OverflowError:  # an integer that is too large for a float
        result = math.inf
    fits = math.isfinite(result) and low <= result <= high and not (open_low and result == low)
    if not fits or (open_high and np.float32(result) >= high):
        limit = f", at most {high:.3g}" if high == _LARGEST and result > high else ""
        raise ValueError(f"{expected}{limit}. Received: {name}={_plain(value)}")
    return result


def optional(
    check: Callable[..., T], name: str, value: Any, *args: Any, **options: Any
) -> T | None:
    """Apply a check unless the value is None."""
    return None if value is None else check(name, value, *args, **options)


def _plain(value: Any) -> str:
    """Format a number without the name of its NumPy type."""
    return shorten(value) if isinstance(value, int) else str(value)[:60]


def flag(name: str, value: Any) -> bool:
    """Validate a bool."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False. Received: {name}={shorten(value)}")
    return bool(value)


def title(value: Any, default: str) -> str:
    """Validate a name; None and an empty string mean the default."""
    if value is not None and not isinstance(value, str):
        raise ValueError(f"name must be a string. Received: name={shorten(value)}")
    return value or default


def float_type(value: Any, default: str) -> str:
    """Validate a float type: name, NumPy type, Keras' policy as a dict, or None for the default."""
    if value is None:
        return default
    inner = value.get("config") if isinstance(value, dict) else None
    named = inner.get("name") if isinstance(inner, dict) else value
    return choice("dtype", type_name(named), FLOATS)


def type_name(value: Any, default: str | None = None) -> str:
    """Return the name of a numeric type, such as ``"uint8"``; `default` if the type is None.

    As in Keras and TensorFlow, `float` means ``"float32"``.
    """
    value = default if value is None else value
    value = "float32" if value is float or (isinstance(value, str) and value == "float") else value
    name, found = value.lstrip("<>=|?") if isinstance(value, str) else "", None
    is_one = not isinstance(value, dict | list | tuple | None) and (not name or name.isidentifier())
    with contextlib.suppress(TypeError, ValueError, SyntaxError):
        found = np.dtype(value) if is_one and name[:1] != "a" else None  # "a" was a name of bytes
    if found is None or found.kind not in "fiub" or found.itemsize > 8:
        raise ValueError(
            "dtype must be a real numeric type, such as 'float32'. "
            f"Received: dtype={shorten(value)}"
        )
    return found.name


def choice(name: str, value: Any, choices: Iterable[Any]) -> Any:
    """Check that a value is one of `choices`, including its type."""
    choices = list(choices)
    if not any(value is c or (type(value) is type(c) and value == c) for c in choices):
        listed = ", ".join(map(repr, choices))
        raise ValueError(f"{name} must be one of {listed}. Received: {name}={shorten(value)}")
    return value


def listed(name: str, values: Any, kind: type) -> list[Any]:
    """Check that all entries of an iterable have the given type, and return them as a list."""
    single = isinstance(values, kind) or not isinstance(values, Iterable)
    entries = [] if single else list(values)
    if single or not all(isinstance(entry, kind) for entry in entries):
        expected = f"{name} must be a list of {kind.__name__}"
        raise TypeError(f"{expected}. Received: {name}={shorten(values)}")
    return entries


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Issue a warning that points to the line of the user's code that led to it."""
    frame, level = inspect.currentframe(), 0
    while frame is not None and str(frame.f_globals.get("__name__")).startswith("tinynet."):
        frame, level = frame.f_back, level + 1
    try:
        warnings.warn(message, category, stacklevel=level + 1)
    except ValueError:  # stderr is closed, so nobody can read the warning
        if not getattr(sys.stderr, "closed", False):
            raise


def as_array(name: str, value: Any) -> Any:
    """Convert values to an array, without changing their dtype."""
    not_masked(name, value)
    if hasattr(value, "tocsr"):
        expected = f"{name} must be a dense array; convert it with {name}.toarray()"
        raise ValueError(
            f"{expected}. Received: {name}={type(value).__name__} of shape {value.shape}"
        )
    if hasattr(value, "detach"):  # a PyTorch tensor, which may need gradients or be on a GPU
        value = value.detach().cpu()
        if value.is_floating_point() and value.element_size() < 4:  # bfloat16 is not in NumPy
            value = value.float()
    try:
        return np.asarray(value)
    except (ValueError, TypeError, RuntimeError) as error:
        if "Received:" in str(error):  # a symbolic tensor or a Variable explains itself
            raise
        expected = f"{name} must be an array or nested lists of equal lengths"
        raise ValueError(f"{expected}. Received: {name}={shorten(value)}") from None


def not_masked(name: str, value: Any) -> None:
    """Check that an array, or arrays in a list, have no masked entries."""
    if _has_masked(value):
        fix = f"replace them with {name}.filled(value), or remove their rows"
        expected = f"{name} must not have masked entries; {fix}"
        raise ValueError(f"{expected}. Received: {name}={shorten(value)}")


def _has_masked(value: Any) -> bool:
    """Return whether an array, or an array in a list, has masked entries."""
    if isinstance(value, list | tuple):
        return any(_has_masked(item) for item in value if not isinstance(item, float | int))
    return isinstance(value, np.ma.MaskedArray) and bool(np.ma.is_masked(value))


def numeric(name: str, value: Any, dtype: Any = None) -> Any:
    r"""Convert values to an array of real numbers: arrays, tensors, tables or lists.

    Parameters
    ----------
    name : str
        Name of the argument.
    value : array_like
        Values of any numeric dtype, including object arrays, tables with columns of different
        dtypes, and nullable pandas columns.
    dtype : dtype, optional
        Data type of the result; by default, the dtype of the values.

    Returns
    -------
    ndarray
        The numbers; the array itself if it has a numeric dtype.

    Raises
    ------
    ValueError
        If a value is missing, masked or not a real number; the message contains its row and column.

    Examples
    --------
    >>> numeric("x", [[1, 2], [3, 4]])
    array([[1, 2],
           [3, 4]])
    >>> numeric("x", ["a"])  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    ValueError: x must contain real numbers; ... Received: x with 'a' in row 0 (dtype <U1)
    """
    if type(value) is not np.ndarray or value.dtype.kind not in "fiub":
        value = _numbers(name, value)
    return value if dtype is None else np.asarray(value, dtype)


def _numbers(name: str, value: Any) -> Any:
    """Convert a table column by column, and other values as a whole."""
    if not hasattr(value, "columns") or not hasattr(value, "shape"):
        return _real_numbers(name, value)
    types = {*getattr(value, "dtypes", [])}
    if len(types) == 1 and isinstance(dtype := types.pop(), np.dtype) and dtype.kind in "fiub":
        return np.asarray(value)
    if hasattr(value, "column_names"):  # Arrow
        columns = zip(value.column_names, value.columns, strict=True)
    elif hasattr(value, "get_columns"):  # polars
        columns = zip(value.columns, value.get_columns(), strict=True)
    else:
        columns = value.items()
    arrays = [_real_numbers(name, column, f"column {label!r}, ") for label, column in columns]
    return np.stack(arrays, axis=1) if arrays else np.zeros(value.shape)


def _real_numbers(name: str, value: Any, where: str = "") -> Any:
    """Convert an array, or a column, as `numeric` does."""
    dtype = getattr(value, "dtype", getattr(value, "type", None))
    missing = getattr(value, "isna", None) or getattr(value, "is_null", None)
    if callable(missing) and not where and getattr(value, "name", None):
        where = f"column {value.name!r}, "
    if callable(missing) and not isinstance(dtype, np.dtype):
        rows = np.flatnonzero(np.asarray(missing()))  # NumPy would convert some to NaN
        if rows.size:
            raise _not_real(name, f"{where}dtype {dtype}", None, (rows[0],))
    array = as_array(name, value)
    if array.dtype.kind in "fiub":
        return array
    if array.dtype.kind == "V" and np.can_cast(array.dtype, np.float32):  # such as bfloat16
        return array.astype(np.float32)
    if array.dtype.kind in "mM":  # NumPy converts nanoseconds to int, and microseconds to datetime
        array = array.astype(f"{array.dtype.kind}8[us]")
    items = array.reshape(-1).tolist()
    wrong = 0
    if array.dtype == object:
        wrong = next((i for i, item in enumerate(items) if not _is_real(item)), len(items))
        if wrong == len(items):
            again = as_array(name, items)
            if again.dtype == object and again.ndim == 1:  # such as Decimal
                again = np.array([float(item) for item in items])
            return _real_numbers(name, again.reshape(array.shape + again.shape[1:]), where)
    spot = np.unravel_index(wrong, array.shape) if items else ()
    item = items[wrong] if items else ""
    raise _not_real(name, f"{where}dtype {dtype or array.dtype}", item, spot)


def _is_real(item: Any) -> bool:
    """Return whether an entry of an object array is a real number or an array."""
    if isinstance(item, numbers.Complex):
        return isinstance(item, numbers.Real)
    boxed = isinstance(item, list | tuple) or len(getattr(item, "shape", ())) > 0
    return boxed or isinstance(item, numbers.Number | np.bool_)


def _not_real(name: str, what: str, item: Any, spot: tuple[Any, ...]) -> ValueError:
    """Return the error for an entry that is not a real number, with a hint."""
    hint = ""
    if item is None or type(item).__name__ in ("NAType", "NaTType"):
        item, hint = "a missing value", "; impute missing values or remove their rows"
    elif isinstance(item, str | bytes):
        hint = "; encode text as numbers first, for example with one-hot encoding"
        if name in ("y", "y_true"):
            hint = f"; encode text as numbers first: numpy.unique({name}, return_inverse=True)"
        with contextlib.suppress(ValueError):
            float(item)
            hint = "; convert text to numbers first, for example with numpy.asarray(x, float)"
    elif isinstance(item, complex):
        hint = ", not complex numbers"
    elif hasattr(item, "year"):
        hint = "; convert dates to numbers first, for example to days since the first date"
    elif hasattr(item, "total_seconds"):
        hint = "; convert durations to numbers first, for example to seconds"
    elif isinstance(item, dict):
        hint = ", not a dict"
    text = item if item == "a missing value" else shorten(item)
    place = "".join(f"{of} {i}" for of, i in zip((" in row", ", column"), spot, strict=False))
    received = f"{name} with {text}{place} ({what})"
    return ValueError(f"{name} must contain real numbers{hint}. Received: {received}")


def path(name: str, value: Any) -> str:
    """Validate the path of a file or a folder."""
    if not isinstance(value, str | bytes | os.PathLike):
        raise TypeError(f"{name} must be a string or a path. Received: {name}={shorten(value)}")
    return os.fsdecode(value)


def shape(name: str, value: Any, batch: bool = False) -> tuple[int | None, ...]:
    """Validate a shape: integers, or None for any size; the batch size may be 0."""
    if isinstance(value, int | np.integer):
        value = (value,)
    if not isinstance(value, list | tuple):
        raise ValueError(f"{name} must be a tuple of integers. Received: {name}={shorten(value)}")
    try:
        return tuple(
            None if size is None else whole(name, size, 0 if batch and i == 0 else 1, ValueError)
            for i, size in enumerate(value)
        )
    except ValueError:
        raise ValueError(
            f"{name} must be a tuple of positive integers. Received: {name}={shorten(value)}"
        ) from None
