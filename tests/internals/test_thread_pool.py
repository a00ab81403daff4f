"""Multithreaded training is bit-identical and free of deadlocks.

`test_runner` tests the synchronization between threads.
"""

from __future__ import annotations

import _thread
import faulthandler
import itertools
import math
import os
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

numba = pytest.importorskip("numba")

import tinynet  # noqa: E402  # after importorskip: requires Numba
from tests import HUNG, models  # noqa: E402
from tests.internals.test_runner import use_workers  # noqa: E402
from tests.models import bits  # noqa: E402
from tinynet import callbacks, config, layers  # noqa: E402
from tinynet.kernels import runner  # noqa: E402
from tinynet.layers import Dense, Layer  # noqa: E402
from tinynet.program import row_order  # noqa: E402
from tinynet.training import thread_pool  # noqa: E402

if numba.config.DISABLE_JIT or sys.platform != "linux":
    pytest.skip("this platform supports only one thread", allow_module_level=True)

N, D, U = 333, 199, 101  # sizes that are not divisible by the number of threads
POOL_RUN = thread_pool.Pool.run


@pytest.fixture(autouse=True)
def _two_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Use two threads on any machine; a test that hangs aborts the session."""
    faulthandler.dump_traceback_later(HUNG, exit=True)
    prepare(monkeypatch.setattr)
    config.set_num_threads(2)
    running = _thread._count()
    yield
    assert not thread_pool._pools
    await_threads(running)
    config.set_num_threads(1)
    faulthandler.cancel_dump_traceback_later()


def prepare(change: Any = setattr) -> None:
    """Make workers start at the first step and participate in all steps, including short ones."""

    def run_together(pool: thread_pool.Pool, table: row_order.Table, steps: int) -> None:
        use_workers(pool, table)
        POOL_RUN(pool, table, steps)

    change(thread_pool, "processors", lambda: 8)
    change(thread_pool, "_WORTH_WORKERS", 0)
    change(row_order.Table, "call", lambda table: thread_pool.run(table, 1))
    change(thread_pool.Pool, "run", run_together)


def await_threads(running: int = 0) -> None:
    """Wait until at most `running` threads are left; finished threads need time to exit."""
    until = time.monotonic() + HUNG / 2
    while _thread._count() > running and time.monotonic() < until:
        time.sleep(0.001)
    assert _thread._count() <= running, "a worker thread is still running"


def data(n: int = N) -> tuple[Any, Any]:
    rng = np.random.default_rng(1)
    x = rng.random((n, D)) * (rng.random((n, D)) < 0.2)
    return x.astype("float32"), rng.integers(0, 10, n)


def model(*between: Layer, **options: Any) -> Any:
    return models.classifier(*between, shape=None, units=U, classes=10, seed=7, **options)


def train(made: Any = None, **options: Any) -> list[bytes]:
    """Train; return the weights and the optimizer's state."""
    made = model() if made is None else made
    made.fit(*data(), epochs=3, verbose=0, **options)
    return bits(made)


def alone(*args: Any, **options: Any) -> list[bytes]:
    """Train on one thread; return the weights and the optimizer's state."""
    config.set_num_threads(1)
    found = train(*args, **options)
    config.set_num_threads(2)
    return found


def after_step(action: Any, number: int = 3) -> Any:
    """Return a callback that runs a function after a step; each step is a separate runner call."""
    steps = itertools.count(1)

    def step_ends(batch: int, logs: Any) -> None:
        if next(steps) == number:
            action()

    return callbacks.LambdaCallback(on_train_batch_end=step_ends)


def after_epoch(action: Any) -> Any:
    """Return a callback that runs a function after epoch 1; an epoch is one runner call."""

    def epoch_ends(epoch: int, logs: Any) -> None:
        if epoch == 0:
            action()

    return callbacks.LambdaCallback(on_epoch_end=epoch_ends)


WAYS = [after_step, after_epoch]


def measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Enable the measurement that decides whether workers are used; tests disable it."""
    monkeypatch.setattr(thread_pool.Pool, "run", POOL_RUN)


# ------------------------------------------------------------ settings


@pytest.mark.parametrize(
    ("n", "error", "message"),
    [
        *((n, TypeError, "Received: ") for n in (1.5, "2", True, None, np.True_)),
        *((n, ValueError, f'positive integer or "auto". Received: n={n}') for n in (0, -1)),
        ("all", TypeError, "positive integer or \"auto\". Received: n='all'"),
    ],
)
def test_invalid_thread_counts(n: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        config.set_num_threads(n)
    assert config.num_threads() == 2


def test_numpy_integers_are_accepted() -> None:
    config.set_num_threads(np.int64(3))
    assert (config.num_threads(), type(config.num_threads())) == (3, int)


def control_groups(root: Path, groups: str, **files: str) -> int:
    """Return the number of cores for these control group files."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(groups)
    for name, content in files.items():
        path = root / "sys/fs/cgroup" / name.replace("__", "/").replace("cpu_", "cpu.")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return config._usable_cores(root)


def test_auto_uses_available_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {*range(3, 11)})
    config.set_num_threads("auto")
    assert 1 <= config.num_threads() <= 8
    quota, period = "cpu__a__cpu_cfs_quota_us", "cpu__a__cpu_cfs_period_us"
    limits = {quota: "450000", period: "100000"}
    for k, (cores, groups, files) in enumerate([
        (8, "0::/a/b\n", {}),
        (8, "0::/a/b\n", {"a__cpu_max": "max 100000\n"}),
        (2, "0::/a/b\n", {"a__cpu_max": "250000 100000\n", "a__b__cpu_max": "max 100000"}),
        (1, "0::/\n", {"cpu_max": "50000 100000\n"}),
        (3, "0::/outside/a\n", {"cpu_max": "300000 100000\n"}),
        (4, "3:memory:/b\n2:cpu:/a\n", limits),
        (8, "3:memory:/b\n2:cpu:/a\n", {quota: "-1", period: "100000"}),
        (8, "nonsense", {"cpu_max": "nonsense"}),
    ]):  # fmt: skip
        assert control_groups(tmp_path / str(k), groups, **files) == cores


def test_auto_is_one_without_thread_support(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "plan9")
    config.set_num_threads("auto")
    assert config.num_threads() == 1


def test_multiple_threads_raise_without_support(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(numba.config, "DISABLE_JIT", 1)
        patch.setattr(config, "COMPILES", False)
        with pytest.raises(ValueError, match=r"NUMBA_DISABLE_JIT must not be set. Received: n=2"):
            config.set_num_threads(2)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "platform", "plan9")
        with pytest.raises(ValueError, match=r"requires Linux, not plan9. Received: n=2"):
            config.set_num_threads(2)
    config.set_backend("numpy")
    with pytest.raises(ValueError, match=r"the numba backend, not 'numpy'. Received: n=2"):
        config.set_num_threads(2)
    config.set_num_threads(1)


NO_POOL: dict[str, Any] = {
    "the numpy backend": lambda patch: config.set_backend("numpy"),
    "one thread": lambda patch: config.set_num_threads(1),
    "one processor": lambda patch: patch.setattr(thread_pool, "processors", lambda: 1),
}


@pytest.mark.parametrize("name", NO_POOL)
def test_one_thread_creates_no_pool(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with_pool = train()
    NO_POOL[name](monkeypatch)
    with thread_pool.pooled() as pool:
        assert pool is thread_pool.current_pool() is None
    without = train()
    assert train() == without
    assert without == with_pool or name == "the numpy backend"


@pytest.mark.parametrize(
    ("program", "printed"),
    [
        (
            "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])\n"
            "from tinynet.training import thread_pool; print(thread_pool.processors())",
            "1\n",
        ),
        (
            "import numba.core.config as c; c.DISABLE_JIT = 1\n"
            "from tinynet import config; print(config.COMPILES)",
            "False\n",
        ),
    ],
    ids=["CPU affinity", "Numba configured after import"],
)
def test_affinity_and_numba_settings_apply(program: str, printed: str) -> None:
    assert run(program) == printed


# ------------------------------------------------------------ the pool


def test_fit_uses_pool_workers() -> None:
    """Workers execute steps of a real network."""
    seen: list[Any] = []

    def note() -> None:
        pool: Any = thread_pool.current_pool()
        seen.append((pool.n, pool._started, int(pool.words[runner.STEPS])))

    config.set_num_threads(3)
    assert train(callbacks=[after_epoch(note)]) == alone()
    assert [(n, started) for n, started, _ in seen] == [(3, 3)]
    assert seen[0][2] > 0, "no step was executed with workers"


def test_small_networks_start_no_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[int] = []
    monkeypatch.setattr(thread_pool.Pool, "start", lambda self, n: started.append(n))
    tiny = tinynet.Sequential([Dense(4, activation="relu"), Dense(1)])
    tiny.compile("sgd", "mse")
    x, y = data()
    tiny.fit(x[:, :5], y / 10, epochs=2, verbose=0)
    assert not started
    train()
    assert started


def test_short_fit_starts_no_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thread_pool, "_WORTH_WORKERS", 1 << 40)
    monkeypatch.setattr(thread_pool.Pool, "start", None)
    assert train() == alone()


def test_fit_if_threads_cannot_start(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = alone()

    def refuse(*arguments: Any) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(thread_pool._thread, "start_new_thread", refuse)
        assert train() == expected
        measured(patch)
        assert train() == expected


def test_fit_skips_late_workers() -> None:
    """On a busy machine, the caller temporarily works alone; results stay bit-identical."""
    expected, rests = alone(), []

    def make_late() -> None:
        pool: Any = thread_pool.current_pool()
        rests.append(int(pool.words[runner.REST]))
        pool.words[runner.LATE] = runner.TOO_LATE + 10**6

    def look() -> None:
        pool: Any = thread_pool.current_pool()
        rests.append(int(pool.words[runner.REST]))

    before = time.monotonic_ns()
    assert train(callbacks=[after_step(make_late), after_step(look, 4)]) == expected
    assert rests[1] >= before + runner.PAUSE
    assert train(callbacks=[after_epoch(make_late)]) == expected


# ------------------------------------------------------------ training


@pytest.mark.parametrize("n", [2, 3, 8])
def test_thread_count_is_bit_identical(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = alone()
    config.set_num_threads(n)
    assert train() == expected
    assert train() == expected
    measured(monkeypatch)
    assert train() == expected


def sigmoid_output() -> Any:
    made = tinynet.Sequential([Dense(U, activation="tanh"), Dense(1, activation="sigmoid")])
    made.compile("rmsprop", "binary_crossentropy", metrics=["accuracy"])
    return made


def autoencoder() -> Any:
    made = tinynet.Sequential([Dense(32, activation="relu"), Dense(D, activation="sigmoid")])
    made.compile("adam", "mse")
    return made


def deep() -> Any:
    tinynet.random.set_seed(7)
    return model(Dense(U, activation="gelu"), layers.LayerNormalization(), Dense(70))


# Function that builds a network, whether its inputs are dense, and arguments of `fit`.
NETWORKS: dict[str, tuple[Any, bool, dict[str, Any]]] = {
    "CSR": (model, False, {}),
    "CSR, large batches": (model, False, {"batch_size": 150}),
    "CSR, one batch": (model, False, {"batch_size": N}),
    "dense": (model, True, {}),
    "dense, large batches": (model, True, {"batch_size": 150}),
    "dropout": (lambda: model(layers.Dropout(0.3)), False, {}),
    "dropout, dense": (lambda: model(layers.Dropout(0.3), Dense(U)), True, {}),
    "batch normalization": (lambda: model(layers.BatchNormalization()), False, {}),
    "batch normalization, dense": (
        lambda: model(layers.BatchNormalization(), layers.Dropout(0.1), Dense(70)),
        True,
        {"batch_size": 64},
    ),
    "deep": (deep, True, {"batch_size": 64}),
    "sigmoid output": (sigmoid_output, False, {}),
    "autoencoder": (autoencoder, True, {"batch_size": 100}),
    "L2": (
        lambda: model(Dense(U, kernel_regularizer="l2"), optimizer="sgd"), True, {"batch_size": 64},
    ),
    "max norm": (lambda: model(Dense(U, kernel_constraint="max_norm")), True, {}),
    "class weights": (model, False, {"class_weight": {0: 2.0, 3: 0.5}}),
    "no shuffling": (model, False, {"shuffle": False}),
    **{
        f"{name}{', ' if options else ''}{', '.join(options)}": (
            lambda name=name, options=options: model(
                optimizer=getattr(tinynet.optimizers, name)(**options)
            ),
            dense,
            {},
        )
        for name, options, dense in [
            ("RMSprop", {}, False), ("RMSprop", {"momentum": 0.5, "centered": True}, True),
            ("SGD", {}, True), ("SGD", {"momentum": 0.9, "nesterov": True}, False),
            ("Adam", {"amsgrad": True}, False), ("Adam", {"clipnorm": 0.1}, True),
            ("Adam", {"global_clipnorm": 0.1}, False), ("Adam", {"clipvalue": 0.01}, True),
            ("AdamW", {"weight_decay": 0.1}, False), ("Adam", {"use_ema": True}, False),
            ("Adagrad", {}, False), ("Adadelta", {}, True), ("Adamax", {}, False),
            ("Nadam", {}, False), ("Lion", {}, True), ("Ftrl", {}, False),
        ]
    },
}  # fmt: skip


def fit(make: Any, few_zeros: bool, n: int, options: dict[str, Any]) -> tuple[Any, ...]:
    """Train with this many threads; return the trained state and the history."""
    config.set_num_threads(n)
    tinynet.random.set_seed(7)  # random layers draw their seeds here
    made = make()
    x, y = data()
    x = x + 1 if few_zeros else x
    if made.loss == "mse":
        y = x
    elif made.loss == "binary_crossentropy":
        y = y % 2
    history = made.fit(x, y, epochs=3, verbose=0, **options).history
    return zlib.crc32(b"".join(bits(made))), history


@pytest.mark.parametrize("name", NETWORKS)
def test_network_kinds_are_bit_identical(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make, few_zeros, options = NETWORKS[name]
    steps: list[int] = []

    def note(pool: thread_pool.Pool, table: row_order.Table, count: int) -> None:
        use_workers(pool, table)
        before = int(pool.words[runner.STEPS]) if len(pool.words) else 0
        POOL_RUN(pool, table, count)
        steps.append(int(pool.words[runner.STEPS]) - before if len(pool.words) else 0)

    expected = fit(make, few_zeros, 1, options)
    for n in (2, 3):
        with monkeypatch.context() as patch:
            patch.setattr(thread_pool.Pool, "run", note)
            patch.setattr(row_order, "_GAIN", -math.inf)  # use workers even for a small network
            assert fit(make, few_zeros, n, options) == expected
            assert sum(steps) > 0, "no step was executed with workers"
        with monkeypatch.context() as patch:
            measured(patch)
            assert fit(make, few_zeros, n, options) == expected


def test_float64_is_bit_identical() -> None:
    config.set_floatx("float64")
    assert train() == alone()


def test_fit_with_increasing_thread_counts() -> None:
    """Each thread needs its own scratch memory, so more threads need a larger allocation."""
    one, other = deep(), deep()
    for n in (1, 2, 5, 3, 1, 8):
        config.set_num_threads(n)
        assert train(one, batch_size=64) == alone(other, batch_size=64)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("first", "then"), [(2, 1), (3, 1), (1, 3), (2, 5), (5, 2)])
def test_set_num_threads_within_fit(first: int, then: int, way: Any) -> None:
    """The setting applies from the next call, also if another batch size needs more memory."""
    expected = alone()
    one, pools = model(), []

    def change() -> None:
        pools.append(thread_pool.current_pool())
        config.set_num_threads(then)
        other = model()  # its memory is allocated for the current pool
        other.fit(*data(), epochs=3, verbose=0)
        assert bits(other) == expected
        pools.append(thread_pool.current_pool())

    config.set_num_threads(first)
    assert train(one, callbacks=[way(change)]) == expected
    assert config.num_threads() == then
    assert pools[0] is pools[1]
    assert (pools[0] is None) == (first == 1)
    one.fit(*data(), epochs=1, verbose=0)


def test_larger_batch_within_fit() -> None:
    """A callback reduces the number of threads to one, then uses a larger batch than before."""
    x, y = data()
    weights = []
    for n in (1, 3):
        config.set_num_threads(n)
        trained = deep()

        def step(trained: Any = trained) -> None:
            config.set_num_threads(1)
            trained.evaluate(x, y, batch_size=N, verbose=0)
            trained.train_on_batch(x, y)

        weights.append(train(trained, batch_size=40, callbacks=[after_step(step)]))
    assert weights[0] == weights[1]


def test_large_batches_with_frozen_first_layer() -> None:
    assert train(batch_size=300) == alone(batch_size=300)
    weights = []
    for n in (1, 2):
        config.set_num_threads(n)
        frozen = model()
        frozen.build((None, D))
        frozen.layers[0].trainable = False
        weights.append(train(frozen))
    assert weights[0] == weights[1]


def test_concurrent_fits_do_not_block() -> None:
    expected = alone()
    results: list[list[bytes]] = []
    # Models are built one at a time, since they draw from the global seed.
    made = [[model() for _ in range(5)] for _ in range(4)]
    running = [threading.Thread(target=lambda m=m: results.extend(map(train, m))) for m in made]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    assert results == [expected] * 20


def test_fit_within_fit() -> None:
    inner, outer, expected = model(), model(), alone()
    assert train(outer, callbacks=[after_step(lambda: train(inner))]) == expected
    assert bits(inner) == expected


class Fails(Layer):
    """A layer whose backward pass raises an error."""

    def forward(self, x: Any, work: Any, training: bool = False) -> Any:
        return x

    def backward(self, d_y: Any, work: Any, need_d_x: bool = True) -> Any:
        raise KeyboardInterrupt

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape


def test_error_within_step_stops_workers() -> None:
    expected, failing = alone(), Fails()
    for _ in range(5):
        with pytest.raises(KeyboardInterrupt):
            train(model(failing))
        assert thread_pool.current_pool() is None
        assert not thread_pool._pools
        assert train() == expected


@pytest.mark.parametrize("way", WAYS)
def test_error_in_callback_stops_workers(way: Any) -> None:
    expected = alone()

    def fails() -> None:
        assert thread_pool.current_pool() is not None
        raise ZeroDivisionError

    for _ in range(5):
        with pytest.raises(ZeroDivisionError):
            train(callbacks=[way(fails)])
        assert thread_pool.current_pool() is None
        assert train() == expected


def test_non_finite_loss_stops_threads() -> None:
    """The error and the restored weights are the same for any number of threads."""
    x, y = data()
    x[200] = np.float32(3e38)  # large enough to overflow in the first layer
    found = []
    for n in (1, 2, 3):
        config.set_num_threads(n)
        trained = model()
        with pytest.raises(FloatingPointError) as error:
            trained.fit(x, y, epochs=3, shuffle=False, verbose=0)
        found.append((str(error.value), bits(trained)))
        assert not thread_pool._pools
    assert found[0] == found[1] == found[2]


# ------------------------------------------------------------ prediction


def test_parallel_predict_and_evaluate_are_identical() -> None:
    x, y = data(5000)
    trained = model()
    results = []
    for n in (1, 2, 5):
        config.set_num_threads(n)
        results.append((trained.predict(x, verbose=0).tobytes(), trained.evaluate(x, y, verbose=0)))
    assert results[0] == results[1] == results[2]


def test_callbacks_make_predict_sequential() -> None:
    seen: list[Any] = []

    watching = callbacks.LambdaCallback()
    watching.on_predict_batch_begin = lambda batch, logs=None: seen.append(batch)
    watching.on_predict_batch_end = lambda batch, logs: seen.append((batch, len(logs["outputs"])))
    model().predict(data()[0], batch_size=200, verbose=0, callbacks=[watching])
    assert seen == [0, (0, 200), 1, (1, 133)]


def test_each_is_ordered_and_lazy() -> None:
    requested, returned = [], []

    def items() -> Iterator[int]:
        for i in range(20):
            requested.append(i)
            yield i

    for i in thread_pool.each(lambda i: (time.sleep(0.01 if i % 3 else 0), i)[1], items()):
        returned.append(i)
        assert len(requested) - len(returned) <= 2
    assert returned == list(range(20))


def test_each_propagates_errors() -> None:
    with pytest.raises(ZeroDivisionError):
        list(thread_pool.each(lambda i: 1 // i, [1, 0, 1, 1]))


# ------------------------------------------------------------ forks and process exit

# Each kind of work defines `execute(action, way)`, which calls `action` during the work; `way`
# selects the callback.
COMMON = """
import _thread, gc, os, random, signal, sys, threading, time
import numpy as np
import tinynet
from tests.internals import test_runner as r
from tests.internals import test_thread_pool as t
from tinynet import config
from tinynet.training import thread_pool

config.set_num_threads(2)
"""
TRAINING = """
WAYS, make = t.WAYS, t.model

def execute(action=None, way=None, made=None):
    made = made or make()
    found = t.train(made, callbacks=[] if action is None else [way(action)])
    return [*found, made.predict(t.data()[0][:5], verbose=0).tobytes()]

config.set_num_threads(1)
"""
KINDS = {
    "training": TRAINING
    + """
t.prepare()
expected = execute()
config.set_num_threads(2)
""",
    "training with NumPy": TRAINING
    + """
config.set_backend("numpy")
expected = execute()
""",
    "rows": """
thread_pool.processors = lambda: 8
random.seed(0)
WAYS = [None, None]

def make():
    return r.Graph(5, 20, 8, 20)

def execute(action=None, way=None, made=None):
    graph = made or make()
    with thread_pool.pooled() as pool:
        pool.start(2)
        r.use_workers(pool, graph.table)
        for i in range(10):
            thread_pool.run(graph.table, 50)
            if i == 3 and action is not None:
                action()
    return graph.result()

graph = make()
graph.table.run(500)
expected = graph.result()
gc.collect()  # destructors of Numba's objects print exceptions in a forked process
gc.disable()
""",
}
OF_ALL = {
    "forks in the middle and afterwards": """
children = []

def fork():
    pid = os.fork()
    if pid == 0:
        signal.alarm(60)  # kills a child that hangs, with an exit status other than 0
        assert thread_pool.current_pool() is None
    children.append(pid)

for way in WAYS * 4:
    # Both the child and the parent finish this work and then repeat it.
    found = execute(fork, way)
    ok = found == expected and execute() == expected
    pid = children.pop()
    if pid == 0:
        os._exit(0 if ok else 1)
    assert ok
    assert os.waitpid(pid, 0)[1] == 0
assert not children
"""
}
PROGRAMS = {
    "forks from another thread while this one works": """
done, statuses = threading.Event(), []

def forks():
    while not done.is_set():
        pid = os.fork()
        if pid == 0:
            signal.alarm(60)
            os._exit(0 if not thread_pool._pools and execute() == expected else 1)
        statuses.append(os.waitpid(pid, 0)[1])

made = [make() for _ in range(30)]
thread = threading.Thread(target=forks)
thread.start()
for each in made:
    assert execute(made=each) == expected
done.set()
thread.join()
assert statuses and not any(statuses), statuses
""",
    "the interpreter ends while a daemon works": """
def forever():
    while True:
        execute()

threading.Thread(target=forever, daemon=True).start()
while not thread_pool._pools:
    time.sleep(0.001)
""",
    "the interpreter ends in the middle of work": "execute(sys.exit, WAYS[0])",
    "a signal handler that raises leaves no worker thread": """
class Alarm(Exception):
    pass

def handle(*_):
    raise Alarm

signal.signal(signal.SIGALRM, handle)
places = [(_thread, "start_new_thread"), (thread_pool.Pool, "start"), (thread_pool.Pool, "stop")]

for owner, name in places:
    for before in (True, False):
        real = getattr(owner, name)

        def interrupted(*arguments):
            setattr(owner, name, real)
            if before:
                signal.raise_signal(signal.SIGALRM)
            result = real(*arguments)
            signal.raise_signal(signal.SIGALRM)
            return result

        setattr(owner, name, interrupted)
        try:
            execute()
            raise SystemExit("not interrupted")
        except Alarm:
            pass
        t.await_threads()
        assert not thread_pool._pools
        assert execute() == expected

for _ in range(300):  # at any moment, also on a busy machine: nothing is printed
    try:
        signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-4, 4e-3))
        execute()
        signal.setitimer(signal.ITIMER_REAL, 0)
    except Alarm:
        pass
t.await_threads()
assert threading.enumerate() == [threading.main_thread()]
assert execute() == expected
""",
}
OF_TRAINING = {
    "the interpreter ends after an epoch": "execute(sys.exit, WAYS[1])",
    "Ctrl-C ends training and its workers": """
for way in WAYS:
    try:
        execute(lambda: os.kill(os.getpid(), signal.SIGINT), way)
        raise SystemExit("not interrupted")
    except KeyboardInterrupt:
        pass
    assert not thread_pool._pools
    t.await_threads()
    assert execute() == expected
""",
    "Ctrl-C at any moment ends training and its workers": """
made = [make() for _ in range(100)]
for model in made:
    press = threading.Timer(random.uniform(1e-4, 2e-2), os.kill, (os.getpid(), signal.SIGINT))
    try:
        press.start()
        execute(made=model)
        press.join()
        time.sleep(0.001)
    except KeyboardInterrupt:
        pass
    press.join()
    assert not thread_pool._pools
t.await_threads()
assert execute() == expected
""",
    "a thread trains after the main thread has exited": """
def work():
    threading.main_thread().join()
    try:
        x, y = t.data()
        found = []
        for n in (2, 1):
            config.set_num_threads(n)
            model = make()
            model.fit(x, y, validation_split=0.2, batch_size=60, verbose=0)
            found.append([model.predict(x, verbose=0).tobytes(), model.evaluate(x, y, verbose=0)])
        assert found[0] == found[1]
    except BaseException as error:
        print(repr(error), flush=True)

threading.Thread(target=work).start()
""",
    "prediction works at exit": """
import atexit

model = make()
x, y = t.data()
expected = model.predict(x, verbose=0)

@atexit.register
def last():
    try:
        assert np.array_equal(model.predict(x, verbose=0), expected)
        model.evaluate(x, y, verbose=0)
        model.fit(x, y, verbose=0)
    except BaseException as error:
        print(repr(error), flush=True)
""",
}
OF_ROWS = {
    "threads with separate tables do not block each other": """
results = []

def work():
    for _ in range(5):
        with thread_pool.pooled():
            graph = make()
            for i in range(10):
                thread_pool.run(graph.table, 50)
        results.append(graph.result() == expected)

running = [threading.Thread(target=work) for _ in range(4)]
for thread in running:
    thread.start()
for thread in running:
    thread.join()
assert results == [True] * 20
"""
}


def run(program: str) -> str:
    """Run a program in a new process, assert that it exits without errors; return its output."""
    run = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", program],
        cwd=Path(tinynet.__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=HUNG,
    )
    assert (run.returncode, run.stderr) == (0, "")
    return run.stdout


@pytest.mark.parametrize(
    ("kind", "program"),
    [
        pytest.param(kind, program, id=f"{kind}, {name}")
        for kind, programs in {
            "training": PROGRAMS | OF_TRAINING,
            "rows": PROGRAMS | OF_ROWS,
            "training with NumPy": OF_ALL,
        }.items()
        for name, program in (OF_ALL | programs).items()
    ],
)
def test_programs_with_threads_forks_signals(kind: str, program: str) -> None:
    compiled = "assert execute() == expected\n"
    assert run(COMMON + KINDS[kind] + compiled + program) == ""
