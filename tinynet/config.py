"""Global settings: backend, threads, rewrite rules, float type, epsilon, action on divergence.

The default backend ``"numba"`` runs the compiled kernels in `kernels`. The backend ``"numpy"`` is
for reading and debugging: it calls the functions in `functional`.
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
#: If True, every buffer is filled with NaN or extreme integers before use, to detect reads of
#: uninitialized memory. Set by the environment variable TINYNET_DEBUG_BUFFERS at import.
DEBUG_BUFFERS = os.environ.get("TINYNET_DEBUG_BUFFERS") == "1"

#: Rewrite rules that make programs of the numba backend faster, with bit-identical results.
_RULES = {
    "linear_relu": "A linear operation and the relu of its result are fused.",
    "chain": "Consecutive elementwise operations of the same shape are fused into one call.",
    "update": "The optimizer's update of a variable is fused into one operation.",
    "learn": "A kernel is updated block by block, while the block's gradient is in the cache.",
    "gate": "The derivative of relu is fused into the product that computes its upstream gradient.",
    "join": "Small Variables that are contiguous in memory are updated by one call.",
    "reuse": "Results overwrite buffers whose values are no longer needed.",
    "learn_csr_adam": "For CSR inputs, Adam applies kernel gradients directly from registers.",
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
    """Return a setting of Numba, or its environment variable if Numba is not imported yet."""
    numba = sys.modules.get("numba.core.config")
    value = os.environ.get(f"NUMBA_{name}") if numba is None else getattr(numba, name, None)
    return "" if value is None else str(value)


#: Whether kernels are compiled; otherwise they run as plain Python.
COMPILES = _numba_setting("DISABLE_JIT") in ("", "0")
#: Functions that return True if Numba has worked before, for example, because the compile cache
#: contains object code.
_proofs: list[Callable[[], bool]] = []
_has_worked = False  # whether Numba worked, in this process or when it filled the compile cache


def _has_numba() -> bool:
    """Return whether Numba works, without importing it if it has worked before."""
    global _has_worked
    if not _has_worked:
        try:
            if not any(proof() for proof in _proofs):
                import numba  # noqa: F401  # only checks that it can be imported
        except ImportError:
            return False
        _has_worked = True
    return True


def _set(setting: str, name: str, value: object, choices: tuple[str, ...]) -> None:
    """Validate and store the value of a setting; `name` is the name of the argument."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} must be one of {choices}. Received: {name}={value!r:.60}")
    setattr(_settings, setting, value)


def backend() -> str:
    """Return the name of the current backend.

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
        message = "numba cannot be imported; falling back to the numpy backend, which is slower."
        warnings.warn(message, RuntimeWarning, stacklevel=2)
        _settings.backend = "numpy"
    return _settings.backend


def set_backend(name: str) -> None:
    """Set the backend.

    Parameters
    ----------
    name : {"numpy", "numba"}
        Name of the backend.

    Raises
    ------
    ValueError
        If the backend does not exist, or Numba is not installed.

    Examples
    --------
    >>> set_backend(backend())
    """
    if name == "numba" and not _has_numba():
        raise ValueError(
            'name must be "numpy" because numba is not installed; run pip install numba. '
            f"Received: name={name!r}"
        )
    _set("backend", "name", name, BACKENDS)
    for callback in _on_backend_change:
        callback()


def num_threads() -> int:
    """Return the maximum number of threads that `fit`, `evaluate` and `predict` may use.

    Returns
    -------
    int
        Number of threads, by default 1.

    Examples
    --------
    >>> num_threads()
    1
    """
    return _settings.num_threads


def set_num_threads(n: int | Literal["auto"]) -> None:
    """Set the maximum number of threads that `fit`, `evaluate` and `predict` may use.

    With more than one thread, `fit` divides large matrix products and updates of float32 models if
    this is faster. `evaluate` and `predict` compute batches in parallel, unless a callback observes
    batches. Results are bit-identical for any number of threads. A forked process, and a second
    `fit` that runs at the same time, use one thread. The number of threads is limited to the number
    of processors.

    Parameters
    ----------
    n : int or "auto"
        Number of threads, at least 1. ``"auto"`` is the number of cores that this process may use,
        considering its CPU affinity and the quota of its container, or 1 on systems that support
        only one thread.

    Raises
    ------
    TypeError
        If `n` is not an integer.
    ValueError
        If `n` is less than 1; or if `n` is greater than 1 and the system is not Linux, or the
        backend is not numba with compiled kernels.

    Examples
    --------
    >>> set_num_threads(1)
    """
    given: object = n
    if isinstance(given, str) and given == "auto":
        n = 1 if _only_one_thread() else _usable_cores()
    elif isinstance(given, bool | np.bool_) or not isinstance(given, numbers.Integral):
        kind = f"={given!r:.60}" if isinstance(given, str) else f" of type {type(given).__name__}"
        raise TypeError(f'n must be a positive integer or "auto". Received: n{kind}')
    assert not isinstance(n, str)
    if n < 1:
        raise ValueError(f'n must be a positive integer or "auto". Received: n={n!r}')
    if n > 1 and (reason := _only_one_thread()):
        raise ValueError(
            f"n must be 1, because multithreading requires {reason}. Received: n={n!r}"
        )
    _settings.num_threads = operator.index(n)


def _only_one_thread() -> str:
    """Return the missing requirement for more than one thread, or an empty string."""
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
    """Return the number of processors, limited by the CPU quota of the process."""
    cores = _processors()
    with contextlib.suppress(OSError, ValueError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, controllers, group = line.split(":", 2)
            if controllers and "cpu" not in controllers.split(","):
                continue
            folder = root / "sys/fs/cgroup" / controllers
            # In a container, the path of the group may be the path on the host.
            for name in (group, *map(str, Path(group).parents)):
                cores = min(cores, _quota(folder / name.strip("/")))
    return cores


def _quota(group: Path) -> int:
    """Return the CPU quota of a control group in cores, at least 1."""
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
    """Return the rewrite rules of the numba backend, which do not change results.

    Returns
    -------
    dict of str to str
        Description of each rule by its name, which `set_disabled_rules` accepts.

    Examples
    --------
    >>> rules()["chain"]
    'Consecutive elementwise operations of the same shape are fused into one call.'
    """
    return {**_RULES}


def is_enabled(rule: str) -> bool:
    """Return whether a rewrite rule is enabled.

    Parameters
    ----------
    rule : str
        Name of the rule.

    Returns
    -------
    bool
        True unless `set_disabled_rules` disabled the rule.

    Examples
    --------
    >>> is_enabled("chain")
    True
    """
    return rule not in _settings.disabled_rules


def set_disabled_rules(names: Iterable[str]) -> None:
    """Disable rewrite rules and enable all others, to measure their effect or to find a bug.

    Programs are traced again. Results are bit-identical.

    Parameters
    ----------
    names : iterable of str
        Names of the rules to disable, out of those returned by `rules`.

    Raises
    ------
    ValueError
        If a rule does not exist.

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
        raise ValueError(
            f"names must be a list of these rules: {known}. Received: names={names!r:.60}"
        )
    _settings.disabled_rules = frozenset(given)
    for callback in _on_backend_change:
        callback()


def on_divergence() -> str:
    """Return the action if a training loss or a weight becomes infinite or NaN.

    Returns
    -------
    str
        ``"raise"`` for a FloatingPointError, or ``"continue"`` to continue training as Keras does.

    Examples
    --------
    >>> on_divergence()
    'raise'
    """
    return _settings.on_divergence


def set_on_divergence(action: str) -> None:
    """Set the action of `fit` and `train_on_batch` if a loss or a weight becomes infinite or NaN.

    Parameters
    ----------
    action : {"raise", "continue"}
        Raise a FloatingPointError, or continue training as Keras does.

    Raises
    ------
    ValueError
        If `action` is not one of these values.

    Examples
    --------
    >>> set_on_divergence("raise")
    """
    _set("on_divergence", "action", action, ("raise", "continue"))


def floatx() -> str:
    """Return the default float type of new layers.

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
    """Use another default float type within a ``with`` block, in the current thread only.

    Parameters
    ----------
    value : {"float32", "float64"}
        Float type.

    Yields
    ------
    None
        The ``with`` block, in which `floatx` returns this type.

    Raises
    ------
    ValueError
        If `value` is not a supported float type.

    Examples
    --------
    >>> with floatx_scope("float64"):
    ...     floatx()
    'float64'
    """
    if not isinstance(value, str) or value not in FLOATS:
        raise ValueError(f"value must be one of {FLOATS}. Received: value={value!r:.60}")
    token = _floatx_scope.set(value)
    try:
        yield
    finally:
        _floatx_scope.reset(token)


def set_floatx(value: str) -> None:
    """Set the default float type of new layers.

    Parameters
    ----------
    value : {"float32", "float64"}
        Float type.

    Raises
    ------
    ValueError
        If `value` is not a supported float type.

    Examples
    --------
    >>> set_floatx("float32")
    """
    _set("floatx", "value", value, FLOATS)


def epsilon() -> float:
    """Return the fuzz factor that keeps logarithms and divisions finite.

    Returns
    -------
    float
        Fuzz factor, by default 1e-7.

    Examples
    --------
    >>> epsilon()
    1e-07
    """
    return _settings.epsilon


def set_epsilon(value: float) -> None:
    """Set the fuzz factor that keeps logarithms and divisions finite.

    Parameters
    ----------
    value : float
        Fuzz factor, positive and finite.

    Raises
    ------
    TypeError
        If `value` is not a number.
    ValueError
        If `value` is not positive and finite.

    Examples
    --------
    >>> set_epsilon(1e-7)
    """
    given: object = value
    if isinstance(given, bool | np.bool_) or not isinstance(given, numbers.Real):
        raise TypeError(f"value must be a number. Received: value={value!r:.60}")
    if not 0 < value < np.inf:
        raise ValueError(f"value must be positive and finite. Received: value={value!r:.60}")
    _settings.epsilon = float(value)
