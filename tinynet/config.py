"""The few settings: which backend computes, in which float type, and what epsilon is.

``"numba"``, the default, runs the kernels in `kernels`. ``"numpy"`` is the backend to read and
to debug: every function is the one in `functional`.
"""

from __future__ import annotations

import contextlib
import numbers
import operator
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from types import SimpleNamespace

import numpy as np

BACKENDS = ("numpy", "numba")
FLOATS = ("float32", "float64")
#: Whether every buffer is filled with NaN, or with extreme integers, before it is used: what is
#: read before it was written then shows. Read once, from TINYNET_DEBUG_BUFFERS.
DEBUG_BUFFERS = os.environ.get("TINYNET_DEBUG_BUFFERS") == "1"

_settings = SimpleNamespace(
    backend="numba", num_threads=1, floatx="float32", epsilon=1e-7, on_divergence="raise"
)
_floatx_scope: ContextVar[str | None] = ContextVar("floatx", default=None)
_on_backend_change: list[Callable[[], None]] = []


def _has_numba() -> bool:
    """Say whether Numba can be imported; it is, where it is not already."""
    try:
        import numba  # noqa: F401  # only whether it works is asked
    except ImportError:
        return False
    return True


def backend() -> str:
    """Return the name of the backend that computes.

    Returns
    -------
    str
        ``"numpy"`` or ``"numba"``.

    Examples
    --------
    >>> backend() in BACKENDS
    True
    """
    if _settings.backend == "numba" and not _has_numba():
        message = "numba can't be imported, so the numpy backend computes, which is slower."
        warnings.warn(message, RuntimeWarning, stacklevel=2)
        _settings.backend = "numpy"
    return _settings.backend


def set_backend(name: str) -> None:
    """Choose the backend that computes from now on.

    Parameters
    ----------
    name : {"numpy", "numba"}
        The backend.

    Raises
    ------
    ValueError
        If there is no such backend.

    Examples
    --------
    >>> set_backend(backend())
    """
    if name not in BACKENDS:
        raise ValueError(f"The backend must be one of {BACKENDS}. Received: {name!r:.60}")
    if name == "numba" and not _has_numba():
        raise ValueError("The numba backend needs the package numba. Received: 'numba'")
    _settings.backend = name
    for forget in _on_backend_change:
        forget()


def num_threads() -> int:
    """Return how many threads a call of `fit`, `evaluate` or `predict` uses at most.

    Returns
    -------
    int
        1 unless `set_num_threads` changed it.

    Examples
    --------
    >>> num_threads()
    1
    """
    return _settings.num_threads


def set_num_threads(n: int) -> None:
    """Choose how many threads `fit`, `evaluate` and `predict` use at most, from the next call on.

    With more than one, `fit` divides the first layer of sparse inputs, the steps of Adam and, where
    it does many steps in one call, large dense products, all in float32. `evaluate` and `predict`
    compute batches side by side, unless a callback watches each. The same seed gives the same
    bits, whatever the number: also in a child that is forked, and in a second `fit` at the same
    time, which computes alone. No more are used than there are processors. They gain only while
    these are free.

    Parameters
    ----------
    n : int
        At least 1.

    Raises
    ------
    TypeError
        If it is no whole number.
    ValueError
        If it is less than 1; or more, without what that needs: Linux, and the numba backend with
        compiled kernels.

    Examples
    --------
    >>> set_num_threads(1)
    """
    given: object = n
    if isinstance(given, bool | np.bool_) or not isinstance(given, numbers.Integral):
        raise TypeError(f"n must be a whole number of threads. Received: {type(n).__name__}")
    number = operator.index(n)
    if number < 1:
        raise ValueError(f"n must be at least 1. Received: {n!r}")
    if number > 1 and (reason := _only_one_thread()):
        raise ValueError(f"More than one thread needs {reason}. Received: {n!r}")
    _settings.num_threads = number


def _only_one_thread() -> str:
    """Say what is missing for more threads than one, if anything is."""
    if sys.platform != "linux":
        return f"Linux, not {sys.platform}"
    if backend() != "numba":
        return f"the numba backend, not {backend()!r}"
    import numba

    if getattr(numba.config, "DISABLE_JIT", False):
        return "compiled kernels, so NUMBA_DISABLE_JIT must not be set"
    return ""


def on_divergence() -> str:
    """Return what `fit` does when the training loss becomes infinite or not a number.

    Returns
    -------
    str
        ``"raise"``: it stops with a FloatingPointError. ``"continue"``: it goes on, as Keras.

    Examples
    --------
    >>> on_divergence()
    'raise'
    """
    return _settings.on_divergence


def set_on_divergence(action: str) -> None:
    """Choose what `fit` does when the training loss becomes infinite or not a number.

    Parameters
    ----------
    action : {"raise", "continue"}
        Stop with a FloatingPointError, or go on as Keras does.

    Raises
    ------
    ValueError
        If it is neither.

    Examples
    --------
    >>> set_on_divergence("raise")
    """
    if action not in ("raise", "continue"):
        raise ValueError(f"on_divergence must be 'raise' or 'continue'. Received: {action!r:.60}")
    _settings.on_divergence = action


def floatx() -> str:
    """Return the float type that new layers compute in.

    Returns
    -------
    str
        ``"float32"`` or ``"float64"``.

    Examples
    --------
    >>> floatx()
    'float32'
    """
    return _floatx_scope.get() or _settings.floatx


@contextlib.contextmanager
def floatx_scope(value: str) -> Iterator[None]:
    """Use another float type within a ``with`` block, in this thread only.

    Parameters
    ----------
    value : {"float32", "float64"}
        The type.

    Yields
    ------
    None
        The block runs with that type.

    Examples
    --------
    >>> with floatx_scope("float64"):
    ...     floatx()
    'float64'
    """
    if value not in FLOATS:
        raise ValueError(f"floatx must be one of {FLOATS}. Received: {value!r:.60}")
    token = _floatx_scope.set(value)
    try:
        yield
    finally:
        _floatx_scope.reset(token)


def set_floatx(value: str) -> None:
    """Choose the float type that layers made from now on compute in.

    Parameters
    ----------
    value : {"float32", "float64"}
        The type.

    Raises
    ------
    ValueError
        If it is another one.

    Examples
    --------
    >>> set_floatx("float32")
    """
    if value not in FLOATS:
        raise ValueError(f"floatx must be one of {FLOATS}. Received: {value!r:.60}")
    _settings.floatx = value


def epsilon() -> float:
    """Return the small number that keeps logarithms and divisions finite.

    Returns
    -------
    float
        1e-7 unless `set_epsilon` changed it.

    Examples
    --------
    >>> epsilon()
    1e-07
    """
    return _settings.epsilon


def set_epsilon(value: float) -> None:
    """Choose the small number that keeps logarithms and divisions finite.

    Parameters
    ----------
    value : float
        Positive and finite.

    Raises
    ------
    ValueError
        If it is not.

    Examples
    --------
    >>> set_epsilon(1e-7)
    """
    given: object = value
    if isinstance(given, bool | np.bool_) or not isinstance(given, numbers.Real):
        raise TypeError(f"epsilon must be a number. Received: {value!r:.60}")
    if not 0 < value < np.inf:
        raise ValueError(f"epsilon must be positive and finite. Received: {value!r:.60}")
    _settings.epsilon = float(value)
