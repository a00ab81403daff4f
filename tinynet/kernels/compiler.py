"""Compiles kernels to object code with Numba and LLVM, in a worker process or in this process.

Numba translates a kernel and the functions that it calls to LLVM IR. The IR is optimized once, as a
whole, so that no code of Numba or Python remains; a worker process therefore disables Numba's own
optimization.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import re
import signal
import struct
import sys
from typing import Any

import llvmlite.binding as llvm

from tinynet.kernels import compile_cache
from tinynet.kernels.compile_cache import Object
from tinynet.kernels.kernel_function import FIRST, KERNELS, KernelFunction
from tinynet.kernels.numba_functions import CPU, FEATURES, OPTIONS

# External functions that machine code may call: C functions for memory, time and yielding.
ALLOWED = {"memcpy", "memmove", "memset", "bzero", "__bzero"}
# Fallbacks for instructions that old processors lack.
ALLOWED |= {"ceilf", "floor", "floorf", "fma", "fmaf", "roundevenf"}
ALLOWED |= {"clock_gettime", "sched_getcpu", "sched_yield", "usleep"}
# Numba's reference counting of arrays; it can be removed, because kernels' arrays own no memory.
_COUNTING = r"^define [^\n]*@NRT_(?:in|de)cref\(.*?^}\n"
# A Python object, by its address in this process; external, so that any use is an undefined symbol.
_ADDRESS = r'^(@"?numba\.dynamic\.globals[^ ]*) = .*$'
_NO_COUNTING = """
define internal void @NRT_incref(ptr %x) alwaysinline { ret void }
define internal void @NRT_decref(ptr %x) alwaysinline { ret void }
"""


def compile_kernel(kernel: KernelFunction) -> Object:
    """Return object code with one function, ``void symbol(int64* row, int64 part, int64 parts)``.

    Raise an error if it calls functions that are not in `ALLOWED`, such as those of Python or for
    memory allocation.
    """
    module = _module(kernel)
    target = llvm.Target.from_triple(llvm.get_process_triple())
    static = "static" if target.name.startswith("x86") else "default"
    machine = target.create_target_machine(
        cpu=CPU, features=FEATURES, opt=3, reloc=static, codemodel="jitdefault", jit=True
    )
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    options.loop_vectorization = options.slp_vectorization = True
    passes = llvm.create_pass_builder(machine, options)
    passes.getModulePassManager().run(module, passes)
    data = bytes(machine.emit_object(module))
    if data[:6] == b"\x7fELF\x02\x01":
        symbols = _undefined(data)
    else:
        names = (f.name for f in module.functions if f.is_declaration)
        symbols = sorted(name for name in names if not name.startswith("llvm."))
    if wrong := set(symbols) - ALLOWED:
        raise RuntimeError(f"The kernel {kernel.name} must not call {', '.join(sorted(wrong))}")
    return Object(tuple(symbols), data)


def _module(kernel: KernelFunction) -> Any:
    """Return the LLVM module of a kernel, with a function that reads the words of its row.

    This function calls the one compiled by Numba and ignores its status, as kernels raise no
    exceptions. All other functions become internal, so that LLVM removes what is unused.
    """
    numba: Any = importlib.import_module("numba")

    try:
        os.getcwd()
    except OSError:  # the working directory was deleted; Numba reads it for its error messages
        numba.core.ir.Loc._get_path = lambda location: location.filename
    words = range(len(kernel.words))
    signature = numba.void(*[numba.int64] * (2 + len(words)))
    options = OPTIONS | {"boundscheck": False, "debug": False}
    (result,) = numba.njit(signature, **options)(kernel.function).overloads.values()
    text = str(result.library._final_module)
    native = re.escape(result.fndesc.llvm_func_name)
    found = re.search(rf'^define [^\n]*@("?{native}"?)\(', text, re.M)
    if found is None:
        raise RuntimeError(f"Numba did not compile a function for the kernel {kernel.name}")
    loads = "\n".join(
        f"  %p{k} = getelementptr i64, ptr %row, i64 {FIRST + k}\n  %w{k} = load i64, ptr %p{k}"
        for k in words
    )
    given = ", ".join(["i64 %part", "i64 %parts", *(f"i64 %w{k}" for k in words)])
    text = re.sub(_COUNTING, "", text, flags=re.M | re.S)
    text = re.sub(_ADDRESS, r"\1 = external global ptr", text, flags=re.M)
    text += f"""
define void @{kernel.symbol}(ptr %row, i64 %part, i64 %parts) {{
  %none = alloca ptr
  %error = alloca ptr
{loads}
  %status = call i32 @{found[1]}(ptr %none, ptr %error, {given})
  ret void
}}
"""
    module = llvm.parse_assembly(text + (_NO_COUNTING if "@NRT_" in text else ""))
    module.verify()
    for value in (*module.functions, *module.global_variables):
        own = not value.is_declaration and value.linkage.name != "appending"
        if own and value.name != kernel.symbol:
            value.linkage = "internal"
    return module


def _undefined(data: bytes) -> list[str]:
    """Return the undefined symbols of an ELF object file."""
    place, size, count = struct.unpack_from("<40xQ10xHH", data)
    sections = [struct.unpack_from("<4xI16xQQI", data, place + i * size) for i in range(count)]
    names = []
    for kind, start, length, link in sections:
        if kind != 2:  # not a symbol table
            continue
        text = sections[link][1]
        for at in range(start + 24, start + length, 24):  # the first entry is empty
            name, section = struct.unpack_from("<I2xH", data, at)
            if section == 0:
                names.append(data[text + name : data.index(b"\0", text + name)].decode())
    return sorted(names)


def work() -> None:
    """Compile the kernels named on lines of standard input; write their object code for `_ask`.

    Output that Numba prints is redirected to standard error.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent process handles it
    gc.disable()  # Numba allocates many objects, few of them garbage
    with os.fdopen(os.dup(1), "wb") as out:
        os.dup2(2, 1)
        for line in sys.stdin:
            key, module, name = line.split()
            if key != compile_cache.key():
                return  # the sources changed after the parent imported them
            importlib.import_module(module)
            symbols, data = compile_kernel(KERNELS[name])
            head = json.dumps([name, len(data), *symbols]).encode()
            out.write(head + b"\n" + data)
            out.flush()
