"""Test the compile cache with the installed version of Numba: ``python tests/newest_numba.py``.

A new release may change internals that `tinynet.kernels.compiler` uses, after which kernels might
work but be compiled again in every process. Therefore, worker processes and this process compile
every kernel, and a process that must not import Numba loads them.
"""

from __future__ import annotations

import argparse
import importlib
import os
import subprocess
import sys
import tempfile

LOAD = """
import importlib, sys
from tinynet.kernels import compile_cache, object_code, row
for name in {modules}:
    importlib.import_module(name)
kernels = [*row.KERNELS.values()]
if {warm}:
    object_code.Loader._start_worker = object_code.Loader._compile = None
else:
    object_code.Loader._compile = None
assert all(object_code.addresses(kernels)), "no address"
missing = [kernel.name for kernel in kernels if compile_cache.read(kernel.name) is None]
assert not missing, f"not in the cache: {{missing}}"
assert "numba" not in sys.modules, "Numba was imported"
"""


def main() -> int:
    """Return 0 if all kernels are compiled, stored and loaded."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TINYNET_CACHE"] = folder
        os.environ["NUMBA_OPT"] = "0"  # as in worker processes
        import numba

        from tinynet.kernels import compile_cache, compiler, row

        sources = [
            path for path in compile_cache.SOURCES.glob("*.py") if "\n@kernel\n" in path.read_text()
        ]
        modules = [f"tinynet.kernels.{path.stem}" for path in sources]
        for name in modules:
            importlib.import_module(name)
        assert row.KERNELS, "no kernels"
        for warm in (False, True):
            program = LOAD.format(modules=modules, warm=warm)
            subprocess.run([sys.executable, "-c", program], check=True)
        symbols = {kernel.name: compiler.compile_kernel(kernel).symbols
                   for kernel in row.KERNELS.values()}  # fmt: skip
        for name, called in symbols.items():
            code = compile_cache.read(name)
            assert code is not None, f"not in the cache: {name}"
            assert code.symbols == called, f"{name} calls {code.symbols}, not {called}"
        print(f"Numba {numba.__version__}: {len(symbols)} kernels are compiled, cached and loaded")
    return 0


if __name__ == "__main__":
    sys.exit(main())
