"""Validation of arguments, for all public functions.

Each check returns the converted value, or raises an error that describes the expected value and
ends with the received one.
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
    """Describe a value for an error message, in a limited number of characters.

    Parameters
    ----------
    value : object
        The received value.
    limit : int
        Maximum number of characters of its `repr`.
    depth : int
        Maximum depth of nested lists.

    Returns
    -------
    str
        The description.

    Examples
    --------
    >>> shorten("relu"), shorten(np.zeros((2, 3)))
    ("'relu'", 'ndarray of shape (2, 3), dtype float64')
    """
    if isinstance(value, np.ndarray):
        return f"{type(value).__name__} of shape {value.shape}, dtype {value.dtype}"
    if isinstance(value, list | tuple | dict | set | frozenset) and len(value) > 10:
        return f"{type(value).__name__} of length {len(value)}"
    if isinstance(value, str | bytes | bytearray):
        value = value[:limit]
    elif isinstance(value, int) and value.bit_length() > 4 * limit:
        return f"an integer of {value.bit_length()} bits"
    if type(value) in _BRACKETS and value:
        each = [value] if isinstance(value, list | tuple) else [value, value.values()]
        parts = [[shorten(part, limit, depth - 1) if depth else "…" for part in p] for p in each]
        inside = ", ".join(map(": ".join, zip(*parts, strict=True)))
        start, end = _BRACKETS[type(value)]
        comma = "," * (type(value) is tuple and len(value) == 1)
        text = f"{start}{inside}{comma}{end}"
    else:
        text = repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def require(
    condition: Any, expected: str, received: str, error: type[Exception] = ValueError
) -> None:
    """Raise an error unless a condition holds.

    Parameters
    ----------
    condition : bool
        The condition.
    expected : str
        Beginning of the message: the condition in words, and how to meet it.
    received : str
        End of the message.
    error : type
        Type of the error.

    Examples
    --------
    >>> require(0 > 1, "n must be at least 1", "n=0")
    Traceback (most recent call last):
        ...
    ValueError: n must be at least 1. Received: n=0
    """
    if not condition:
        raise error(f"{expected}. Received: {received}")


def whole(name: str, value: Any, minimum: int = 1, wrong_type: type[Exception] = TypeError) -> int:
    """Check an integer: a count, a size or an index.

    Parameters
    ----------
    name : str
        The argument's name.
    value : object
        The value; NumPy's integers are accepted, bools are not.
    minimum : int
        Smallest value allowed.
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
    ValueError: units must be an integer of at least 1. Received: units=-3
    """
    expected = f"{name} must be an integer of at least {minimum}"
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
    """Check a finite number within bounds.

    Parameters
    ----------
    name : str
        The argument's name.
    value : object
        The value; NumPy's numbers are accepted, bools are not.
    low, high : float
        The bounds, both allowed. By default, `high` is the largest float32.
    open_low : bool
        If True, `low` itself is not allowed.
    wrong_type : type
        Error for values that are not numbers.
    open_high : bool
        If True, `high` itself is not allowed, nor a number that float32 rounds to it.

    Returns
    -------
    float
        The value.

    Examples
    --------
    >>> number("rate", 0.5, 0, 1)
    0.5
    >>> number("rate", 1.5, 0, 1)
    Traceback (most recent call last):
        ...
    ValueError: rate must be a number from 0 to 1. Received: rate=1.5
    """
    lower = f" greater than {low}" if open_low else f" of at least {low}"
    upper = f" less than {high}" if open_high else f" of at most {high}"
    span = lower * (low > -math.inf) + " and" * (low > -math.inf) * (high < _LARGEST)
    span += upper * (high < _LARGEST)
    if not open_low and not open_high and -math.inf < low and high < _LARGEST:
        span = f" from {low} to {high}"
    expected = f"{name} must be a{'' if span else ' finite'} number{span}"
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Real):
        raise wrong_type(f"{expected}. Received: {name}={shorten(value)}")
    try:
        result = float(value)
    except OverflowError:  # an integer that no float can hold
        result = math.inf
    fits = math.isfinite(result) and low <= result <= high and not (open_low and result == low)
    if not fits or (open_high and np.float32(result) >= high):
        limit = f", at most {high:.3g}" if high == _LARGEST and result > high else ""
        raise ValueError(f"{expected}{limit}. Received: {name}={_plain(value)}")
    return result


def optional(
    check: Callable[..., T], name: str, value: Any, *args: Any, **options: Any
) -> T | None:
    """Apply a check unless the value is None.

    Parameters
    ----------
    check : callable
        The check, such as `whole`.
    name : str
        The argument's name.
    value : object
        The value, or None.
    *args, **options : object
        Arguments of the check.

    Returns
    -------
    object or None
        The result of the check.

    Examples
    --------
    >>> optional(whole, "steps", 3), optional(whole, "steps", None)
    (3, None)
    """
    return None if value is None else check(name, value, *args, **options)


def _plain(value: Any) -> str:
    """Format a number without NumPy's name of its type."""
    return shorten(value) if isinstance(value, int) else str(value)[:60]


def flag(name: str, value: Any) -> bool:
    """Check a bool.

    Parameters
    ----------
    name : str
        The argument's name.
    value : object
        The value.

    Returns
    -------
    bool
        The value.

    Examples
    --------
    >>> flag("use_bias", True)
    True
    """
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False. Received: {name}={shorten(value)}")
    return bool(value)


def title(value: Any, default: str) -> str:
    """Check a name.

    Parameters
    ----------
    value : str or None
        The value.
    default : str
        Name to use for None and for an empty string.

    Returns
    -------
    str
        The name.

    Examples
    --------
    >>> title(None, "adam"), title("mine", "adam")
    ('adam', 'mine')
    """
    if value is not None and not isinstance(value, str):
        raise ValueError(f"name must be a string. Received: name={shorten(value)}")
    return value or default


def float_type(value: Any, default: str) -> str:
    """Check a float type, as users and files specify it.

    Parameters
    ----------
    value : None, str, type, dtype or dict
        A name, a NumPy type, or Keras' policy as a dict.
    default : str
        Type to use for None.

    Returns
    -------
    str
        ``"float32"`` or ``"float64"``.

    Examples
    --------
    >>> float_type(None, "float32"), float_type(np.float64, "float32")
    ('float32', 'float64')
    """
    if value is None:
        return default
    inner = value.get("config") if isinstance(value, dict) else None
    named = inner.get("name") if isinstance(inner, dict) else value
    return choice("dtype", type_name(named), FLOATS)


def type_name(value: Any) -> str:
    """Return the name of a numeric type.

    Parameters
    ----------
    value : str, type or dtype
        The type.

    Returns
    -------
    str
        For example ``"uint8"``.

    Examples
    --------
    >>> type_name("f4"), type_name(np.uint8)
    ('float32', 'uint8')
    """
    try:
        found = None if value is None or isinstance(value, list | tuple) else np.dtype(value)
    except (TypeError, ValueError, SyntaxError):
        found = None
    if found is None or found.kind not in "fiub":
        raise ValueError(
            "dtype must be a real numeric type, such as 'float32'. "
            f"Received: dtype={shorten(value)}"
        )
    return found.name


def choice(name: str, value: Any, choices: Iterable[Any]) -> Any:
    """Check that a value is one of a few.

    Parameters
    ----------
    name : str
        The argument's name.
    value : object
        The value.
    choices : iterable
        The values allowed.

    Returns
    -------
    object
        The value.

    Examples
    --------
    >>> choice("shuffle", "batch", ["batch", "row"])
    'batch'
    """
    choices = list(choices)
    if not any(value is c or (type(value) is type(c) and value == c) for c in choices):
        listed = ", ".join(map(repr, choices))
        raise ValueError(f"{name} must be one of {listed}. Received: {name}={shorten(value)}")
    return value


def listed(name: str, values: Any, kind: type) -> list[Any]:
    """Check that a list, or another iterable, has entries of one kind only.

    Parameters
    ----------
    name : str
        The argument's name.
    values : iterable
        The entries; a single entry is not a list.
    kind : type
        Their kind.

    Returns
    -------
    list
        The entries.

    Examples
    --------
    >>> listed("var_names", ("bias", "gamma"), str)
    ['bias', 'gamma']
    """
    single = isinstance(values, kind) or not isinstance(values, Iterable)
    entries = [] if single else list(values)
    if single or not all(isinstance(entry, kind) for entry in entries):
        raise TypeError(f"{name} must be a list of {kind.__name__}. Received: {shorten(values)}")
    return entries


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Issue a warning that points to the line outside of this package that led to it.

    Parameters
    ----------
    message : str
        The message.
    category : type
        The kind of warning.

    Examples
    --------
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     warn("It works, but slowly.")
    >>> caught[0].category.__name__
    'UserWarning'
    """
    frame, level = inspect.currentframe(), 0
    while frame is not None and str(frame.f_globals.get("__name__")).startswith("tinynet."):
        frame, level = frame.f_back, level + 1
    try:
        warnings.warn(message, category, stacklevel=level + 1)
    except ValueError:  # from writing to a closed stream: nobody reads the warning
        if not getattr(sys.stderr, "closed", False):
            raise


def as_array(name: str, value: Any) -> Any:
    """Convert values to an array, without changing their type.

    Parameters
    ----------
    name : str
        The argument's name.
    value : array_like
        The values.

    Returns
    -------
    ndarray
        The array.

    Raises
    ------
    ValueError
        If they are lists of different lengths, or can't be converted to an array.

    Examples
    --------
    >>> as_array("x", [[1, 2], [3]])
    Traceback (most recent call last):
        ...
    ValueError: x must be an array or nested lists of equal lengths. Received: [[1, 2], [3]]
    """
    not_masked(name, value)
    if hasattr(value, "tocsr"):
        raise ValueError(
            f"{name} must be a dense array; convert it with {name}.toarray(). "
            f"Received: {type(value).__name__} of shape {value.shape}"
        )
    if hasattr(value, "detach"):  # a PyTorch tensor, which may need gradients or be on a GPU
        value = value.detach().cpu()
        if value.is_floating_point() and value.element_size() < 4:  # bfloat16 is not in NumPy
            value = value.float()
    try:
        return np.asarray(value)
    except (ValueError, TypeError, RuntimeError):
        raise ValueError(
            f"{name} must be an array or nested lists of equal lengths. Received: {shorten(value)}"
        ) from None


def not_masked(name: str, value: Any) -> None:
    """Check that an array, or arrays in a list, have no masked entries.

    Parameters
    ----------
    name : str
        The argument's name.
    value : object
        The value.

    Raises
    ------
    ValueError
        If an entry is masked.

    Examples
    --------
    >>> not_masked("x", np.ma.masked_equal([1, -1], -1))
    Traceback (most recent call last):
        ...
    ValueError: x must not have masked entries; replace them with x.filled(value), or remove \
their rows. Received: MaskedArray of shape (2,), dtype int64
    """
    if _has_masked(value):
        raise ValueError(
            f"{name} must not have masked entries; replace them with {name}.filled(value), or "
            f"remove their rows. Received: {shorten(value)}"
        )


def _has_masked(value: Any) -> bool:
    """Return whether an array, or an array in a list, has masked entries."""
    if isinstance(value, list | tuple):
        return any(_has_masked(item) for item in value if not isinstance(item, float | int))
    return isinstance(value, np.ma.MaskedArray) and bool(np.ma.is_masked(value))


def numeric(name: str, value: Any, dtype: Any = None) -> Any:
    """Convert values to an array of real numbers: arrays, tensors, tables, or lists.

    Parameters
    ----------
    name : str
        The argument's name.
    value : array_like
        The values: of any numeric type, also in object arrays, in tables of columns of different
        types, and in the nullable columns of pandas.
    dtype : dtype, optional
        Type of the result; by default that of the values.

    Returns
    -------
    ndarray
        The numbers; the array itself if it has a numeric type.

    Raises
    ------
    ValueError
        If a value is not a real number, missing or masked; the message names row and column.

    Examples
    --------
    >>> numeric("y_true", ["a"])
    Traceback (most recent call last):
        ...
    ValueError: y_true must contain real numbers; encode text as numbers first: \
numpy.unique(y_true, return_inverse=True). Received: dtype <U1, 'a' in row 0
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
        rows = np.flatnonzero(np.asarray(missing()))  # NumPy would turn some of them into NaN
        if rows.size:
            raise _not_real(name, f"{where}dtype {dtype}", None, (rows[0],))
    array = as_array(name, value)
    if array.dtype.kind in "fiub":
        return array
    if array.dtype.kind == "V" and np.can_cast(array.dtype, np.float32):  # such as bfloat16
        return array.astype(np.float32)
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
    """Return whether an entry of an object array is a real number, or an array."""
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
    return ValueError(f"{name} must contain real numbers{hint}. Received: {what}, {text}{place}")


def path(name: str, value: Any) -> str:
    """Check the name of a file or a folder.

    Parameters
    ----------
    name : str
        The argument's name.
    value : str, bytes or path
        The value.

    Returns
    -------
    str
        The value.

    Examples
    --------
    >>> path("filename", "log.csv")
    'log.csv'
    """
    if not isinstance(value, str | bytes | os.PathLike):
        raise TypeError(f"{name} must be a string or a path. Received: {name}={shorten(value)}")
    return os.fsdecode(value)


def shape(name: str, value: Any, batch: bool = False) -> tuple[int | None, ...]:
    """Check a shape: integers, or None for any size.

    Parameters
    ----------
    name : str
        The argument's name.
    value : object
        A sequence of sizes, or one size.
    batch : bool
        If True, the first size is the batch size, which may be 0.

    Returns
    -------
    tuple
        The shape.

    Examples
    --------
    >>> shape("shape", [28, 28])
    (28, 28)
    >>> shape("input_shape", (None, 784), batch=True)
    (None, 784)
    """
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
