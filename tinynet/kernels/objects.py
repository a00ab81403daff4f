"""Object code of kernels: made by Numba, loaded by LLVM alone."""

from __future__ import annotations

import re
from typing import Any

import llvmlite.binding as llvm

from tinynet.kernels.row import FIRST, Kernel

_engines: list[Any] = []


def address_of(kernel: Kernel) -> int:
    """Compile a kernel in memory and return its address."""
    name = "tinynet_" + kernel.name
    engine = _engine()
    engine.add_object_file(llvm.ObjectFileRef.from_data(object_code(kernel, name)))
    engine.finalize_object()
    return int(engine.get_function_address(name))


def _engine() -> Any:
    try:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
    except RuntimeError:  # newer versions do it themselves
        pass
    machine = llvm.Target.from_default_triple().create_target_machine(jit=True)
    _engines.append(llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine))
    return _engines[-1]


def object_code(kernel: Kernel, name: str) -> bytes:
    """Return object code with one function, ``void name(int64* row, int64 part, int64 parts)``.

    It calls what Numba made of the kernel and ignores the status: kernels raise nothing. All else
    becomes internal, so that LLVM removes what is not needed.
    """
    import numba
    from numba import types

    count = 2 + len(kernel.words)
    signature = types.void(*[types.int64] * count)
    compiled = numba.njit(signature, error_model="numpy", nogil=True)(kernel.function)
    (result,) = compiled.overloads.values()
    library, native = result.library, result.fndesc.llvm_func_name
    text = str(library._final_module)
    found = re.search(r"^define [^\n]*@(\"?" + re.escape(native) + r"\"?)\(", text, re.M)
    assert found is not None, native
    loads = "\n".join(
        f"  %p{k} = getelementptr i64, ptr %row, i64 {FIRST + k}\n  %w{k} = load i64, ptr %p{k}"
        for k in range(len(kernel.words))
    )
    given = ", ".join(["i64 %part", "i64 %parts", *(f"i64 %w{k}" for k in range(count - 2))])
    wrapper = f"""
define void @{name}(ptr %row, i64 %part, i64 %parts) {{
  %none = alloca ptr
  %error = alloca ptr
{loads}
  %status = call i32 @{found[1]}(ptr %none, ptr %error, {given})
  ret void
}}
"""
    module = llvm.parse_assembly(text + wrapper)
    module.verify()
    for function in module.functions:
        if not function.is_declaration and function.name != name:
            function.linkage = "internal"
    for value in module.global_variables:
        if not value.is_declaration and value.linkage.name != "appending":
            value.linkage = "internal"
    machine = library._codegen._tm
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    options.loop_vectorization = options.slp_vectorization = True
    passes = llvm.create_pass_builder(machine, options)
    passes.getModulePassManager().run(module, passes)
    return bytes(machine.emit_object(module))
