"""Compiled once, kept safely, and never in the way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple, TextIO

import numpy as np
import pytest

numba = pytest.importorskip("numba")

import tinynet  # noqa: E402  # only where there is a Numba to compile with
import tinynet.jit as jitting  # noqa: E402
from tests import HUNG  # noqa: E402
from tinynet import interrupts  # noqa: E402

if numba.config.DISABLE_JIT:
    pytest.skip("NUMBA_DISABLE_JIT is set", allow_module_level=True)

SOURCE = """
from tinynet.jit import jit

@jit()
def scale(x, factor):
    return x * factor
"""
CALL = "import kernels; k = kernels.scale; print(k(3.0, 2.0), sum(k.stats.cache_hits.values()))"
Load = Callable[..., ModuleType]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give each test a cache folder of its own, that is not there yet."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("TINYNET_CACHE", str(folder))
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    return folder


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Import a source as a new process would: with nothing compiled yet."""

    def load(source: str = SOURCE) -> ModuleType:
        path = tmp_path / "kernels.py"
        path.write_text(source, encoding="utf-8")
        module = ModuleType("kernels")
        monkeypatch.setitem(sys.modules, "kernels", module)
        exec(compile(source, str(path), "exec"), vars(module))
        return module

    return load


def run(
    tmp_path: Path, program: str = CALL, source: str = SOURCE, **environment: str
) -> subprocess.Popen[str]:
    """Start a process that finds the module ``kernels`` and prints."""
    (tmp_path / "kernels.py").write_text(source, encoding="utf-8")
    root = str(Path(tinynet.__file__).parents[1])
    paths = os.pathsep.join([str(tmp_path), root])
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", program],
        env={**os.environ, "PYTHONPATH": paths, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def counts(kernel: Any) -> tuple[int, int]:
    """Return how often a kernel's code was found, and how often it was compiled."""
    return sum(kernel.stats.cache_hits.values()), sum(kernel.stats.cache_misses.values())


def kept(cache: Path, name: str = "scale") -> list[Path]:
    return sorted(cache.glob(f"kernels/*/{name}-*"))


def loaded(kernel: Any) -> Any:
    """Ask a kernel's cache for its code for two float64, without compiling."""
    from numba.core.registry import cpu_target

    signature = (numba.float64, numba.float64)
    return kernel._cache.load_overload(signature, cpu_target.target_context)


# ------------------------------------------------------------ kept


def test_compiles_cold_and_loads_warm(cache: Path, load: Load) -> None:
    cold = load().scale
    assert cold(3.0, 2.0) == 6.0
    assert counts(cold) == (0, 1)
    assert len(kept(cache)) == 1
    assert cold.stats.cache_path == str(kept(cache)[0].parent)
    warm = load().scale
    assert warm(3.0, 2.0) == 6.0
    assert counts(warm) == (1, 0)
    # Every combination of types is a file of its own.
    assert warm(np.float32(3), 2) == 6.0
    assert counts(warm) == (1, 1)
    assert len(kept(cache)) == 2


def test_other_processes_find_it_and_two_at_once_do_not_collide(
    cache: Path, tmp_path: Path
) -> None:
    both = [run(tmp_path), run(tmp_path)]
    for process in both:
        out, err = process.communicate(timeout=HUNG)
        assert (out.split()[0], err, process.returncode) == ("6.0", "", 0)
    assert [path.name[:6] for path in kept(cache, "*")] == ["scale-"]  # and nothing half written
    out, err = run(tmp_path).communicate(timeout=HUNG)
    assert (out, err) == ("6.0 1\n", "")


def test_options_reach_numba_and_their_code_is_kept(load: Load) -> None:
    source = """
from llvmlite import ir
from numba import types
from numba.core.compiler import Compiler
from numba.extending import intrinsic
from tinynet.jit import jit

class Distinct(Compiler):
    def define_pipelines(self):
        self.state.flags.noalias = True
        return super().define_pipelines()

@intrinsic
def one(typing_context):
    return types.float64(), lambda context, builder, signature, _: ir.Constant(ir.DoubleType(), 1)

@jit(no_cpython_wrapper=True, fastmath={"contract"}, pipeline_class=Distinct)
def add(x, y):
    for i in range(x.size):
        x[i] = x[i] * y[i] + one()

@jit()
def outer(x, y):
    add(x, y)
    return x
"""
    for expected in [(0, 1), (1, 0)]:
        module = load(source)
        x, y = np.array([1.0, 2.0]), np.array([3.0, 4.0])
        assert list(module.outer(x, y)) == [4.0, 9.0]
        assert counts(module.outer) == expected
    assert module.add.targetoptions["fastmath"] == {"contract"}
    assert counts(module.add) == (0, 0)  # it is inside of the outer one
    assert module.outer(x, np.array([np.inf, 1.0]))[0] == np.inf


def test_division_is_numpys_and_the_gil_is_free(load: Load) -> None:
    kernel = load(SOURCE.replace("*", "/")).scale
    assert kernel(1.0, 0.0) == np.inf
    assert kernel.targetoptions["nogil"]


def test_changed_source_is_compiled_anew_whatever_its_date(load: Load, tmp_path: Path) -> None:
    source = """
from tinynet.jit import jit
STEP = 1

@jit()
def inner(x):
    return x + STEP

@jit()
def outer(x):
    return inner(x)
"""
    assert load(source).outer(1) == 2
    os.utime(tmp_path / "kernels.py", (0, 0))
    changed = load(source.replace("STEP = 1", "STEP = 5")).outer
    os.utime(tmp_path / "kernels.py", (0, 0))
    assert changed(1) == 6
    assert counts(changed) == (0, 1)
    back = load(source).outer
    assert (back(1), counts(back)) == (2, (1, 0))  # two versions side by side


def test_a_file_beside_it_in_its_package_changed(tmp_path: Path) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "outer.py").write_text(
        "from tinynet.jit import jit\nfrom package.inner import inner\n"
        "@jit()\ndef outer(x):\n    return inner(x)\n",
        encoding="utf-8",
    )
    inner = "from tinynet.jit import jit\n@jit()\ndef inner(x):\n    return x + {}\n"
    program = (
        "import sys; sys.dont_write_bytecode = True; from package.outer import outer; "
        "print(outer(1), sum(outer.stats.cache_hits.values()))"
    )
    said = []
    for step in (1, 5, 1):
        (package / "inner.py").write_text(inner.format(step), encoding="utf-8")
        out, errors = run(tmp_path, program).communicate()
        said.append(out.split())
        assert not errors
    assert said == [["2", "0"], ["6", "0"], ["2", "1"]]


@pytest.mark.parametrize(
    ("where", "name", "value"),
    [
        (sys, "version", "3.99"),
        (np, "__version__", "9.9"),
        (numba, "__version__", "9.9"),
        (numba.config, "BOUNDSCHECK", 1),
        (jitting, "__file__", os.__file__),
    ],
)
def test_other_versions_and_settings_use_other_folders(
    cache: Path, load: Load, monkeypatch: pytest.MonkeyPatch, where: Any, name: str, value: Any
) -> None:
    before = load().scale.stats.cache_path
    monkeypatch.setattr(where, name, value)
    after = load().scale.stats.cache_path
    assert before != after
    assert sorted(map(str, cache.glob("kernels/*"))) == sorted([before, after])


def test_other_processors_use_other_files(load: Load) -> None:
    cache = load().scale._cache
    here, there = (SimpleNamespace(magic_tuple=lambda cpu=cpu: (cpu,)) for cpu in ("one", "two"))
    assert cache._path((), here) == cache._path((), here) != cache._path((), there)


def test_numbas_own_setting_is_heeded(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "numba"))
    load().scale(3.0, 2.0)
    assert len(kept(tmp_path / "numba" / "tinynet")) == 1


def test_forgotten_folders_are_removed(
    cache: Path, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernels = cache / "kernels"
    for name in ("forgotten", "recent", "shared"):
        folder = kernels / name
        folder.mkdir(parents=True, mode=0o755)
        (folder / "file").touch()
        days = 89 if name == "recent" else 91
        os.utime(folder, (time.time() - days * 24 * 3600,) * 2)
    (kernels / "shared").chmod(0o777)
    folder = load().scale.stats.cache_path
    expected = {"recent", Path(folder).name} | ({"shared"} if os.name == "posix" else set())
    assert set(os.listdir(kernels)) == expected


# ------------------------------------------------------------ damaged


@pytest.mark.parametrize("size", [0, 1, 31, 32, 33, 0.5, -1])
def test_truncated_files_are_written_anew(cache: Path, load: Load, size: float) -> None:
    load().scale(3.0, 2.0)
    (path,) = kept(cache)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * size) if size == 0.5 else int(size)])
    assert loaded(load().scale) is None
    if size == -1:
        kernel = load().scale
        assert (kernel(3.0, 2.0), counts(kernel)) == (6.0, (0, 1))
        assert kept(cache) == [path]
        assert loaded(load().scale) is not None


def test_no_flipped_bit_is_ever_loaded(cache: Path, load: Load, rng: np.random.Generator) -> None:
    load().scale(3.0, 2.0)
    kernel = load().scale
    (path,) = kept(cache)
    whole = bytearray(path.read_bytes())
    offsets = [*range(64), *rng.integers(64, len(whole), 400), len(whole) - 1]
    for offset in offsets:
        bit = 1 << int(rng.integers(8))
        whole[offset] ^= bit
        path.write_bytes(whole)
        assert loaded(kernel) is None, offset
        whole[offset] ^= bit
    path.write_bytes(whole)
    assert loaded(kernel) is not None


def test_another_functions_file_is_not_loaded(cache: Path, load: Load) -> None:
    source = SOURCE + SOURCE.replace("scale", "shift").replace("*", "+")
    module = load(source)
    module.scale(3.0, 2.0)
    assert module.shift(3.0, 2.0) == 5.0
    kept(cache, "scale")[0].replace(kept(cache, "shift")[0])
    fresh = load(source).shift
    assert (fresh(3.0, 2.0), counts(fresh)) == (5.0, (0, 1))


def test_functions_of_one_name_are_told_apart(cache: Path, load: Load) -> None:
    source = SOURCE + "first = scale\n" + SOURCE.replace("*", "+")
    for expected in [(0, 1), (1, 0)]:
        module = load(source)
        assert (module.first(3.0, 2.0), module.scale(3.0, 2.0)) == (6.0, 5.0)
        assert counts(module.first) == counts(module.scale) == expected


def test_types_are_compared_and_not_only_their_names(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = jitting._Cache._path
    monkeypatch.setattr(jitting._Cache, "_path", lambda self, _, codegen: path(self, 0, codegen))
    kernel = load().scale
    assert (kernel(3.5, 2.0), kernel(3, 2)) == (7.0, 6)
    assert counts(kernel) == (0, 2)


def test_folder_in_place_of_a_file(cache: Path, load: Load) -> None:
    load().scale(3.0, 2.0)
    (path,) = kept(cache)
    path.unlink()
    path.mkdir()
    kernel = load().scale
    assert (kernel(3.0, 2.0), counts(kernel)) == (6.0, (0, 1))
    assert os.listdir(path.parent) == [path.name]


# ------------------------------------------------------------ not to be written, not to be trusted


def assert_compiles_in_memory(load: Load) -> None:
    for _ in range(2):
        kernel = load().scale
        assert (kernel(3.0, 2.0), counts(kernel)) == (6.0, (0, 1))


def test_folder_that_cannot_be(load: Load, cache: Path) -> None:
    cache.write_text("a file where the folder should be")
    assert_compiles_in_memory(load)


@pytest.mark.parametrize("name", ["os.mkdir", "tempfile.mkstemp", "os.replace", "os.open"])
def test_read_only_or_full_disk(
    cache: Path, load: Load, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "read-only")

    with monkeypatch.context() as patch:
        patch.setattr(name, refuse)
        assert_compiles_in_memory(load)
    assert not kept(cache, "*")


def test_disk_that_is_full_in_the_middle(
    cache: Path, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill_up(path: Path, content: bytes) -> None:
        path.with_name("half").write_bytes(content[:100])
        raise OSError(28, "no space left")

    monkeypatch.setattr(jitting, "_replace", fill_up)
    assert_compiles_in_memory(load)


def test_folder_removed_in_between(cache: Path, load: Load) -> None:
    kernel = load().scale
    for folder in cache.glob("kernels/*"):
        folder.rmdir()
    assert kernel(3.0, 2.0) == 6.0


GONE = """
import os, sys, tempfile
folder = tempfile.mkdtemp()
os.chdir(folder)
os.rmdir(folder)
import numpy as np, kernels
from tinynet import Sequential, layers
print(kernels.pick(3.0, 2.0), kernels.pick.stats.cache_path is not None)
model = Sequential([layers.Dense(2, "relu"), layers.Dense(2, "softmax")])
model.compile("adam", "sparse_categorical_crossentropy")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps a working directory")
@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize("where", ["absolute", "relative", "no home"])
def test_deleted_working_directory(where: str, warm: bool, tmp_path: Path, cache: Path) -> None:
    """Numba asks for it when it compiles what can not be inferred, such as a computed index."""
    source = """
from tinynet.jit import jit

@jit()
def pick(x, factor):
    pair = (x, factor)
    return pair[0 if x < factor else 1] * factor
"""
    environment = {"TINYNET_CACHE": str(cache), "TMPDIR": str(tmp_path)}
    if where == "relative":
        environment["TINYNET_CACHE"] = "cache"
    elif where == "no home":
        environment.update(TINYNET_CACHE="", XDG_CACHE_HOME="", HOME="relative")
    for _ in range(1 + warm):
        process = run(tmp_path, GONE, source, **environment)
        output, errors = process.communicate(timeout=300)
        assert (process.returncode, errors) == (0, "")
        assert output.split() == ["4.0", str(where == "absolute")]


def test_user_without_a_home(load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TINYNET_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    load().scale(3.0, 2.0)
    warm = load().scale
    assert (warm(3.0, 2.0), counts(warm)) == (6.0, (1, 0))
    assert Path(warm.stats.cache_path).is_relative_to(tmp_path)


posix = pytest.mark.skipif(os.name != "posix", reason="owners and permissions are POSIX'")


@posix
def test_folder_and_files_are_the_users_alone(cache: Path, load: Load) -> None:
    mask = os.umask(0)
    try:
        load().scale(3.0, 2.0)
    finally:
        os.umask(mask)
    (path,) = kept(cache)
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)


@posix
@pytest.mark.parametrize("mode", [0o770, 0o702, 0o777])
def test_folder_open_to_others_is_not_used(cache: Path, load: Load, mode: int) -> None:
    load().scale(3.0, 2.0)
    (path,) = kept(cache)
    path.parent.chmod(mode)
    assert load().scale.stats.cache_path is None
    assert loaded(load().scale) is None


@posix
def test_folder_of_another_user_is_not_used(
    cache: Path, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    load().scale(3.0, 2.0)
    mine = load().scale
    owner = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: owner + 1)
    assert load().scale.stats.cache_path is None
    assert loaded(mine) is None  # nor a file of theirs in a folder that was found good


@posix
def test_link_and_file_open_to_others_are_not_followed(cache: Path, load: Load) -> None:
    load().scale(3.0, 2.0)
    kernel = load().scale
    (path,) = kept(cache)
    path.chmod(0o620)
    assert loaded(kernel) is None
    path.chmod(0o600)
    assert loaded(kernel) is not None
    elsewhere = path.parent.rename(cache / "elsewhere")
    path.parent.symlink_to(elsewhere)
    assert load().scale.stats.cache_path is None
    path.parent.unlink()
    path.parent.touch(mode=0o600)
    assert load().scale.stats.cache_path is None


# ------------------------------------------------------------ what is not kept


def test_closures_and_sources_without_a_file_are_compiled_in_memory(
    cache: Path, load: Load
) -> None:
    source = """
from tinynet.jit import jit

def make(step):
    @jit()
    def add(x):
        return x + step
    return add
"""
    make = load(source).make
    assert (make(1)(1), make(5)(1)) == (2, 6)
    space: dict[str, Any] = {}
    exec(compile(SOURCE, "<no file>", "exec"), space)
    assert space["scale"](3.0, 2.0) == 6.0
    assert not kept(cache, "*")


@posix
def test_addresses_are_not_kept(cache: Path, load: Load) -> None:
    source = """
import ctypes
from tinynet.jit import jit
number = ctypes.CDLL(None).abs
number.argtypes, number.restype = [ctypes.c_int], ctypes.c_int

@jit()
def absolute(x):
    return number(x)
"""
    assert load(source).absolute(-3) == 3
    assert not kept(cache, "*")


@pytest.mark.parametrize("name", ["_rebuild", "_reduce"])
def test_internals_of_numba_that_changed(
    load: Load, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    from numba.core.compiler import CompileResult

    if name == "_rebuild":
        load().scale(3.0, 2.0)
    monkeypatch.delattr(CompileResult, name)
    assert_compiles_in_memory(load)


def test_compilation_can_be_switched_off(cache: Path, tmp_path: Path) -> None:
    program = "import kernels; print(type(kernels.scale).__name__, kernels.scale(3.0, 2.0))"
    out, err = run(tmp_path, program, NUMBA_DISABLE_JIT="1").communicate(timeout=HUNG)
    assert (out, err) == ("function 6.0\n", "")
    assert not cache.exists()


# ------------------------------------------------------------ what a person is told


class Stderr(NamedTuple):
    is_terminal: bool
    stream: TextIO
    read: Callable[[], str]


@pytest.fixture(params=["terminal", "pipe"])
def stderr(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stderr]:
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
        fresh = SimpleNamespace(since=0.0, seconds=0.0, said=False)
        monkeypatch.setattr(jitting, "_compiling", fresh)
        yield Stderr(request.param == "terminal", stream, read)
    os.close(reader)


def test_long_compiling_is_announced_once_on_a_terminal_only(
    load: Load, monkeypatch: pytest.MonkeyPatch, stderr: Stderr
) -> None:
    monkeypatch.setattr(sys, "stderr", stderr.stream)
    monkeypatch.setattr(jitting, "_PATIENCE_SECONDS", np.inf)
    kernel = load().scale
    kernel(3.0, 2.0)
    assert stderr.read() == ""
    assert jitting._compiling.seconds > 0
    monkeypatch.setattr(jitting, "_PATIENCE_SECONDS", jitting._compiling.seconds)
    kernel(3, 2)
    said = "tinynet: compiling its kernels, once on this machine\r\n"
    assert stderr.read() == (said if stderr.is_terminal else "")
    kernel(3.0, 2)
    assert stderr.read() == ""


def test_compiling_in_every_run_is_announced_with_the_remedy(
    load: Load, cache: Path, monkeypatch: pytest.MonkeyPatch, stderr: Stderr
) -> None:
    monkeypatch.setattr(sys, "stderr", stderr.stream)
    cache.write_text("a file where the folder should be")
    monkeypatch.setattr(jitting, "_PATIENCE_SECONDS", 0.0)
    load().scale(3.0, 2.0)
    assert ("in every run: TINYNET_CACHE" in stderr.read()) is stderr.is_terminal


def test_interrupted_compiling_says_that_it_will_stop(
    load: Load, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C while a step compiles its kernel; once it is compiled, nothing is said."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    compile_ = numba.core.compiler.compile_extra

    def pressed(*args: Any, **kwargs: Any) -> Any:
        signal.raise_signal(signal.SIGINT)
        return compile_(*args, **kwargs)

    kernel = load().scale

    def press_while_compiling() -> None:
        with monkeypatch.context() as patch, interrupts.Deferred() as interrupt:
            patch.setattr(numba.core.compiler, "compile_extra", pressed)
            assert kernel(3.0, 2.0) == 6.0
            interrupt.check()

    def press_when_compiled() -> None:
        with interrupts.Deferred():
            signal.raise_signal(signal.SIGINT)
            assert kernel(3.0, 2.0) == 6.0

    stopping = "stopping once its kernels are compiled; press Ctrl-C again to stop at once"
    try:
        for press, said in (
            (press_while_compiling, f"\ntinynet: {stopping}\n"),
            (press_when_compiled, ""),
        ):
            with pytest.raises(KeyboardInterrupt):
                press()
            assert capsys.readouterr().err == said
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("stream", [None, "closed"])
def test_programs_without_stderr(
    load: Load, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stream: str | None
) -> None:
    monkeypatch.setattr(jitting, "_PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr(jitting._compiling, "said", False)
    closed = (tmp_path / "closed").open("w")
    closed.close()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", closed if stream else None)
        assert load().scale(3.0, 2.0) == 6.0


def test_loading_announces_nothing(
    load: Load, monkeypatch: pytest.MonkeyPatch, stderr: Stderr
) -> None:
    load().scale(3.0, 2.0)
    monkeypatch.setattr(jitting, "_PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr(sys, "stderr", stderr.stream)
    load().scale(3.0, 2.0)
    assert stderr.read() == ""
