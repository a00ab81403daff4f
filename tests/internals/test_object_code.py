"""Compile cache: safe storage, loading without Numba, and compilation by worker processes."""

from __future__ import annotations

import _thread
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import llvmlite
import numpy as np
import pytest

numba = pytest.importorskip("numba")

import tinynet  # noqa: E402  # after importorskip: requires Numba
from tests import HUNG  # noqa: E402
from tinynet import config  # noqa: E402
from tinynet._core import keyboard_interrupt  # noqa: E402
from tinynet.kernels import (  # noqa: E402
    compile_cache,
    compiler,
    numba_functions,
    object_code,
    random_numbers,
    row,
    runner,
)
from tinynet.kernels.matrix_product import product, take_rows  # noqa: E402
from tinynet.kernels.object_code import Loader  # noqa: E402
from tinynet.kernels.step_results import count_rows, pick, spread  # noqa: E402

if not numba_functions.COMPILES:
    pytest.skip("NUMBA_DISABLE_JIT is set", allow_module_level=True)

ROOT = Path(tinynet.__file__).parents[1]
Code = compile_cache.Object
Patch = pytest.MonkeyPatch
posix = pytest.mark.skipif(os.name != "posix", reason="file owners and permissions require POSIX")
# A program with a small and a large kernel. It prints a result, whether the kernels were cached,
# and whether Numba was imported.
PROGRAM = """
import sys
import numpy as np
from tinynet.kernels import compile_cache, matrix_product, step_results, object_code
kernels = [step_results.spread, matrix_product.product]
found = [compile_cache.read(kernel.name) is not None for kernel in kernels]
assert all(object_code.addresses(kernels))
x, y = np.arange(1, 2, dtype=np.float32), np.zeros(16, np.float32)
words = dict.fromkeys(step_results.spread.words, 0)
words |= {"source": x.ctypes.data, "out": y.ctypes.data}
step_results.spread(step_results.spread.row(**words))
print(y.sum(), found, "numba" in sys.modules)
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: Patch) -> Iterator[Path]:
    """Set a separate cache folder, which does not exist yet, for each test."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("TINYNET_CACHE", str(folder))
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    compile_cache.key.cache_clear()
    yield folder
    compile_cache.key.cache_clear()


@pytest.fixture(scope="module")
def code() -> Code:
    """Return the object code of the kernel `spread`."""
    return compiler.compile_kernel(spread)


@pytest.fixture
def loader() -> Iterator[Loader]:
    """Return a loader as in a new process, without loaded kernels."""
    loader = Loader()
    yield loader
    loader.kill()


@pytest.fixture
def alone(monkeypatch: Patch) -> None:
    """Let this process, which has imported Numba, compile instead of workers."""
    monkeypatch.setattr(sys, "executable", "")


def run(program: str = PROGRAM, *flags: str, **environment: str) -> subprocess.Popen[str]:
    """Start a Python process that runs a program."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", *flags, "-c", program],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def output(process: subprocess.Popen[str]) -> str:
    """Return the output of a process, and assert that it prints no errors."""
    out, errors = process.communicate(timeout=HUNG)
    assert (errors, process.returncode) == ("", 0)
    return out


def execute(address: int, *words: int) -> None:
    """Execute a row of the kernel at an address."""
    table = np.zeros(row.WORDS, np.int64)
    table[row.FIRST : row.FIRST + len(words)] = words
    row._PROTOTYPE(address)(table.ctypes.data, 0, 1)


def assert_spreads(address: int) -> None:
    """Assert that the kernel `spread` is at an address."""
    x, y = np.full(1, 3, np.float32), np.zeros(16, np.float32)
    given = {"source": x.ctypes.data, "out": y.ctypes.data}
    execute(address, *(given.get(word, 0) for word in spread.words))
    assert y.sum() == 48


def kept(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.glob("kernels/*/*"))


def stored(cache: Path) -> Path:
    """Return the file of the kernel `spread`."""
    (path,) = cache.glob("kernels/*/spread")
    return path


# ------------------------------------------------------------ caching


def test_fresh_process_loads_without_numba(cache: Path) -> None:
    assert output(run()) == "16.0 [False, False] False\n"
    assert kept(cache) == ["product", "spread"]
    assert output(run()) == "16.0 [True, True] False\n"


def test_loaded_code_is_bit_identical(loader: Loader) -> None:
    """Compare code from a worker, from this process, and from a file."""
    own = compiler.compile_kernel(take_rows)
    from_worker = loader.load([take_rows])
    written = compile_cache.read(take_rows.name)
    assert written is not None
    assert written.symbols == own.symbols
    assert Loader().load([take_rows])[0] not in (0, *from_worker)
    assert written == compile_cache.read(take_rows.name)


def test_kernels_share_one_llvm_engine(loader: Loader) -> None:
    for kernel in (spread, pick):
        compile_cache.write(kernel.name, compiler.compile_kernel(kernel))
    first, second, third = loader.load([spread, pick, spread])
    assert first == third != second
    assert_spreads(first)
    assert len(loader.engines) == 1
    assert loader.load([spread, pick]) == [first, second]
    assert not loader.workers


def test_concurrent_processes_do_not_collide(cache: Path) -> None:
    for process in [run(), run()]:
        assert output(process).startswith("16.0")
    assert kept(cache) == ["product", "spread"]  # and no incomplete files


def test_cache_key_covers_numba_and_sources() -> None:
    assert numba.__version__.encode() in compile_cache._numba()
    assert {path.name for path in compile_cache.SOURCES.glob("*.py")} >= {"row.py", "compiler.py"}


@pytest.mark.parametrize("variable", ["NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES", "NUMBA_ENABLE_AVX"])
def test_emulated_processor_is_the_target(variable: str) -> None:
    value = {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx2,-avx512f"}.get(variable, "0")
    program = "from tinynet.kernels import compile_cache as c; print(c.CPU, c.FEATURES, c.key())"
    cpu, features, key = output(run(program, **{variable: value})).split()
    assert key != compile_cache.key()
    assert (cpu == value) is (variable == "NUMBA_CPU_NAME")
    assert (features == value) is (variable == "NUMBA_CPU_FEATURES")
    assert "+avx512f" not in features or variable == "NUMBA_CPU_NAME"


def test_stale_folders_are_removed(cache: Path, code: Code) -> None:
    for name, days in (("forgotten", 91), ("recent", 89), ("shared", 91)):
        folder = cache / "kernels" / name
        folder.mkdir(parents=True, mode=0o755)
        (folder / "file").touch()
        os.utime(folder, (time.time() - days * 24 * 3600,) * 2)
    (cache / "kernels" / "shared").chmod(0o777)
    compile_cache.write("spread", code)
    expected = {stored(cache).parent.name, "recent"} | ({"shared"} if os.name == "posix" else set())
    assert set(os.listdir(cache / "kernels")) == expected


def test_numba_cache_dir_is_respected(tmp_path: Path, code: Code, monkeypatch: Patch) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "numba"))
    compile_cache.write("spread", code)
    assert kept(tmp_path / "numba" / "tinynet") == ["spread"]


# ------------------------------------------------------------ untrusted files


def truncate(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])


def remove(path: Path) -> None:
    path.unlink()
    path.parent.rmdir()


def link_folder(path: Path) -> None:
    path.parent.symlink_to(path.parent.rename(path.parents[2] / "elsewhere"))


def replace_folder(path: Path) -> None:
    remove(path)
    path.parent.touch(mode=0o600)


def other_key(patch: Patch, where: Any, name: str, value: Any) -> None:
    patch.setattr(where, name, value)
    compile_cache.key.cache_clear()


def other_owner(patch: Patch, *kinds: str) -> None:
    """Pretend that files, folders or both belong to another user."""
    is_own = compile_cache._is_own

    def owned(status: os.stat_result) -> bool:
        kind = "folder" if status.st_mode & 0o040000 else "file"
        return is_own(status) and kind not in kinds

    patch.setattr(compile_cache, "_is_own", owned)


def other_user(patch: Patch) -> None:
    owner = os.getuid()
    patch.setattr(os, "getuid", lambda: owner + 1)


# Modifications after which a cached file must not be loaded; in UNSAFE folders, no file must be
# written either.
Damage = Callable[[Path, Patch], Any]
DAMAGED: dict[str, Damage] = {
    **{
        f"{size} bytes": lambda path, patch, size=size: truncate(path, size)
        for size in (0, 1, 31, 32, 33, 300, -1)
    },
    "removed": lambda path, patch: remove(path),
}
CHANGED: dict[str, Damage] = {
    f"another {name}": lambda path, patch, given=(where, name, value): other_key(patch, *given)
    for where, name, value in [
        *((sys, "version", "3.99"), (np, "__version__", "9.9"), (llvmlite, "__version__", "9.9")),
        *((compile_cache, "_numba", lambda: b"9.9"), (compile_cache, "_sources", b"changed")),
        *((compile_cache, "CPU", "haswell"), (compile_cache, "FEATURES", "+avx2")),
        (config, "DEBUG_BUFFERS", not config.DEBUG_BUFFERS),
    ]
}
OF_OTHERS: dict[str, Damage] = {
    "a file writable by its group": lambda path, patch: path.chmod(0o620),
    "a file of another user": lambda path, patch: other_owner(patch, "file"),
    "a folder of another user": lambda path, patch: other_owner(patch, "folder"),
    "both of another user": lambda path, patch: other_owner(patch, "file", "folder"),
    "another user": lambda path, patch: other_user(patch),
}
UNSAFE: dict[str, Damage] = {
    **{
        f"a folder of mode {mode:o}": lambda path, patch, mode=mode: path.parent.chmod(mode)
        for mode in (0o770, 0o702, 0o777)
    },
    "a link to a folder": lambda path, patch: link_folder(path),
    "a file instead of a folder": lambda path, patch: replace_folder(path),
}


@pytest.mark.parametrize(
    "name", [*DAMAGED, *CHANGED, *(pytest.param(n, marks=posix) for n in (OF_OTHERS | UNSAFE))]
)
def test_untrusted_files_not_loaded(cache: Path, code: Code, monkeypatch: Patch, name: str) -> None:
    compile_cache.write("spread", code)
    assert compile_cache.read("spread") == code
    (DAMAGED | CHANGED | OF_OTHERS | UNSAFE)[name](stored(cache), monkeypatch)
    assert compile_cache.read("spread") is None
    if name in DAMAGED:
        compile_cache.write("spread", code)
        assert compile_cache.read("spread") == code
    if name in UNSAFE:
        assert not compile_cache.is_writable()


def test_flipped_bits_are_never_loaded(cache: Path, code: Code, rng: np.random.Generator) -> None:
    compile_cache.write("spread", code)
    path = stored(cache)
    whole = bytearray(path.read_bytes())
    for offset in [*range(64), *rng.integers(64, len(whole), 200), len(whole) - 1]:
        bit = 1 << int(rng.integers(8))
        whole[offset] ^= bit
        path.write_bytes(whole)
        assert compile_cache.read("spread") is None, offset
        whole[offset] ^= bit
    path.write_bytes(whole)
    assert compile_cache.read("spread") == code


def test_renamed_or_moved_files_not_loaded(cache: Path, code: Code, monkeypatch: Patch) -> None:
    compile_cache.write("spread", code)
    path = stored(cache)
    path.with_name("pick").write_bytes(path.read_bytes())
    assert compile_cache.read("pick") is None
    other_key(monkeypatch, compile_cache, "_sources", b"changed")
    compile_cache.write("spread", code._replace(data=b"other"))
    path.replace(cache / "kernels" / f"objects-{compile_cache.key()}" / "spread")
    assert compile_cache.read("spread") is None


@posix
def test_folder_and_files_are_private(cache: Path, code: Code) -> None:
    mask = os.umask(0)
    try:
        compile_cache.write("spread", code)
    finally:
        os.umask(mask)
    path = stored(cache)
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)


# ------------------------------------------------------------ write errors


def test_folder_instead_of_file(cache: Path, code: Code, loader: Loader, alone: None) -> None:
    compile_cache.write("spread", code)
    path = stored(cache)
    path.unlink()
    path.mkdir()
    assert_spreads(*loader.load([spread]))
    assert os.listdir(path.parent) == [path.name]


def assert_compiles_in_memory() -> None:
    for _ in range(2):
        assert compile_cache.read("spread") is None
        loader = Loader()  # keeps the code alive
        assert_spreads(*loader.load([spread]))


def test_folder_that_cannot_be_created(cache: Path, alone: None) -> None:
    cache.write_text("a file where the folder should be")
    assert_compiles_in_memory()


def test_workers_need_no_cache(cache: Path, loader: Loader) -> None:
    cache.write_text("a file where the folder should be")
    assert_spreads(*loader.load([spread]))


def raising(error: Exception) -> Callable[..., Any]:
    """Return a function that always raises an error."""

    def raise_error(*_: object, **__: object) -> None:
        raise error

    return raise_error


@pytest.mark.parametrize("name", ["os.mkdir", "tempfile.mkstemp", "os.replace", "os.open"])
def test_read_only_or_full_disk(cache: Path, monkeypatch: Patch, alone: None, name: str) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(name, raising(PermissionError(13, "read-only")))
        assert_compiles_in_memory()
    assert kept(cache) == []


def test_disk_full_during_write(cache: Path, code: Code, monkeypatch: Patch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(compile_cache, "_digest", raising(OSError(28, "no space left")))
        compile_cache.write("spread", code)
    assert kept(cache) == []


def test_user_without_a_home(code: Code, tmp_path: Path, monkeypatch: Patch) -> None:
    for name in ("TINYNET_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    compile_cache.write("spread", code)
    assert compile_cache.read("spread") == code
    assert [*tmp_path.glob("**/spread")]


def test_compilation_can_be_disabled(cache: Path) -> None:
    program = """
import numpy as np, tinynet
model = tinynet.Sequential([tinynet.layers.Dense(2)])
model.compile("sgd", "mse")
model.fit(np.ones((4, 3)), np.ones((4, 2)), verbose=0)
"""
    assert output(run(program, NUMBA_DISABLE_JIT="1")) == ""
    assert kept(cache) == []


def test_warm_fit_imports_no_numba(cache: Path) -> None:
    """Run training, evaluation and prediction with one and two threads."""
    program = """
import sys
import numpy as np, tinynet
from tinynet import layers
assert "numba" not in sys.modules, "import"
x = np.random.default_rng(0).random((64, 20)).astype("float32")
for number in (1, 2) if sys.platform == "linux" else (1,):
    hidden = [layers.Dense(8, "relu"), layers.Dropout(0.1)]
    model = tinynet.Sequential([*hidden, layers.Dense(3, "softmax")])
    tinynet.config.set_num_threads(number)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    for inputs in (x, x * (x < 0.2)):
        model.fit(inputs, np.arange(64) % 3, verbose=0)
        model.evaluate(inputs, np.arange(64) % 3, verbose=0)
        model.predict(inputs, verbose=0)
print("numba" in sys.modules)
"""
    output(run(program))
    assert output(run(program)) == "False\n"


# ------------------------------------------------------------ external symbols


def test_unknown_functions_are_not_called(
    code: Code, loader: Loader, alone: None, monkeypatch: Patch
) -> None:
    compile_cache.write("spread", code._replace(symbols=("no_such_function",)))
    assert_spreads(*loader.load([spread]))
    assert compile_cache.read("spread") == code  # compiled again
    wrong = code._replace(symbols=("memset", "no_such_function"))
    monkeypatch.setattr(compiler, "compile_kernel", lambda kernel: wrong)
    with pytest.raises(RuntimeError, match=r"only C functions\. Received: no_such_function"):
        Loader().load([pick])


def allocate(part, parts, n, out):  # type: ignore[no-untyped-def]
    row.vector(out, 1, np.float64)[0] = np.empty(n).sum()


absolute_number = ctypes.CDLL(None).abs if os.name == "posix" else None
if absolute_number is not None:
    absolute_number.argtypes, absolute_number.restype = [ctypes.c_int64], ctypes.c_int64


def absolute(part, parts, out):  # type: ignore[no-untyped-def]
    row.vector(out, 1, np.int64)[0] = absolute_number(part)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (allocate, "allocate must not call NRT_"),
        pytest.param(absolute, r"absolute must not call numba\.dynamic\.globals", marks=posix),
    ],
)
def test_allocating_kernels_raise(function: Any, message: str) -> None:
    """Kernels must not allocate memory or contain absolute addresses."""
    kernel = row.Kernel(function)
    del row.KERNELS[kernel.name]
    with pytest.raises(RuntimeError, match=message):
        compiler.compile_kernel(kernel)


def test_duplicate_kernel_names_raise() -> None:
    def record(part, parts):  # type: ignore[no-untyped-def]
        pass

    known = row.KERNELS["record"]
    with pytest.raises(ValueError, match=r"name must be unique. Received: .* and "):
        row.Kernel(record)
    assert row.KERNELS["record"] is known


def test_code_is_independent_of_process(code: Code) -> None:
    """The code contains no addresses and does not depend on the compilation order."""
    program = "import sys; from tinynet.kernels import compiler, matrix_product, step_results\n"
    program += "for kernel in matrix_product.take_rows, step_results.spread:\n"
    program += "    code = compiler.compile_kernel(kernel)\n"
    program += "print(code.data.hex())"
    assert bytes.fromhex(output(run(program))) == code.data


def test_undefined_symbols_are_found() -> None:
    import llvmlite.binding as llvm

    text = "declare void @other(i64)\ndefine void @own(i64 %x) {\n call void @other(i64 %x)\n"
    text += " call void @memory(i64 %x)\n ret void\n}\ndeclare void @memory(i64)\n"
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_triple("x86_64-unknown-linux-gnu").create_target_machine()
    module = llvm.parse_assembly(text)
    assert compiler._undefined(machine.emit_object(module)) == ["memory", "other"]


def test_kernels_of_other_packages_not_cached(cache: Path, loader: Loader) -> None:
    """Their sources are not part of the cache key."""

    def add_one(part, parts, out):  # type: ignore[no-untyped-def]
        row.vector(out, 1, np.int64)[0] += 1

    kernel = row.Kernel(add_one)
    del row.KERNELS["add_one"]
    x = np.zeros(1, np.int64)
    execute(*loader.load([kernel]), x.ctypes.data)
    assert x[0] == 1
    assert kept(cache) == []


# ------------------------------------------------------------ workers


def test_prepare_compiles_in_the_background(cache: Path, loader: Loader) -> None:
    loader.prepare([spread, pick])
    loader.prepare([spread])
    assert len(loader.queue) + len(loader.begun) + len(loader.codes) == 2
    end = time.monotonic() + HUNG
    while len(loader.codes) < 2 and time.monotonic() < end:
        time.sleep(0.01)
    assert kept(cache) == ["pick", "spread"]
    assert_spreads(loader.load([spread, pick])[0])


@pytest.mark.parametrize(
    ("where", "name", "value"),
    [
        *((sys, "executable", path) for path in (None, "", "/usr/bin/env", "/nowhere/python")),
        (sys, "frozen", True),
        (_thread, "start_new_thread", raising(RuntimeError("can't start new thread"))),
    ],
)
def test_fallback_without_python_or_threads(
    loader: Loader, monkeypatch: Patch, where: Any, name: str, value: Any
) -> None:
    monkeypatch.setattr(where, name, value, raising=False)
    loader.prepare([spread])
    assert not loader.workers
    assert_spreads(*loader.load([spread]))


@pytest.mark.parametrize(
    "start",
    [
        "raise SystemExit(1)",
        "print('junk'); input()",
        "print('[]'); input()",
        "print('[\"spread\", 1000000000]'); input()",
        "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
        "import sys; sys.stdin.close()",
    ],
)
def test_fallback_for_failing_workers(
    cache: Path, loader: Loader, monkeypatch: Patch, start: str
) -> None:
    monkeypatch.setattr(object_code, "_START", start)
    assert_spreads(loader.load([spread, pick, count_rows])[0])
    assert not loader.begun
    assert not loader.own
    assert kept(cache) == ["count_rows", "pick", "spread"]


def test_fallback_for_killed_workers(loader: Loader) -> None:
    loader.prepare([spread, pick])
    loader.kill()
    assert_spreads(loader.load([pick, spread])[1])


def test_workers_wait_for_more_requests(loader: Loader, monkeypatch: Patch) -> None:
    monkeypatch.setattr(object_code, "_REST_SECONDS", HUNG)
    loader.load([spread])
    (worker,) = loader.workers
    loader.load([pick])
    assert loader.workers == [worker]
    monkeypatch.setattr(object_code, "_REST_SECONDS", 0)
    loader.load([count_rows])
    while loader.workers:
        time.sleep(0.01)


def test_optional_kernels_are_compiled_last(loader: Loader, monkeypatch: Patch) -> None:
    monkeypatch.setattr(loader, "_start_worker", lambda: None)
    loader.prepare([runner.work], later=True)
    loader.prepare([spread])
    assert loader.queue == [spread, runner.work]
    assert not loader.is_compiling([runner.work])  # without workers


def test_exit_waits_for_optional_kernels(cache: Path) -> None:
    program = "from tinynet.kernels import step_results, object_code\n"
    program += "object_code.prepare([step_results.spread, step_results.pick], later=True)\n"
    program += "print(object_code.is_compiling([step_results.spread]))"
    assert output(run(program)) == "True\n"
    assert kept(cache) == ["pick", "spread"]
    assert output(run(program)) == "False\n"


def test_worker_with_other_sources_is_ignored(loader: Loader, monkeypatch: Patch) -> None:
    """Sources may change while a program runs; workers with different sources must exit."""
    other_key(monkeypatch, compile_cache, "_sources", b"changed")
    loader.prepare([spread])
    for worker in [*loader.workers]:
        worker.wait(timeout=HUNG)
    assert_spreads(*loader.load([spread]))


def test_compiler_errors_are_raised_in_parent(loader: Loader, monkeypatch: Patch) -> None:
    monkeypatch.setattr(object_code, "_START", "raise SystemExit(1)")
    monkeypatch.setattr(spread, "function", allocate)
    monkeypatch.setattr(spread, "words", ["n", "out"])
    monkeypatch.setattr(object_code, "is_kept", lambda kernel: True)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="must not call"):
            loader.load([spread])


def test_threads_wait_for_the_same_code(loader: Loader) -> None:
    found: list[list[int]] = []
    threads = [
        threading.Thread(target=lambda: found.append(loader.load([spread, pick]))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=HUNG)
    assert len(found) == 3
    assert found[0] == found[1] == found[2]
    assert len(loader.engines) == 1


@pytest.mark.parametrize("flags", [(), ("-I",), ("-S",), ("-O",), ("-X", "dev"), ("-P",)], ids=str)
def test_interpreter_flags_are_supported(flags: tuple[str, ...], tmp_path: Path) -> None:
    """The flag -S omits `site`; modules in the working directory must not replace others."""
    if "-P" in flags and sys.version_info < (3, 11):
        pytest.skip("needs Python 3.11")
    for name in ("json", "numba", "types"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(3)", encoding="utf-8")
    paths = [path for path in sys.path if path]
    program = f"import sys, os; sys.path[:] = {[str(ROOT), *paths]}; os.chdir({str(tmp_path)!r})"
    program += "\nfrom tinynet.kernels import object_code\n"
    program += "object_code.Loader._compile = None  # a worker must\n" + PROGRAM
    assert output(run(program, *flags)).startswith("16.0 [False, False] False")


@posix
@pytest.mark.parametrize("where", ["absolute", "relative"])
def test_deleted_working_directory(cache: Path, where: str) -> None:
    program = """
import os, sys, tempfile
folder = tempfile.mkdtemp()
os.chdir(folder)
os.rmdir(folder)
from tinynet.kernels import compile_cache, step_results, object_code
assert object_code.addresses([step_results.spread])[0] != 0
print("numba" in sys.modules, compile_cache.read("spread") is not None)
"""
    folder = str(cache) if where == "absolute" else "cache"
    said = output(run(program, TINYNET_CACHE=folder))
    assert said == f"False {where == 'absolute'}\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_forked_daemon_processes(tmp_path: Path) -> None:
    """A process may fork while workers compile; the child has its own workers, or none."""
    program = """
import multiprocessing, sys
from tinynet.kernels import step_results, object_code

def load(queue):
    queue.put(object_code.addresses([step_results.spread, step_results.pick])[0] != 0)

context = multiprocessing.get_context("fork")
queue = context.Queue()
object_code.prepare([step_results.spread])
process = context.Process(target=load, args=(queue,), daemon=True)
process.start()
print(queue.get(timeout=600), object_code.addresses([step_results.spread])[0] != 0)
process.join()
"""
    process = run(program, "-W", "ignore::DeprecationWarning")
    assert process.communicate(timeout=HUNG)[0] == "True True\n"


@posix
def test_workers_end_with_their_process() -> None:
    program = "from tinynet.kernels import matrix_product, object_code\n"
    program += "object_code.prepare([matrix_product.product])\n"
    program += "print(*(worker.pid for worker in object_code._loader.workers), flush=True)\n"
    leaving = output(run(program))
    killed = run(program + "import os\nos.kill(os.getpid(), 9)")
    for text in (leaving, killed.communicate(timeout=HUNG)[0]):
        end = time.monotonic() + HUNG
        for pid in map(int, text.split()):
            while Path(f"/proc/{pid}/cmdline").exists() and time.monotonic() < end:
                if b"tinynet" not in Path(f"/proc/{pid}/cmdline").read_bytes():
                    break
                time.sleep(0.02)
        assert text
        assert time.monotonic() < end


# ------------------------------------------------------------ messages for users


class Stderr(NamedTuple):
    is_terminal: bool
    stream: TextIO
    read: Callable[[], str]


@pytest.fixture(params=["terminal", "pipe"])
def stderr(request: pytest.FixtureRequest) -> Iterator[Stderr]:
    """Yield a terminal or a pipe as stderr; the test installs it, since pytest replaces stderr."""
    if request.param == "terminal":
        reader, writer = pytest.importorskip("pty").openpty()
    else:
        reader, writer = os.pipe()

    def read() -> str:
        text = ""
        print("end", file=stream, flush=True)
        while "end" not in text:
            text += os.read(reader, 10_000).decode()
        return text.partition("end")[0]

    with open(writer, "w", encoding="utf-8") as stream:
        yield Stderr(request.param == "terminal", stream, read)
    os.close(reader)


@pytest.mark.parametrize("case", ["written", "not writable", "loaded"])
def test_long_wait_is_announced_on_terminal(
    case: str, loader: Loader, cache: Path, code: Code, monkeypatch: Patch, stderr: Stderr
) -> None:
    monkeypatch.setattr(sys, "stderr", stderr.stream)
    monkeypatch.setattr(object_code, "_PATIENCE_SECONDS", 1e-9 if case == "written" else 0.0)
    said = "tinynet: compiling kernels (once on this machine)\r\n"
    if case == "not writable":
        monkeypatch.setattr(sys, "executable", "")
        cache.write_text("a file where the folder should be")
        said = "set TINYNET_CACHE to a private folder"  # the suggested fix
    elif case == "loaded":
        compile_cache.write("spread", code)
        said = ""
    loader.load([spread])
    found = stderr.read()
    if stderr.is_terminal and case == "not writable":
        assert said in found
    else:
        assert found == (said if stderr.is_terminal else "")
    loader.load([spread, pick] if case == "written" else [spread])
    assert stderr.read() == ""


@pytest.mark.parametrize("stream", [None, "closed"])
def test_programs_without_stderr(
    loader: Loader, alone: None, monkeypatch: Patch, tmp_path: Path, stream: str | None
) -> None:
    monkeypatch.setattr(object_code, "_PATIENCE_SECONDS", 0.0)
    closed = (tmp_path / "closed").open("w")
    closed.close()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", closed if stream else None)
        assert_spreads(*loader.load([spread]))


Keyboard = Callable[[Loader], threading.Thread]


@pytest.fixture
def keyboard() -> Iterator[Keyboard]:
    """Return a function that sends SIGINT once this process waits for a worker."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    main: Any = threading.main_thread().ident

    def press(loader: Loader) -> threading.Thread:
        def wait_and_press() -> None:
            while keyboard_interrupt.compiling == 0:
                time.sleep(0.001)
            for worker in [*loader.workers]:
                os.kill(worker.pid, signal.SIGINT)  # a terminal sends SIGINT to all processes
            signal.pthread_kill(main, signal.SIGINT)

        thread = threading.Thread(target=wait_and_press)
        thread.start()
        return thread

    yield press
    signal.signal(signal.SIGINT, before)


@posix
def test_interrupted_waiting_can_be_resumed(loader: Loader, keyboard: Keyboard) -> None:
    thread = keyboard(loader)
    with pytest.raises(KeyboardInterrupt):
        loader.load([product])
    thread.join()
    assert keyboard_interrupt.compiling == 0
    assert loader.load([product])[0] != 0


@posix
def test_interrupted_fit_announces_stop(
    loader: Loader, keyboard: Keyboard, capsys: pytest.CaptureFixture[str]
) -> None:
    thread = keyboard(loader)

    def fit() -> None:
        with keyboard_interrupt.Deferred() as interrupt:
            assert loader.load([product])[0] != 0
            interrupt.check()

    with pytest.raises(KeyboardInterrupt):
        fit()
    thread.join()
    stopping = "stopping after kernel compilation; press Ctrl-C again to stop immediately"
    assert capsys.readouterr().err == f"\ntinynet: {stopping}\n"


# ------------------------------------------------------------ without Numba


def test_kernel_files_do_not_import_numba() -> None:
    """Kernel modules can be imported without Numba."""
    names = {path.stem for path in compile_cache.SOURCES.glob("*.py")} - {"__init__"}
    program = f"import importlib, sys\nfor name in {sorted(names)}:\n"
    program += "    importlib.import_module(f'tinynet.kernels.{name}')\n"
    program += "    assert 'numba' not in sys.modules, name\n"
    assert output(run(program)) == ""


def test_draw_kernels_are_found() -> None:
    assert object_code.is_kept(random_numbers.draw_uniform)
