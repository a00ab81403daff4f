"""Settings: backend, threads, rules, float type, epsilon, and the reaction to divergence.

``"numba"``, the default backend, runs the kernels in `kernels`. ``"numpy"`` is the backend for
reading and debugging: every function is the one in `functional`.
"""

from __future__ import annotations

import contextlib
import numbers
import operator
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from pathlib import Path
from types import SimpleNamespace
from typing import Literal

import numpy as np

BACKENDS = ("numpy", "numba")
FLOATS = ("float32", "float64")
#: If True, every buffer is filled with NaN, or with extreme integers, before it is used, so that
#: reads of uninitialized memory are found. Read once, from TINYNET_DEBUG_BUFFERS.
DEBUG_BUFFERS = os.environ.get("TINYNET_DEBUG_BUFFERS") == "1"

#: What makes programs of the numba backend faster without changing a bit of any result.
_RULES = {
    "linear_relu": "The relu is fused into the linear operation that computes its input.",
    "chain": "Consecutive elementwise operations of the same shape are fused into one call.",
    "update": "The optimizer's update of a variable is fused into one operation.",
    "learn": "A kernel is updated block by block, while the block's gradient is in the cache.",
    "gate": "The derivative of the relu is fused into the matrix product of the backward pass.",
    "join": "Small Variables that are contiguous in memory are updated by one call.",
    "reuse": "Results overwrite buffers whose values are no longer needed.",
    "learn_csr_adam": "Adam updates the kernel of a CSR input from sums in registers.",
    "csr": "Inputs that are mostly zero are stored in CSR format.",
    "many_steps": "Many training steps run in one call (fused training loop).",
    "parts": "Threads share the work of a large operation.",
    "overlap": "One thread executes an operation while the others execute the next ones.",
}

_settings = SimpleNamespace(
    backend="numba", num_threads=1, floatx="float32", epsilon=1e-7, on_divergence="raise",
    disabled_rules=frozenset(),
)  # fmt: skip
_floatx_scope: ContextVar[str | None] = ContextVar("floatx", default=None)
_on_backend_change: list[Callable[[], None]] = []


def _numba_setting(name: str) -> str:
    """Return a setting of Numba: its own once it is imported, until then its variable."""
    numba = sys.modules.get("numba.core.config")
    value = os.environ.get(f"NUMBA_{name}") if numba is None else getattr(numba, name, None)
    return "" if value is None else str(value)


#: Whether kernels are compiled; otherwise they run as plain Python.
COMPILES = _numba_setting("DISABLE_JIT") in ("", "0")
#: Functions that return True if Numba has worked before: the compile cache, if it has code.
_proofs: list[Callable[[], bool]] = []
_has_worked = False  # Numba, in this process or when it filled the compile cache


def _has_numba() -> bool:
    """Return True if Numba works; import it only if it has not compiled anything yet."""
    global _has_worked
    if not _has_worked:
        try:
            if not any(proof() for proof in _proofs):
                import numba  # noqa: F401  # only whether it works is asked
        except ImportError:
            return False
        _has_worked = True
    return True


def _set(name: str, value: object, choices: tuple[str, ...]) -> None:
    """Change a setting that has a few values."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {choices}. Received: {value!r:.60}")
    setattr(_settings, name, value)


def backend() -> str:
    """Return the name of the backend.

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
        message = "numba can't be imported; falling back to the numpy backend, which is slower."
        warnings.warn(message, RuntimeWarning, stacklevel=2)
        _settings.backend = "numpy"
    return _settings.backend


def set_backend(name: str) -> None:
    """Choose the backend.

    Parameters
    ----------
    name : {"numpy", "numba"}
        The backend.

    Raises
    ------
    ValueError
        If the backend does not exist, or Numba is not installed.

    Examples
    --------
    >>> set_backend(backend())
    """
    if name == "numba" and not _has_numba():
        raise ValueError("The numba backend requires numba to be installed. Received: 'numba'")
    _set("backend", name, BACKENDS)
    for forget in _on_backend_change:
        forget()


def num_threads() -> int:
    """Return the maximum number of threads of a call of `fit`, `evaluate` or `predict`.

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


def set_num_threads(n: int | Literal["auto"]) -> None:
    """Choose the maximum number of threads of `fit`, `evaluate` and `predict`, from the next call.

    With more than one, `fit` divides large products and updates of float32 models, if that is
    faster. `evaluate` and `predict` compute
    batches in parallel, unless a callback observes batches. Results are bit-identical for any
    number of threads: also in a forked process, and in a second `fit` at the same time, which uses
    one thread. The number of processors is not exceeded. Threads are faster only if processors are
    idle.

    Parameters
    ----------
    n : int or "auto"
        At least 1. ``"auto"``: the number of cores that this process may use, considering its CPU
        affinity and the quota of its container; 1 where only one thread is supported.

    Raises
    ------
    TypeError
        If it is not an integer.
    ValueError
        If it is less than 1; or more than 1 without Linux and the numba backend with compiled
        kernels.

    Examples
    --------
    >>> set_num_threads(1)
    """
    given: object = n
    if isinstance(given, str) and given == "auto":
        n = 1 if _only_one_thread() else _usable_cores()
    elif isinstance(given, bool | np.bool_) or not isinstance(given, numbers.Integral):
        kind = repr(given)[:60] if isinstance(given, str) else type(given).__name__
        raise TypeError(f'n must be an integer or "auto". Received: {kind}')
    assert not isinstance(n, str)
    if n < 1:
        raise ValueError(f"n must be at least 1. Received: {n!r}")
    if n > 1 and (reason := _only_one_thread()):
        raise ValueError(f"More than one thread requires {reason}. Received: {n!r}")
    _settings.num_threads = operator.index(n)


def _only_one_thread() -> str:
    """Return what is missing for more than one thread, if anything."""
    if sys.platform != "linux":
        return f"Linux, not {sys.platform}"
    if backend() != "numba":
        return f"the numba backend, not {backend()!r}"
    if not COMPILES:
        return "compiled kernels, so NUMBA_DISABLE_JIT must not be set"
    return ""


def _processors() -> int:
    """Return the number of processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _usable_cores(root: Path = Path("/")) -> int:
    """Return the number of processors, or less if this process may not use all of their time."""
    cores = _processors()
    with contextlib.suppress(OSError, ValueError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, controllers, group = line.split(":", 2)
            if controllers and "cpu" not in controllers.split(","):
                continue
            folder = root / "sys/fs/cgroup" / controllers
            # Within a container, the name of the group may be that outside.
            for name in (group, *map(str, Path(group).parents)):
                cores = min(cores, _quota(folder / name.strip("/")))
    return cores


def _quota(group: Path) -> int:
    """Return how many cores a control group grants in each period, at least 1."""
    with contextlib.suppress(OSError, ValueError):
        if (group / "cpu.max").exists():
            quota, period = (group / "cpu.max").read_text().split()
        else:
            names = "cpu.cfs_quota_us", "cpu.cfs_period_us"
            quota, period = ((group / name).read_text() for name in names)
        if int(quota) > 0:  # "max" or -1: no limit
            return max(int(quota) // int(period), 1)
    return sys.maxsize


def rules() -> dict[str, str]:
    """Return the names of the rules that `set_disabled_rules` takes, with a sentence each.

    Returns
    -------
    dict of str to str
        What makes programs of the numba backend faster. No rule changes a bit of any result.

    Examples
    --------
    >>> rules()["chain"]
    'Consecutive elementwise operations of the same shape are fused into one call.'
    """
    return {**_RULES}


def is_enabled(rule: str) -> bool:
    """Return whether a rule is enabled.

    Parameters
    ----------
    rule : str
        Name of the rule.

    Returns
    -------
    bool
        True unless `set_disabled_rules` disabled it.

    Examples
    --------
    >>> is_enabled("chain")
    True
    """
    return rule not in _settings.disabled_rules


def set_disabled_rules(names: Iterable[str]) -> None:
    """Disable some rules, and enable all others: to measure what they gain, or to find a defect.

    Programs are traced again. Results stay bit-identical.

    Parameters
    ----------
    names : iterable of str
        Names of rules, which `rules` lists.

    Raises
    ------
    ValueError
        If there is no such rule.

    Examples
    --------
    >>> set_disabled_rules(["chain", "csr"])
    >>> is_enabled("csr"), is_enabled("learn")
    (False, True)
    >>> set_disabled_rules([])
    """
    given = [names] if isinstance(names, str) else [*names]
    if isinstance(names, str) or not all(isinstance(n, str) and n in _RULES for n in given):
        known = ", ".join(_RULES)
        raise ValueError(f"names must be a list of these rules: {known}. Received: {names!r:.60}")
    _settings.disabled_rules = frozenset(given)
    for forget in _on_backend_change:
        forget()


def on_divergence() -> str:
    """Return the reaction of `fit` to a training loss that is infinite or not a number.

    Returns
    -------
    str
        ``"raise"``: stop with a FloatingPointError. ``"continue"``: continue, as Keras does.

    Examples
    --------
    >>> on_divergence()
    'raise'
    """
    return _settings.on_divergence


def set_on_divergence(action: str) -> None:
    """Choose the reaction of `fit` to a training loss that is infinite or not a number.

    Parameters
    ----------
    action : {"raise", "continue"}
        Stop with a FloatingPointError, or continue as Keras does.

    Raises
    ------
    ValueError
        If it is neither.

    Examples
    --------
    >>> set_on_divergence("raise")
    """
    _set("on_divergence", action, ("raise", "continue"))


def floatx() -> str:
    """Return the float type of new layers.

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
    """Choose the float type of new layers.

    Parameters
    ----------
    value : {"float32", "float64"}
        The type.

    Raises
    ------
    ValueError
        If it is another type.

    Examples
    --------
    >>> set_floatx("float32")
    """
    _set("floatx", value, FLOATS)


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
