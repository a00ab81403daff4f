"""Kernels' object code: kept safely, loaded without Numba, compiled by processes of its own."""

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

import tinynet  # noqa: E402  # only where there is a Numba to compile with
from tests import HUNG  # noqa: E402
from tinynet import config  # noqa: E402
from tinynet._core import keyboard_interrupt  # noqa: E402
from tinynet.kernels import (  # noqa: E402
    compile_cache,
    compiler,
    matrix_product,
    numba_functions,
    object_code,
    random_numbers,
    row,
    runner,
    step_results,
)

if not numba_functions.COMPILES:
    pytest.skip("NUMBA_DISABLE_JIT is set", allow_module_level=True)

ROOT = Path(tinynet.__file__).parents[1]
posix = pytest.mark.skipif(os.name != "posix", reason="owners and permissions are POSIX'")
# A program with a small and a large kernel. It prints a result, whether the cache had their code,
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
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give each test a cache folder of its own, that is not there yet."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("TINYNET_CACHE", str(folder))
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    compile_cache.key.cache_clear()
    yield folder
    compile_cache.key.cache_clear()


@pytest.fixture(scope="module")
def code() -> compile_cache.Object:
    """Object code of the kernel `spread`."""
    return compiler.compile_kernel(step_results.spread)


@pytest.fixture
def loader() -> Iterator[object_code.Loader]:
    """Return what a new process has: no kernel is known."""
    loader = object_code.Loader()
    yield loader
    loader.kill()


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process compile, which has Numba already, in place of workers."""
    monkeypatch.setattr(sys, "executable", "")


def run(program: str = PROGRAM, *flags: str, **environment: str) -> subprocess.Popen[str]:
    """Start a process."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", *flags, "-c", program],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def output(process: subprocess.Popen[str]) -> str:
    """Return what a process prints; it must not print an error."""
    out, errors = process.communicate(timeout=HUNG)
    assert (errors, process.returncode) == ("", 0)
    return out


def spread_with(address: int) -> float:
    """Return the sum of what the kernel `spread` at an address writes."""
    x, y = np.full(1, 3, np.float32), np.zeros(16, np.float32)
    table = np.zeros(row.WORDS, np.int64)
    for name, array in (("source", x), ("out", y)):
        table[row.FIRST + step_results.spread.words.index(name)] = array.ctypes.data
    row._PROTOTYPE(address)(table.ctypes.data, 0, 1)
    return float(y.sum())


def kept(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.glob("kernels/*/*"))


def stored(cache: Path) -> Path:
    """Return the file of the kernel `spread`."""
    (path,) = cache.glob("kernels/*/spread")
    return path


# ------------------------------------------------------------ kept


def test_a_fresh_process_loads_without_numba(cache: Path) -> None:
    assert output(run()) == "16.0 [False, False] False\n"
    assert kept(cache) == ["product", "spread"]
    assert output(run()) == "16.0 [True, True] False\n"


def test_loaded_code_computes_the_same_bits(
    loader: object_code.Loader, rng: np.random.Generator
) -> None:
    """Code from a worker, from this process, and from a file."""
    kernel = matrix_product.take_rows
    own = compiler.compile_kernel(kernel)
    from_worker, from_file = loader, object_code.Loader()
    from_worker.load([kernel])
    written = compile_cache.read(kernel.name)
    assert written is not None
    assert written.symbols == own.symbols
    assert from_file.load([kernel])[0] not in (0, from_worker.load([kernel])[0])
    assert written == compile_cache.read(kernel.name)


def test_all_kernels_share_an_engine(
    loader: object_code.Loader, code: compile_cache.Object
) -> None:
    kernels = [step_results.spread, step_results.pick, step_results.spread]
    for kernel in kernels:
        compile_cache.write(kernel.name, compiler.compile_kernel(kernel))
    first, second, third = loader.load(kernels)
    assert first == third != second
    assert spread_with(first) == 48
    assert len(loader.engines) == 1
    assert loader.load(kernels[:2]) == [first, second]
    assert not loader.workers


def test_two_processes_at_once_do_not_collide(cache: Path) -> None:
    for process in [run(), run()]:
        assert output(process).startswith("16.0")
    assert kept(cache) == ["product", "spread"]  # and nothing half written


@pytest.mark.parametrize(
    ("where", "name", "value"),
    [
        (sys, "version", "3.99"),
        (np, "__version__", "9.9"),
        (llvmlite, "__version__", "9.9"),
        (compile_cache, "_numba", lambda: b"9.9"),
        (compile_cache, "_sources", b"changed"),
        (compile_cache, "CPU", "haswell"),
        (compile_cache, "FEATURES", "+avx2"),
        (config, "DEBUG_BUFFERS", not config.DEBUG_BUFFERS),
    ],
)
def test_other_programs_and_processors_use_other_folders(
    code: compile_cache.Object, monkeypatch: pytest.MonkeyPatch, where: Any, name: str, value: Any
) -> None:
    compile_cache.write("spread", code)
    assert compile_cache.read("spread") == code
    monkeypatch.setattr(where, name, value)
    compile_cache.key.cache_clear()
    assert compile_cache.read("spread") is None


def test_key_has_numbas_version_and_all_sources() -> None:
    assert numba.__version__.encode() in compile_cache._numba()
    assert {path.name for path in compile_cache.SOURCES.glob("*.py")} >= {"row.py", "compiler.py"}


@pytest.mark.parametrize("variable", ["NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES", "NUMBA_ENABLE_AVX"])
def test_an_imitated_processor_is_the_target(variable: str) -> None:
    value = {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx2,-avx512f"}.get(variable, "0")
    program = "from tinynet.kernels import compile_cache as c; print(c.CPU, c.FEATURES, c.key())"
    cpu, features, key = output(run(program, **{variable: value})).split()
    assert key != compile_cache.key()
    assert (cpu == value) is (variable == "NUMBA_CPU_NAME")
    assert (features == value) is (variable == "NUMBA_CPU_FEATURES")
    assert "+avx512f" not in features or variable == "NUMBA_CPU_NAME"


def test_forgotten_folders_are_removed(cache: Path, code: compile_cache.Object) -> None:
    for name, days in (("forgotten", 91), ("recent", 89), ("shared", 91)):
        folder = cache / "kernels" / name
        folder.mkdir(parents=True, mode=0o755)
        (folder / "file").touch()
        os.utime(folder, (time.time() - days * 24 * 3600,) * 2)
    (cache / "kernels" / "shared").chmod(0o777)
    compile_cache.write("spread", code)
    expected = {stored(cache).parent.name, "recent"} | ({"shared"} if os.name == "posix" else set())
    assert set(os.listdir(cache / "kernels")) == expected


def test_numbas_cache_folder_is_heeded(
    tmp_path: Path, code: compile_cache.Object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "numba"))
    compile_cache.write("spread", code)
    assert kept(tmp_path / "numba" / "tinynet") == ["spread"]


# ------------------------------------------------------------ damaged


@pytest.mark.parametrize("size", [0, 1, 31, 32, 33, 300, -1])
def test_truncated_files_are_not_loaded(cache: Path, code: compile_cache.Object, size: int) -> None:
    compile_cache.write("spread", code)
    path = stored(cache)
    path.write_bytes(path.read_bytes()[:size])
    assert compile_cache.read("spread") is None
    compile_cache.write("spread", code)
    assert compile_cache.read("spread") == code


def test_no_flipped_bit_is_ever_loaded(
    cache: Path, code: compile_cache.Object, rng: np.random.Generator
) -> None:
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


def test_files_of_another_name_or_folder_are_not_loaded(
    cache: Path, code: compile_cache.Object, monkeypatch: pytest.MonkeyPatch
) -> None:
    compile_cache.write("spread", code)
    path = stored(cache)
    path.with_name("pick").write_bytes(path.read_bytes())
    assert compile_cache.read("pick") is None
    monkeypatch.setattr(compile_cache, "_sources", b"changed")
    compile_cache.key.cache_clear()
    compile_cache.write("spread", code._replace(data=b"other"))
    path.replace(cache / "kernels" / f"objects-{compile_cache.key()}" / "spread")
    assert compile_cache.read("spread") is None


def test_folder_in_place_of_a_file(
    cache: Path, code: compile_cache.Object, loader: object_code.Loader, alone: None
) -> None:
    compile_cache.write("spread", code)
    path = stored(cache)
    path.unlink()
    path.mkdir()
    assert spread_with(*loader.load([step_results.spread])) == 48
    assert os.listdir(path.parent) == [path.name]


# ------------------------------------------------------------ not to be written, not to be trusted


def assert_compiles_in_memory() -> None:
    for _ in range(2):
        assert compile_cache.read("spread") is None
        assert spread_with(*object_code.Loader().load([step_results.spread])) == 48


def test_folder_that_cannot_be(cache: Path, alone: None) -> None:
    cache.write_text("a file where the folder should be")
    assert_compiles_in_memory()


def test_workers_need_no_cache(cache: Path, loader: object_code.Loader) -> None:
    cache.write_text("a file where the folder should be")
    assert spread_with(*loader.load([step_results.spread])) == 48


@pytest.mark.parametrize("name", ["os.mkdir", "tempfile.mkstemp", "os.replace", "os.open"])
def test_read_only_or_full_disk(
    cache: Path, monkeypatch: pytest.MonkeyPatch, alone: None, name: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "read-only")

    with monkeypatch.context() as patch:
        patch.setattr(name, refuse)
        assert_compiles_in_memory()
    assert kept(cache) == []


def test_disk_that_is_full_in_the_middle(
    cache: Path, code: compile_cache.Object, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill_up(*_: object) -> bytes:
        raise OSError(28, "no space left")

    with monkeypatch.context() as patch:
        patch.setattr(compile_cache, "_digest", fill_up)
        compile_cache.write("spread", code)
    assert kept(cache) == []


def test_user_without_a_home(
    code: compile_cache.Object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TINYNET_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    compile_cache.write("spread", code)
    assert compile_cache.read("spread") == code
    assert [*tmp_path.glob("**/spread")]


def test_folder_removed_in_between(cache: Path, code: compile_cache.Object) -> None:
    compile_cache.write("spread", code)
    stored(cache).unlink()
    for folder in cache.glob("kernels/*"):
        folder.rmdir()
    assert compile_cache.read("spread") is None
    compile_cache.write("spread", code)
    assert compile_cache.read("spread") == code


def test_compilation_can_be_switched_off(cache: Path) -> None:
    program = """
import numpy as np, tinynet
model = tinynet.Sequential([tinynet.layers.Dense(2)])
model.compile("sgd", "mse")
model.fit(np.ones((4, 3)), np.ones((4, 2)), verbose=0)
"""
    assert output(run(program, NUMBA_DISABLE_JIT="1")) == ""
    assert not [*cache.glob("kernels/*/*")]


def test_warm_fit_imports_no_numba(cache: Path) -> None:
    """Training, evaluation and prediction, with one thread and two."""
    program = """
import sys
import numpy as np, tinynet
assert "numba" not in sys.modules, "import"
x = np.random.default_rng(0).random((64, 20)).astype("float32")
for number in (1, 2) if sys.platform == "linux" else (1,):
    model = tinynet.Sequential(
        [
            tinynet.layers.Dense(8, "relu"),
            tinynet.layers.Dropout(0.1),
            tinynet.layers.Dense(3, "softmax"),
        ]
    )
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


@posix
def test_folder_and_files_are_the_users_alone(cache: Path, code: compile_cache.Object) -> None:
    mask = os.umask(0)
    try:
        compile_cache.write("spread", code)
    finally:
        os.umask(mask)
    path = stored(cache)
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)


@posix
@pytest.mark.parametrize("mode", [0o770, 0o702, 0o777])
def test_folder_open_to_others_is_not_used(
    cache: Path, code: compile_cache.Object, mode: int
) -> None:
    compile_cache.write("spread", code)
    stored(cache).parent.chmod(mode)
    assert compile_cache.read("spread") is None
    assert not compile_cache.is_writable()


@posix
@pytest.mark.parametrize("which", ["file", "folder", "both"])
def test_files_of_another_user_are_not_used(
    code: compile_cache.Object, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    compile_cache.write("spread", code)
    owners = {"file": [0, 1], "folder": [1, 0], "both": [1, 1]}[which]
    is_own = compile_cache._is_own

    def other(status: os.stat_result) -> bool:
        is_folder = status.st_mode & 0o040000 != 0
        return is_own(status) and not owners[0 if is_folder else 1]

    monkeypatch.setattr(compile_cache, "_is_own", other)
    assert compile_cache.read("spread") is None
    monkeypatch.setattr(compile_cache, "_is_own", is_own)
    owner = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: owner + 1)
    assert compile_cache.read("spread") is None


@posix
def test_link_and_file_open_to_others_are_not_followed(
    cache: Path, code: compile_cache.Object
) -> None:
    compile_cache.write("spread", code)
    path = stored(cache)
    path.chmod(0o620)
    assert compile_cache.read("spread") is None
    path.chmod(0o600)
    assert compile_cache.read("spread") == code
    elsewhere = path.parent.rename(cache / "elsewhere")
    path.parent.symlink_to(elsewhere)
    assert compile_cache.read("spread") is None
    path.parent.unlink()
    path.parent.touch(mode=0o600)
    assert compile_cache.read("spread") is None
    assert not compile_cache.is_writable()


# ------------------------------------------------------------ what the code calls


def test_unknown_functions_are_not_jumped_to(
    code: compile_cache.Object,
    loader: object_code.Loader,
    alone: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compile_cache.write("spread", code._replace(symbols=("no_such_function",)))
    assert spread_with(*loader.load([step_results.spread])) == 48
    assert compile_cache.read("spread") == code  # compiled again
    wrong = code._replace(symbols=("memset", "no_such_function"))
    monkeypatch.setattr(compiler, "compile_kernel", lambda kernel: wrong)
    with pytest.raises(RuntimeError, match="calls no_such_function, which the C library lacks"):
        object_code.Loader().load([step_results.pick])


def allocate(part, parts, n, out):  # type: ignore[no-untyped-def]
    row.vector(out, 1, np.float64)[0] = np.empty(n).sum()


def divide(part, parts, n, out):  # type: ignore[no-untyped-def]
    if n == 0:
        raise ZeroDivisionError("n is 0")
    row.vector(out, 1, np.int64)[0] = 1 // n


def test_kernels_that_allocate_or_raise_are_refused() -> None:
    with pytest.raises(RuntimeError, match="allocate must not call NRT_"):
        compiler.compile_kernel(row.Kernel(allocate))
    del row.KERNELS["allocate"]


def test_two_kernels_of_one_name_are_refused() -> None:
    def record(part, parts):  # type: ignore[no-untyped-def]
        pass

    known = row.KERNELS["record"]
    with pytest.raises(ValueError, match=r"name must be that of one kernel. Received: .* and "):
        row.Kernel(record)
    assert row.KERNELS["record"] is known


@posix
def test_addresses_of_this_process_are_not_kept() -> None:
    number = ctypes.CDLL(None).abs
    number.argtypes, number.restype = [ctypes.c_int64], ctypes.c_int64

    def absolute(part, parts, out):  # type: ignore[no-untyped-def]
        row.vector(out, 1, np.int64)[0] = number(part)

    with pytest.raises(RuntimeError, match=r"absolute must not call numba\.dynamic\.globals"):
        compiler.compile_kernel(row.Kernel(absolute))
    del row.KERNELS["absolute"]


def test_code_does_not_depend_on_the_process(code: compile_cache.Object) -> None:
    """Bytes that differ would be addresses, or the order in which kernels were compiled."""
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


def test_kernels_of_other_packages_are_not_kept(cache: Path, loader: object_code.Loader) -> None:
    """Their sources are not part of the key."""

    def add_one(part, parts, out):  # type: ignore[no-untyped-def]
        row.vector(out, 1, np.int64)[0] += 1

    kernel = row.Kernel(add_one)
    del row.KERNELS["add_one"]
    x = np.zeros(1, np.int64)
    table = np.zeros(row.WORDS, np.int64)
    table[row.FIRST] = x.ctypes.data
    row._PROTOTYPE(*loader.load([kernel]))(table.ctypes.data, 0, 1)
    assert x[0] == 1
    assert kept(cache) == []


# ------------------------------------------------------------ workers


def test_prepare_compiles_in_the_background(cache: Path, loader: object_code.Loader) -> None:
    loader.prepare([step_results.spread, step_results.pick])
    loader.prepare([step_results.spread])
    assert len(loader.queue) + len(loader.begun) + len(loader.codes) == 2
    end = time.monotonic() + HUNG
    while len(loader.codes) < 2 and time.monotonic() < end:
        time.sleep(0.01)
    assert kept(cache) == ["pick", "spread"]
    assert spread_with(loader.load([step_results.spread, step_results.pick])[0]) == 48


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("executable", None),
        ("executable", ""),
        ("executable", "/usr/bin/env"),
        ("executable", "/nowhere/python"),
        ("frozen", True),
    ],
)
def test_without_python_this_process_compiles(
    loader: object_code.Loader, monkeypatch: pytest.MonkeyPatch, name: str, value: Any
) -> None:
    monkeypatch.setattr(sys, name, value, raising=False)
    loader.prepare([step_results.spread])
    assert not loader.workers
    assert spread_with(*loader.load([step_results.spread])) == 48


def test_without_threads_this_process_compiles(
    loader: object_code.Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(_thread, "start_new_thread", refuse)
    loader.prepare([step_results.spread])
    assert not loader.workers
    assert spread_with(*loader.load([step_results.spread])) == 48


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
def test_failing_workers_are_replaced_by_this_process(
    cache: Path, loader: object_code.Loader, monkeypatch: pytest.MonkeyPatch, start: str
) -> None:
    monkeypatch.setattr(object_code, "_START", start)
    kernels = [step_results.spread, step_results.pick, step_results.count_rows]
    assert spread_with(loader.load(kernels)[0]) == 48
    assert not loader.begun
    assert not loader.own
    assert kept(cache) == ["count_rows", "pick", "spread"]


def test_killed_workers_are_replaced_by_this_process(loader: object_code.Loader) -> None:
    loader.prepare([step_results.spread, step_results.pick])
    loader.kill()
    assert spread_with(loader.load([step_results.pick, step_results.spread])[1]) == 48


def test_workers_wait_for_more(loader: object_code.Loader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_code, "_REST_SECONDS", HUNG)
    loader.load([step_results.spread])
    (worker,) = loader.workers
    loader.load([step_results.pick])
    assert loader.workers == [worker]
    monkeypatch.setattr(object_code, "_REST_SECONDS", 0)
    loader.load([step_results.count_rows])
    while loader.workers:
        time.sleep(0.01)


def test_what_a_program_can_do_without_is_compiled_last(
    loader: object_code.Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loader, "_start_worker", lambda: None)
    loader.prepare([runner.work], later=True)
    loader.prepare([step_results.spread])
    assert loader.queue == [step_results.spread, runner.work]
    assert not loader.is_compiling([runner.work])  # without workers


def test_programs_end_when_all_that_they_did_without_is_compiled(cache: Path) -> None:
    program = "from tinynet.kernels import step_results, object_code\n"
    program += "object_code.prepare([step_results.spread, step_results.pick], later=True)\n"
    program += "print(object_code.is_compiling([step_results.spread]))"
    assert output(run(program)) == "True\n"
    assert kept(cache) == ["pick", "spread"]
    assert output(run(program)) == "False\n"


def test_a_worker_of_other_sources_is_not_used(
    loader: object_code.Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They may be replaced while a program runs."""
    monkeypatch.setattr(compile_cache, "_sources", b"changed")
    compile_cache.key.cache_clear()
    loader.prepare([step_results.spread])
    for worker in [*loader.workers]:
        worker.wait(timeout=HUNG)
    assert spread_with(*loader.load([step_results.spread])) == 48


def test_errors_of_the_compiler_are_raised_here(
    loader: object_code.Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_code, "_START", "raise SystemExit(1)")
    monkeypatch.setattr(step_results.spread, "function", allocate)
    monkeypatch.setattr(step_results.spread, "words", ["n", "out"])
    monkeypatch.setattr(object_code, "is_kept", lambda kernel: True)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="must not call"):
            loader.load([step_results.spread])


def test_threads_wait_for_the_same_code(loader: object_code.Loader) -> None:
    found: list[list[int]] = []

    def load() -> None:
        found.append(loader.load([step_results.spread, step_results.pick]))

    threads = [threading.Thread(target=load) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=HUNG)
    assert len(found) == 3
    assert found[0] == found[1] == found[2]
    assert len(loader.engines) == 1


@pytest.mark.parametrize("flags", [(), ("-I",), ("-S",), ("-O",), ("-X", "dev"), ("-P",)], ids=str)
def test_interpreter_flags_are_no_obstacle(flags: tuple[str, ...], tmp_path: Path) -> None:
    """Also without `site`, and with modules in the working directory that are none of ours."""
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
    """A fork while workers compile; the child has workers of its own, or none."""
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


# ------------------------------------------------------------ what a person is told


class Stderr(NamedTuple):
    is_terminal: bool
    stream: TextIO
    read: Callable[[], str]


@pytest.fixture(params=["terminal", "pipe"])
def stderr(request: pytest.FixtureRequest) -> Iterator[Stderr]:
    """Yield a terminal or a pipe to replace stderr by, which the test must do: pytest does too."""
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


def test_long_waiting_is_announced_once_on_a_terminal_only(
    loader: object_code.Loader,
    monkeypatch: pytest.MonkeyPatch,
    stderr: Stderr,
) -> None:
    monkeypatch.setattr(sys, "stderr", stderr.stream)
    monkeypatch.setattr(object_code, "_PATIENCE_SECONDS", 1e-9)
    loader.load([step_results.spread])
    said = "tinynet: compiling its kernels, once on this machine\r\n"
    assert stderr.read() == (said if stderr.is_terminal else "")
    loader.load([step_results.spread, step_results.pick])
    assert stderr.read() == ""


def test_compiling_in_every_run_is_announced_with_the_remedy(
    loader: object_code.Loader,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    stderr: Stderr,
    alone: None,
) -> None:
    monkeypatch.setattr(sys, "stderr", stderr.stream)
    cache.write_text("a file where the folder should be")
    monkeypatch.setattr(object_code, "_PATIENCE_SECONDS", 0.0)
    loader.load([step_results.spread])
    assert ("in every run: TINYNET_CACHE" in stderr.read()) is stderr.is_terminal


def test_loading_announces_nothing(
    loader: object_code.Loader,
    code: compile_cache.Object,
    monkeypatch: pytest.MonkeyPatch,
    stderr: Stderr,
) -> None:
    compile_cache.write("spread", code)
    monkeypatch.setattr(object_code, "_PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr(sys, "stderr", stderr.stream)
    loader.load([step_results.spread])
    assert stderr.read() == ""


@pytest.mark.parametrize("stream", [None, "closed"])
def test_programs_without_stderr(
    loader: object_code.Loader,
    alone: None,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    stream: str | None,
) -> None:
    monkeypatch.setattr(object_code, "_PATIENCE_SECONDS", 0.0)
    closed = (tmp_path / "closed").open("w")
    closed.close()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", closed if stream else None)
        assert spread_with(*loader.load([step_results.spread])) == 48


@pytest.fixture
def keyboard() -> Iterator[Callable[[object_code.Loader], threading.Thread]]:
    """Return a function that presses Ctrl-C once this process waits for a worker."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    main = threading.main_thread().ident
    assert main is not None

    def press(loader: object_code.Loader) -> threading.Thread:
        def wait_and_press() -> None:
            while keyboard_interrupt.compiling == 0:
                time.sleep(0.001)
            for worker in [*loader.workers]:
                os.kill(worker.pid, signal.SIGINT)  # a terminal sends it to all processes
            signal.pthread_kill(main, signal.SIGINT)

        thread = threading.Thread(target=wait_and_press)
        thread.start()
        return thread

    yield press
    signal.signal(signal.SIGINT, before)


@posix
def test_interrupted_waiting_can_be_resumed(
    loader: object_code.Loader, keyboard: Callable[[object_code.Loader], threading.Thread]
) -> None:
    thread = keyboard(loader)
    with pytest.raises(KeyboardInterrupt):
        loader.load([matrix_product.product])
    thread.join()
    assert keyboard_interrupt.compiling == 0
    assert loader.load([matrix_product.product])[0] != 0


@posix
def test_interrupted_fit_says_that_it_will_stop(
    loader: object_code.Loader,
    keyboard: Callable[[object_code.Loader], threading.Thread],
    capsys: pytest.CaptureFixture[str],
) -> None:
    thread = keyboard(loader)

    def fit() -> None:
        with keyboard_interrupt.Deferred() as interrupt:
            assert loader.load([matrix_product.product])[0] != 0
            interrupt.check()

    with pytest.raises(KeyboardInterrupt):
        fit()
    thread.join()
    stopping = "stopping once its kernels are compiled; press Ctrl-C again to stop at once"
    assert capsys.readouterr().err == f"\ntinynet: {stopping}\n"


# ------------------------------------------------------------ without Numba


def test_no_file_of_kernels_imports_numba() -> None:
    """Apart from those whose kernels are called from Python."""
    eager = {"activations", "classification", "eager", "helpers", "optimizers", "products"}
    eager |= {"sparse", "steps", "vectors"}
    names = {path.stem for path in compile_cache.SOURCES.glob("*.py")} - eager - {"__init__"}
    program = f"import importlib, sys\nfor name in {sorted(names)}:\n"
    program += "    importlib.import_module(f'tinynet.kernels.{name}')\n"
    program += "    assert 'numba' not in sys.modules, name\n"
    assert output(run(program)) == ""


def test_draw_kernels_are_found() -> None:
    assert object_code.is_kept(random_numbers.draw_uniform)
