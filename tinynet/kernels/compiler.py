"""Object code of kernels, made by Numba and LLVM: by a worker process, or in this one.

Numba translates a kernel, and the functions that it calls, to LLVM's language. They are optimized
once, together, so that nothing of Numba or Python is left: a worker process tells Numba not to
optimize anything itself.
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

# What machine code may call: the C library's functions for memory, and for the pauses of threads.
ALLOWED = {"memcpy", "memmove", "memset", "bzero", "__bzero"}
# Of instructions that old processors lack.
ALLOWED |= {"ceilf", "floor", "floorf", "fma", "fmaf", "roundevenf"}
ALLOWED |= {"clock_gettime", "sched_getcpu", "sched_yield", "usleep"}
# Numba counts references to arrays. Kernels' arrays own nothing, so that there is nothing to count.
_COUNTING = r"^define [^\n]*@NRT_(?:in|de)cref\(.*?^}\n"
# An object of Python's, by its address in this process. Without it, it is found if it is used.
_ADDRESS = r'^(@"?numba\.dynamic\.globals[^ ]*) = .*$'
_NO_COUNTING = """
define internal void @NRT_incref(ptr %x) alwaysinline { ret void }
define internal void @NRT_decref(ptr %x) alwaysinline { ret void }
"""


def compile_kernel(kernel: KernelFunction) -> Object:
    """Return object code with one function, ``void symbol(int64* row, int64 part, int64 parts)``.

    Raises
    ------
    RuntimeError
        If a kernel calls what it may not, such as Python or a function that allocates memory.
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
    """Return LLVM's module with a kernel, which reads the words of its row.

    Its function calls what Numba made of the kernel and ignores the status, as kernels raise
    nothing. All else becomes internal, so that LLVM removes what is not needed.
    """
    numba: Any = importlib.import_module("numba")

    try:
        os.getcwd()
    except OSError:  # it was deleted, and Numba would use it to shorten paths in messages
        numba.core.ir.Loc._get_path = lambda location: location.filename
    words = range(len(kernel.words))
    signature = numba.void(*[numba.int64] * (2 + len(words)))
    options = OPTIONS | {"boundscheck": False, "debug": False}
    (result,) = numba.njit(signature, **options)(kernel.function).overloads.values()
    text = str(result.library._final_module)
    native = re.escape(result.fndesc.llvm_func_name)
    found = re.search(rf'^define [^\n]*@("?{native}"?)\(', text, re.M)
    if found is None:
        raise RuntimeError(f"Numba made no function of the kernel {kernel.name}")
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
    """Return the names in the symbol table of an ELF file that the file does not define."""
    place, size, count = struct.unpack_from("<40xQ10xHH", data)
    sections = [struct.unpack_from("<4xI16xQQI", data, place + i * size) for i in range(count)]
    names = []
    for kind, start, length, link in sections:
        if kind != 2:  # not a symbol table
            continue
        text = sections[link][1]
        for at in range(start + 24, start + length, 24):  # the first is empty
            name, section = struct.unpack_from("<I2xH", data, at)
            if section == 0:
                names.append(data[text + name : data.index(b"\0", text + name)].decode())
    return sorted(names)


def work() -> None:
    """Compile what is named in each line of standard input; write object code for `_ask`.

    What Numba may print goes to standard error.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that waits for the code decides
    gc.disable()  # Numba makes many objects, few of them garbage
    with os.fdopen(os.dup(1), "wb") as out:
        os.dup2(2, 1)
        for line in sys.stdin:
            key, module, name = line.split()
            if key != compile_cache.key():
                return  # the sources were changed after that process had imported them
            importlib.import_module(module)
            symbols, data = compile_kernel(KERNELS[name])
            head = json.dumps([name, len(data), *symbols]).encode()
            out.write(head + b"\n" + data)
            out.flush()
