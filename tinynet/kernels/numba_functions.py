"""What kernels are written with: helper functions, and instructions that Python has no words for.

Importing Numba takes longer than loading all machine code of a network, and Numba is needed only to
make that code. So no file of kernels imports it. Functions that are decorated here turn into
Numba's when Numba meets them, which is when it compiles a kernel that calls them; `types` and
`cgutils` are Numba's modules, imported when they are first used: inside of an intrinsic function.
"""

from __future__ import annotations

import importlib
import inspect
import platform
from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir

from tinynet.config import COMPILES, _numba_setting


def _features() -> str:
    """Return the features of the processor that code is compiled for."""
    if (given := _numba_setting("CPU_FEATURES")) or CPU.lower() == "generic":
        return given
    try:
        features = llvm.get_host_cpu_features()
    except RuntimeError:  # LLVM does not know them on every platform
        return ""
    if _numba_setting("ENABLE_AVX") == "0":
        features.update(dict.fromkeys((name for name in features if name.startswith("avx")), False))
    return str(features.flatten())


#: Name and features of the processor that code is compiled for: this one, or one to imitate.
CPU = _numba_setting("CPU_NAME") or llvm.get_host_cpu_name()
FEATURES = _features()


class Helper:
    """A function that kernels call. Numba gets it when it compiles the first of them.

    Parameters
    ----------
    function : callable
        Function.
    make : callable
        ``make(function, **options)`` returns the function as Numba knows it.
    **options
        Options for Numba, which itself looks for ``inline`` in `targetoptions`.
    """

    def __init__(self, function: Any, make: Callable[..., Any], **options: Any) -> None:
        self.py_func, self.targetoptions = function, options
        self._make, self._made = make, None

    def __call__(self, *arguments: Any) -> Any:
        """Call the function from Python, as what it is in Python."""
        return self.py_func(*arguments)

    @property
    def _numba_type_(self) -> Any:
        """The function's type; Numba asks everything for it that it does not know."""
        from numba.core.registry import cpu_target

        if self._made is None:
            self._made = self._make(self.py_func, **self.targetoptions)
            cpu_target.typing_context.refresh()
            cpu_target.target_context.refresh()
        return cpu_target.typing_context.resolve_value_type(self._made)


def _helper(**options: Any) -> Callable[[Any], Any]:
    """Return a decorator of functions that kernels call."""

    def make(function: Any, **options: Any) -> Any:
        numba: Any = importlib.import_module("numba")
        return numba.njit(**options)(function)

    return lambda f: Helper(f, make, **OPTIONS, **options) if COMPILES else f


#: Options of every function: it divides as NumPy does, Python does not call it, and it has no
#: expressions of arrays, which Numba would look for.
OPTIONS = {
    "error_model": "numpy", "nogil": True, "no_cpython_wrapper": True, "no_cfunc_wrapper": True,
    "no_rewrites": True,
}  # fmt: skip
#: A function of its own in the machine code, unless LLVM prefers otherwise.
inner = _helper()
#: A function that becomes part of its callers: for a few lines, or with types for arguments.
inlined = _helper(inline="always")


def intrinsic(function: Any) -> Any:
    """Make a function that writes LLVM's instructions, as ``numba.extending.intrinsic`` does."""
    return Helper(function, lambda f: importlib.import_module("numba.extending").intrinsic(f))


def emitted(result: str = "void") -> Callable[[Any], Any]:
    """Return a decorator that makes an intrinsic of a function that writes its instructions.

    That is called with LLVM's builder and the values: floats of 32 bits, and whole numbers of 64.

    Parameters
    ----------
    result : str
        Numba's name for the type of the result.
    """

    def decorate(function: Any) -> Any:
        def define(_: Any, *given: Any) -> Any:
            def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
                value = function(builder, *arguments)
                return context.get_dummy_value() if value is None else value

            kinds = [types.float32 if isinstance(t, types.Float) else types.int64 for t in given]
            return getattr(types, result)(*kinds), generate

        define.__name__, define.__doc__ = function.__name__, function.__doc__
        define.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
        return intrinsic(define)

    return decorate


class _Module:
    """A module that is imported when something of it is first needed."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module(self._name), name)


types: Any = _Module("numba.core.types")
cgutils: Any = _Module("numba.core.cgutils")
arrayobj: Any = _Module("numba.np.arrayobj")
#: The type of a pointer to anything.
BYTES = ir.IntType(8).as_pointer()


def external(module: Any, kind: Any, name: str) -> Any:
    """Return the function of a module with a name, or declare it."""
    return module.globals.get(name) or ir.Function(module, kind, name)


if not COMPILES or platform.machine() not in ("x86_64", "AMD64"):

    @inner
    def flush(on):
        """Do nothing."""
        return on

else:

    @intrinsic
    def flush(typing_context, on):
        """Take this thread's results that are denormal for 0, or no longer; return what it did."""

        def generate(context, builder, signature, arguments):
            word, flag = ir.IntType(32), ir.Constant(ir.IntType(32), 1 << 15)
            kind = ir.FunctionType(ir.VoidType(), [BYTES])
            room = builder.alloca(word)
            pointer = builder.bitcast(room, BYTES)
            builder.call(external(builder.module, kind, "llvm.x86.sse.stmxcsr"), [pointer])
            old = builder.load(room)
            others = builder.and_(old, builder.not_(flag))
            new = builder.select(arguments[0], builder.or_(old, flag), others)
            with builder.if_then(builder.icmp_unsigned("!=", old, new)):  # changing it is slow
                builder.store(new, room)
                builder.call(external(builder.module, kind, "llvm.x86.sse.ldmxcsr"), [pointer])
            return builder.icmp_unsigned("!=", builder.and_(old, flag), ir.Constant(word, 0))

        return types.boolean(types.boolean), generate
