"""Decorators for kernels' inner functions, and for intrinsics that emit LLVM instructions.

Importing Numba takes longer than loading all machine code of a network, and Numba is needed only to
compile that code. Therefore, none of the kernel modules imports Numba. Decorated functions become
Numba functions when Numba compiles a kernel that calls them. `types`, `cgutils` and `arrayobj` are
Numba's modules, imported on first use in an intrinsic.
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
    """Return the features of the target processor."""
    if (given := _numba_setting("CPU_FEATURES")) or CPU.lower() == "generic":
        return given
    try:
        features = llvm.get_host_cpu_features()
    except RuntimeError:  # not supported on every platform
        return ""
    if _numba_setting("ENABLE_AVX") == "0":
        features.update(dict.fromkeys((name for name in features if name.startswith("avx")), False))
    return str(features.flatten())


#: Name and features of the target processor: this one, unless Numba's settings name another one.
CPU = _numba_setting("CPU_NAME") or llvm.get_host_cpu_name()
FEATURES = _features()


class Helper:
    """A function that kernels call, converted to a Numba function when one of them is compiled.

    ``make(function, **options)`` returns the Numba function. Numba itself reads the option
    ``inline`` from `targetoptions`.
    """

    def __init__(self, function: Any, make: Callable[..., Any], **options: Any) -> None:
        self.py_func, self.targetoptions = function, options
        self._make, self._made = make, None

    def __call__(self, *arguments: Any) -> Any:
        """Call the Python function."""
        return self.py_func(*arguments)

    @property
    def _numba_type_(self) -> Any:
        """Numba type of the function; Numba reads this attribute of objects of unknown type."""
        from numba.core.registry import cpu_target

        if self._made is None:
            self._made = self._make(self.py_func, **self.targetoptions)
            cpu_target.typing_context.refresh()
            cpu_target.target_context.refresh()
        return cpu_target.typing_context.resolve_value_type(self._made)


def _helper(**options: Any) -> Callable[[Any], Any]:
    """Return a decorator for functions that kernels call."""

    def make(function: Any, **options: Any) -> Any:
        numba: Any = importlib.import_module("numba")
        return numba.njit(**options)(function)

    return lambda f: Helper(f, make, **OPTIONS, **options) if COMPILES else f


#: Options of every function: NumPy's division semantics, no wrappers for calls from Python, and no
#: search for array expressions, which kernels do not contain.
OPTIONS = {
    "error_model": "numpy", "nogil": True, "no_cpython_wrapper": True, "no_cfunc_wrapper": True,
    "no_rewrites": True,
}  # fmt: skip
#: Decorator for a separate function in the machine code, unless LLVM decides to inline it.
inner = _helper()
#: Decorator for a function that is always inlined: for a few lines, or with types as arguments.
inlined = _helper(inline="always")


def intrinsic(function: Any) -> Any:
    """Decorate a function that emits LLVM instructions, as ``numba.extending.intrinsic`` does."""
    return Helper(function, lambda f: importlib.import_module("numba.extending").intrinsic(f))


def emitted(result: str = "void") -> Callable[[Any], Any]:
    """Return a decorator that turns a function that emits instructions into an intrinsic.

    The function is called with LLVM's IR builder and the values: float32, or int64 for integers.
    `result` is Numba's name for the type of the result.
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
    """A module that is imported on first use."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module(self._name), name)


types: Any = _Module("numba.core.types")
cgutils: Any = _Module("numba.core.cgutils")
arrayobj: Any = _Module("numba.np.arrayobj")
#: Type of an untyped pointer.
BYTES = ir.IntType(8).as_pointer()


def external(module: Any, kind: Any, name: str) -> Any:
    """Return a module's function with this name; declare it if necessary."""
    return module.globals.get(name) or ir.Function(module, kind, name)


if not COMPILES or platform.machine() not in ("x86_64", "AMD64"):

    @inner
    def flush(on):
        """Do nothing; return the argument."""
        return on

else:

    @intrinsic
    def flush(typing_context, on):
        """Set this thread's flush-to-zero mode for denormal results; return the previous mode."""

        def generate(context, builder, signature, arguments):
            # Bit 15 of the register MXCSR is the flush-to-zero mode; it belongs to the thread.
            word, flag = ir.IntType(32), ir.Constant(ir.IntType(32), 1 << 15)
            kind = ir.FunctionType(ir.VoidType(), [BYTES])
            room = builder.alloca(word)
            pointer = builder.bitcast(room, BYTES)
            builder.call(external(builder.module, kind, "llvm.x86.sse.stmxcsr"), [pointer])
            old = builder.load(room)
            others = builder.and_(old, builder.not_(flag))
            new = builder.select(arguments[0], builder.or_(old, flag), others)
            with builder.if_then(builder.icmp_unsigned("!=", old, new)):  # writing it is slow
                builder.store(new, room)
                builder.call(external(builder.module, kind, "llvm.x86.sse.ldmxcsr"), [pointer])
            return builder.icmp_unsigned("!=", builder.and_(old, flag), ir.Constant(word, 0))

        return types.boolean(types.boolean), generate
