"""Machine code of kernels: loaded from the compile cache, or compiled by worker processes.

::

    prepare   the cache ──────────────────────────────┐
                 │ missing kernels                     ├─> object code ─> one engine ─> addresses
                 └─> queue ─> worker process per core ─┘
                        └───> this process, if no worker can be started or a worker failed

A worker is a Python process that imports Numba, compiles one kernel after the other and writes
object code to a pipe, which is read by a thread of this process. So this process never imports
Numba, and it can continue while kernels are compiled. The code of worker threads is compiled
`later`: training starts without it, and the program exits only when it is in the cache.
"""

from __future__ import annotations

import _thread
import atexit
import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm

from tinynet import config
from tinynet._core import keyboard_interrupt
from tinynet.kernels import compile_cache
from tinynet.kernels.kernel_function import KernelFunction
from tinynet.kernels.numba_functions import CPU, FEATURES

_PATIENCE_SECONDS = 1.0  # delay until a message is printed
_MOST_WORKERS = 4
_LAST_SECONDS = 60.0  # maximum delay at exit
_REST_SECONDS = 5.0  # idle time until a worker exits; starting one takes 0.5 s
# Exceptions if a worker was killed, failed, or wrote something unexpected.
_FAILURES = (OSError, EOFError, ValueError, TypeError)
# Options of the interpreter: no module `site`, because sys.path is passed as arguments, and no
# warnings, which could be raised as errors.
_OPTIONS = ["-S", "-W", "ignore", "-c"]
# Program of a worker. It imports only the kernels instead of the whole package, and blocks SciPy,
# which Numba would import for matrix products.
_START = """
import sys
sys.path[:] = sys.argv[2:]
sys.modules["scipy"] = None
tinynet = sys.modules["tinynet"] = type(sys)("tinynet")
tinynet.__path__ = [sys.argv[1]]
from tinynet.kernels.compiler import work
work()
"""


class Loader:
    """Machine code of kernels in this process. `changed` guards the lists; threads wait on it."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.addresses: dict[KernelFunction, int] = {}
        self.codes: dict[KernelFunction, compile_cache.Object] = {}
        # Kernels without code: waiting for a worker, being compiled by one, or for this process.
        self.queue: list[KernelFunction] = []
        self.begun: list[KernelFunction] = []
        self.own: list[KernelFunction] = []
        #: Kernels that the program can do without until they are compiled.
        self.later: set[KernelFunction] = set()
        self.workers: list[subprocess.Popen[bytes]] = []
        self.idle = 0  # number of idle workers
        self.engines: list[Any] = []  # engines own the memory at the addresses
        self.said = False

    def prepare(self, kernels: Iterable[KernelFunction], later: bool = False) -> None:
        """Find the code of kernels, or compile it in the background; `later` kernels come last."""
        with self.changed:
            kernels = dict.fromkeys(kernels)
            self.later.update(kernels if later else ())
            known = {*self.addresses, *self.codes, *self.queue, *self.begun, *self.own}
            for kernel in kernels:
                if kernel in known:
                    continue
                if not is_kept(kernel):
                    self.own.append(kernel)
                elif (code := compile_cache.read(kernel.name)) and not _unknown(code):
                    self.codes[kernel] = code
                else:
                    self.queue.append(kernel)
            self.queue.sort(key=lambda kernel: (kernel in self.later, -_length(kernel)))
            self.changed.notify_all()
            wanted = len(self.queue) - self.idle
            most = min(config._processors(), _MOST_WORKERS)
            for _ in range(min(wanted, most - len(self.workers))):
                self._start_worker()

    def load(self, kernels: Iterable[KernelFunction]) -> list[int]:
        """Return the addresses of kernels' machine code; wait until it is compiled."""
        kernels = list(kernels)
        if any(kernel not in self.addresses for kernel in kernels):
            self.prepare(kernels)
            with self.changed:  # kernels that are waited for come first
                self.queue.sort(key=lambda kernel: kernel not in kernels)
            self._wait(kernels)
            with self.changed:
                new = [k for k in dict.fromkeys(kernels) if k not in self.addresses]
                if new:
                    self._link(new)
        return [self.addresses[kernel] for kernel in kernels]

    def is_ready(self, kernels: Iterable[KernelFunction]) -> bool:
        """Return whether kernels have code; if not, start to compile them in the background."""
        missing = [kernel for kernel in kernels if kernel not in self.addresses]
        if missing:
            self.prepare(missing)
        return not self._missing(missing)

    def is_compiling(self, kernels: Iterable[KernelFunction]) -> bool:
        """Return whether any of these kernels is being compiled or queued for compilation."""
        with self.changed:
            coming = {*self.queue, *self.begun}
            return bool(self.workers) and not coming.isdisjoint(kernels)

    def _wait(self, kernels: list[KernelFunction]) -> None:
        """Wait for the workers; compile what they cannot compile."""
        begin = time.perf_counter()
        keyboard_interrupt.compiling += 1
        try:
            while missing := self._missing(kernels):
                mine = self._next(missing)
                if time.perf_counter() - begin >= _PATIENCE_SECONDS:
                    self._tell()
                if mine is not None:
                    self._compile(mine)
                    continue
                with self.changed:
                    if self._missing(kernels) == missing:
                        self.changed.wait(_PATIENCE_SECONDS)
        finally:
            keyboard_interrupt.compiling -= 1

    def _missing(self, kernels: list[KernelFunction]) -> list[KernelFunction]:
        return [k for k in kernels if k not in self.codes and k not in self.addresses]

    def _next(self, missing: list[KernelFunction]) -> KernelFunction | None:
        """Return a kernel that this process must compile, if any."""
        with self.changed:
            if not self.workers:
                self.own += self.queue
                self.queue.clear()
            return next((kernel for kernel in missing if kernel in self.own), None)

    def _compile(self, kernel: KernelFunction) -> None:
        """Compile a kernel in this process."""
        from tinynet.kernels import compiler

        self._put(kernel, compiler.compile_kernel(kernel))

    def _put(self, kernel: KernelFunction, code: compile_cache.Object) -> None:
        """Store new object code, also in the compile cache."""
        if is_kept(kernel) and not _unknown(code):
            compile_cache.write(kernel.name, code)
        with self.changed:
            self.codes[kernel] = code
            for group in (self.begun, self.own):
                if kernel in group:
                    group.remove(kernel)
            self.changed.notify_all()

    def _link(self, kernels: list[KernelFunction]) -> None:
        """Load the code of kernels into one engine, in about a millisecond."""
        for kernel in kernels:
            if unknown := _unknown(self.codes[kernel]):
                names = ", ".join(unknown)
                raise RuntimeError(f"{kernel.name} must call only C functions. Received: {names}")
        engine = _engine()
        for kernel in kernels:
            engine.add_object_file(llvm.ObjectFileRef.from_data(self.codes[kernel].data))
        engine.finalize_object()
        self.engines.append(engine)
        for kernel in kernels:
            self.addresses[kernel] = engine.get_function_address(kernel.symbol)
            del self.codes[kernel]

    def _tell(self) -> None:
        """Print a message that explains the delay, once, if standard error is a terminal."""
        if self.said:
            return
        self.said = True
        kept = compile_cache.is_writable()
        when = "once on this machine" if kept else "in every run, because the cache folder is not"
        when += "" if kept else " writable or not private; set TINYNET_CACHE to a private folder"
        with contextlib.suppress(OSError, ValueError):
            if sys.stderr is not None and sys.stderr.isatty():
                print(f"tinynet: compiling kernels ({when})", file=sys.stderr, flush=True)

    # ------------------------------------------------------------------ workers

    def _start_worker(self) -> None:
        """Start a worker process, and a thread that reads its output, if possible."""
        if getattr(sys, "frozen", False) or "python" not in Path(sys.executable or "").name.lower():
            return  # a frozen program would start itself again
        environment = {k: v for k, v in os.environ.items() if not k.startswith("NUMBA_")}
        environment |= {"NUMBA_CPU_NAME": CPU, "NUMBA_CPU_FEATURES": FEATURES, "NUMBA_OPT": "0"}
        environment |= {"OPENBLAS_NUM_THREADS": "1"}
        paths = []
        for path in sys.path:
            with contextlib.suppress(OSError):  # deleted working directory
                paths.append(os.path.abspath(path))
        with contextlib.suppress(OSError, ValueError):
            worker = subprocess.Popen(
                [sys.executable, *_OPTIONS, _START, compile_cache.SOURCES.parent, *paths],
                cwd=compile_cache.SOURCES,  # the working directory may have been deleted
                env=environment,
                # No buffers: a fork could leave their locks locked forever.
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            self.workers.append(worker)
            try:
                _thread.start_new_thread(self._feed, (worker,))
            except RuntimeError:  # too many threads, or the interpreter exits
                self.workers.remove(worker)
                _end(worker)

    def _feed(self, worker: subprocess.Popen[bytes]) -> None:
        """Send kernels to a worker one by one, until the queue is empty or the worker fails."""
        kernel: Any = None
        try:
            while True:
                with self.changed:
                    self.idle += 1
                    self.changed.wait_for(lambda: self.queue, _REST_SECONDS)
                    self.idle -= 1
                    if not self.queue:
                        break
                    kernel = self.queue.pop(0)
                    self.begun.append(kernel)
                code = _ask(worker, kernel)
                self._put(kernel, code)
        except _FAILURES:
            with self.changed:
                self.begun.remove(kernel)
                self.own.append(kernel)
        finally:
            _end(worker)
            with self.changed:
                self.workers.remove(worker)
                self.changed.notify_all()

    def abandon(self) -> None:
        """Abandon the workers after a fork, because they belong to the parent process."""
        self.changed = threading.Condition()
        self.own += self.queue + self.begun
        for worker in self.workers:
            worker.returncode = 0
            _close(worker)
        self.queue, self.begun, self.workers, self.idle = [], [], [], 0
        self.later.clear()

    def end(self) -> None:
        """Wait at exit until `later` kernels are cached, and stop the workers."""
        with contextlib.suppress(KeyboardInterrupt), self.changed:
            self.changed.wait_for(lambda: not self.is_compiling(self.later), _LAST_SECONDS)
        self.kill()

    def kill(self) -> None:
        """Stop the workers immediately."""
        for worker in [*self.workers]:
            worker.kill()


def is_kept(kernel: KernelFunction) -> bool:
    """Return whether a kernel belongs to this package, whose sources are part of the cache key."""
    return kernel.function.__module__.rpartition(".")[0] == __package__


def _engine() -> Any:
    """Return a new LLVM engine; initialize LLVM if necessary."""
    with contextlib.suppress(RuntimeError):  # not needed in newer versions
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
    target = llvm.Target.from_triple(llvm.get_process_triple())
    machine = target.create_target_machine(cpu=CPU, features=FEATURES, jit=True)
    return llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)


def _length(kernel: KernelFunction) -> int:
    """Return an estimate of a kernel's compile time: the length of its source file."""
    with contextlib.suppress(OSError):
        return os.path.getsize(kernel.function.__code__.co_filename)
    return 0


def _unknown(code: compile_cache.Object) -> list[str]:
    """Return the external functions of the code that do not exist in this process.

    LLVM would not report them, and the code would jump to address 0.
    """
    if code.symbols and not _loader.engines:
        _loader.engines.append(_engine())
    return [name for name in code.symbols if not llvm.address_of_symbol(name)]


def _ask(worker: subprocess.Popen[bytes], kernel: KernelFunction) -> compile_cache.Object:
    """Compile a kernel in a worker; return its object code."""
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write(
        f"{compile_cache.key()} {kernel.function.__module__} {kernel.name}\n".encode()
    )
    name, size, *symbols = json.loads(worker.stdout.readline())
    data = b""
    while len(data) < size and (part := worker.stdout.read(size - len(data))):
        data += part
    if name != kernel.name or len(data) != size:
        raise EOFError
    return compile_cache.Object(tuple(symbols), data)


def _close(worker: subprocess.Popen[bytes]) -> None:
    for stream in (worker.stdin, worker.stdout):
        with contextlib.suppress(OSError):
            if stream is not None:
                stream.close()


def _end(worker: subprocess.Popen[bytes]) -> None:
    """Stop a worker that has no more work."""
    _close(worker)
    with contextlib.suppress(OSError):
        worker.kill()
        worker.wait()


_loader = Loader()
prepare, addresses, is_ready = _loader.prepare, _loader.load, _loader.is_ready
is_compiling = _loader.is_compiling
atexit.register(_loader.end)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_loader.abandon)
