"""More threads than one: the same bits, and never a thread that waits for ever."""

from __future__ import annotations

import _thread
import faulthandler
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

numba = pytest.importorskip("numba")

import tinynet  # noqa: E402  # only where there is a Numba to compile with
from tests import HUNG  # noqa: E402
from tinynet import config, sparse, threads  # noqa: E402
from tinynet.callbacks import Callback  # noqa: E402
from tinynet.layers import Dense, Layer  # noqa: E402
from tinynet.program import dispatch  # noqa: E402

if numba.config.DISABLE_JIT or sys.platform != "linux":
    pytest.skip("one thread only here", allow_module_level=True)

N, D, U = 333, 199, 101  # sizes that no number of threads divides


@pytest.fixture(autouse=True)
def _two_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two threads, on any machine; a test that hangs ends the tests."""
    faulthandler.dump_traceback_later(HUNG, exit=True)
    monkeypatch.setattr(threads, "processors", lambda: 8)
    backend = config.backend()
    config.set_backend("numba")
    config.set_num_threads(2)
    running = _thread._count()
    yield
    assert threads.active is None
    await_threads(running)
    config.set_num_threads(1)
    config.set_backend(backend)
    faulthandler.cancel_dump_traceback_later()


def await_threads(running: int = 0) -> None:
    """Wait until no more threads are left; one that has done its work needs a moment to end."""
    until = time.monotonic() + HUNG / 2
    while _thread._count() > running and time.monotonic() < until:
        time.sleep(0.001)
    assert _thread._count() <= running, "a helper is left behind"


def data(n: int = N) -> tuple[Any, Any]:
    rng = np.random.default_rng(1)
    x = rng.random((n, D)) * (rng.random((n, D)) < 0.2)
    return x.astype("float32"), rng.integers(0, 10, n)


def model(*between: Layer, optimizer: Any = "adam", **options: Any) -> Any:
    tinynet.random.set_seed(7)
    layers = [Dense(U, activation="relu"), *between, Dense(10, activation="softmax")]
    made = tinynet.Sequential(layers, **options)
    made.compile(optimizer, "sparse_categorical_crossentropy")
    return made


def bits(trained: Any) -> bytes:
    return b"".join(w.tobytes() for w in trained.get_weights())


def train(made: Any = None, **options: Any) -> bytes:
    """Train; return the weights."""
    made = model() if made is None else made
    made.fit(*data(), epochs=3, verbose=0, **options)
    return bits(made)


def alone(*args: Any, **options: Any) -> bytes:
    """Train on one thread; return the weights."""
    config.set_num_threads(1)
    weights = train(*args, **options)
    config.set_num_threads(2)
    return weights


class Does(Callback):
    """Do something after the third step."""

    def __init__(self, action: Any) -> None:
        super().__init__()
        self.action, self.steps = action, 0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.steps += 1
        if self.steps == 3:
            self.action()


# ------------------------------------------------------------ what may be set


@pytest.mark.parametrize("n", [1.5, "2", True, None, np.True_])
def test_a_number_of_threads_is_a_whole_number(n: Any) -> None:
    with pytest.raises(TypeError, match="Received: "):
        config.set_num_threads(n)
    assert config.num_threads() == 2


@pytest.mark.parametrize("n", [0, -1])
def test_there_is_at_least_one_thread(n: int) -> None:
    with pytest.raises(ValueError, match=f"at least 1. Received: {n}"):
        config.set_num_threads(n)


def test_numbers_of_numpy_are_numbers() -> None:
    config.set_num_threads(np.int64(3))
    assert config.num_threads() == 3
    assert type(config.num_threads()) is int


def control_groups(root: Path, groups: str, **files: str) -> int:
    """Return the number of cores with these files of control groups."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(groups)
    for name, content in files.items():
        path = root / "sys/fs/cgroup" / name.replace("__", "/").replace("cpu_", "cpu.")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return config._usable_cores(root)


def test_auto_is_the_number_of_usable_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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
    with pytest.raises(TypeError, match=r"threads, or \"auto\". Received: 'all'"):
        config.set_num_threads("all")  # type: ignore[arg-type]


def test_auto_is_one_thread_where_more_are_not_supported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "plan9")
    config.set_num_threads("auto")
    assert config.num_threads() == 1


def test_more_threads_are_refused_where_they_can_not_be(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(numba.config, "DISABLE_JIT", 1)
        with pytest.raises(ValueError, match=r"NUMBA_DISABLE_JIT must not be set. Received: 2"):
            config.set_num_threads(2)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "platform", "plan9")
        with pytest.raises(ValueError, match=r"needs Linux, not plan9. Received: 2"):
            config.set_num_threads(2)
    config.set_backend("numpy")
    with pytest.raises(ValueError, match=r"the numba backend, not 'numpy'. Received: 2"):
        config.set_num_threads(2)
    config.set_num_threads(1)


def test_the_numpy_backend_chosen_later_computes_on_one_thread() -> None:
    config.set_backend("numpy")
    with threads.helping():
        assert threads.current() is None


def test_one_thread_makes_no_team() -> None:
    config.set_num_threads(1)
    with threads.helping():
        assert threads.current() is None


def test_one_processor_makes_no_team(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "processors", lambda: 1)
    with threads.helping():
        assert threads.current() is None


def test_processors_are_those_the_process_may_use() -> None:
    program = "from tinynet import threads; print(threads.processors())"
    one = min(os.sched_getaffinity(0))
    run = subprocess.run(
        [sys.executable, "-c", f"import os; os.sched_setaffinity(0, [{one}]); {program}"],
        capture_output=True,
        text=True,
        timeout=HUNG,
    )
    assert run.stdout.strip() == "1"


# ------------------------------------------------------------ the jobs


@pytest.fixture(params=[(2, True), (3, True), (5, True), (2, False)], ids=str)
def team(request: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[threads.Team]:
    """A team whose helpers may come or not, and one that has none."""
    n, helped = request.param
    if not helped:

        def refuse(*arguments: Any) -> None:
            raise RuntimeError("can't start new thread")

        monkeypatch.setattr(threads._thread, "start_new_thread", refuse)
    made = threads.Team(n)
    made.start()
    yield made
    made.stop()


def arrays(n: int = N) -> Any:
    """Return a batch of compressed rows, weights and a gradient."""
    rng = np.random.default_rng(2)
    batch = sparse.CompressedRows(data()[0], "float32").take(rng.permutation(N)[:n])
    kernel, d_y = (rng.standard_normal(s).astype("float32") for s in ((D, U), (n, U)))
    return batch, kernel, rng.standard_normal(U).astype("float32"), d_y


def test_parts_of_a_job_make_the_whole(team: threads.Team) -> None:
    batch, kernel, bias, d_y = arrays()
    out, expected = (np.full((N, U), np.nan, "float32") for _ in range(2))
    tables, expected_tables = (
        [np.zeros_like(t) for t in batch._tables(team.work)] for _ in range(2)
    )
    gradient, expected_gradient = (np.full((D, U), np.nan, "float32") for _ in range(2))
    dispatch.sparse_dense(*batch.arrays, kernel, bias, expected)
    dispatch.sort_by_column(*batch.arrays, *expected_tables)
    dispatch.sparse_kernel_gradient(*expected_tables, d_y, expected_gradient)
    for rest in (0, 0, 0, time.monotonic_ns() + 10**11):  # with a helper if it comes, then without
        team.boxes[0, team._protocol.REST] = rest
        for array in (out, *tables, gradient):
            array.fill(0)
        team.begin("dense", *batch.arrays, kernel, bias, out)
        team.finish()
        sort = team.begin("sort", *batch.arrays, *tables)
        assert team.has_begun(sort)
        team.finish()
        team.begin("gradient", *tables, d_y, gradient)
        assert not team.has_begun(sort)
        team.finish()
        assert np.array_equal(out, expected)
        assert all(map(np.array_equal, tables, expected_tables))
        assert np.array_equal(gradient, expected_gradient)


def test_parts_of_a_step_make_the_whole(team: threads.Team) -> None:
    rng = np.random.default_rng(3)
    vectors = [rng.random(10_007, "float32") for _ in range(4)]
    expected = [vector.copy() for vector in vectors]
    constants = (0.01, 0.1, 0.001, 1e-7)
    for _ in range(20):
        dispatch.adam(*expected, *constants)
        team.begin("adam", *vectors, np.array(constants))
        team.finish()
    assert all(map(np.array_equal, vectors, expected))


def test_what_is_begun_is_dropped_by_what_comes_next(team: threads.Team) -> None:
    batch, kernel, bias, _ = arrays()
    out, expected = (np.empty((N, U), "float32") for _ in range(2))
    dispatch.sparse_dense(*batch.arrays, kernel, bias, expected)
    for _ in range(50):
        team.begin("sort", *batch.arrays, *batch._tables(team.work))
        team.begin("dense", *batch.arrays, kernel, bias, out)
        team.finish()
        assert np.array_equal(out, expected)


def test_a_helper_does_help() -> None:
    batch, *_ = arrays()
    team = threads.Team(2)
    team.start()
    table, *others = batch._tables(team.work)
    until = time.monotonic() + HUNG
    while time.monotonic() < until:
        table.fill(0)
        team.begin("sort", *batch.arrays, table, *others)
        time.sleep(0.02)  # nobody else sorts meanwhile
        if table.any():
            break
    team.stop()
    assert table[0, -1] > 0


def test_a_helper_that_is_late_is_not_waited_for_again() -> None:
    team = threads.Team(2)
    team.start()
    protocol = team._protocol
    w = [np.zeros(16, "float32") for _ in range(4)]
    team.boxes[0, protocol.LATE] = protocol.TOO_LATE + 5
    before = time.monotonic_ns()
    team.begin("adam", *w, np.ones(4))
    team.finish()
    rest = team.boxes[0, protocol.REST] - protocol.PAUSE
    assert before <= rest <= time.monotonic_ns()
    team.boxes[0, protocol.REST] += 10**11
    team.begin("adam", *w, np.ones(4))
    assert team.boxes[1, protocol.STATE] == protocol.FREE, "it is offered nothing"
    team.finish()
    team.boxes[0, protocol.REST] = before
    team.begin("adam", *w, np.ones(4))
    assert team.boxes[0, protocol.REST] == 0, "the time is over"
    team.finish()
    team.stop()


def test_what_can_not_be_divided_is_not() -> None:
    big = np.zeros((200, 200), "float32")
    with threads.helping():
        assert threads.team_for("gradient", big) is threads.current() is not None
        assert threads.team_for("gradient", big[:50]) is None
        assert threads.team_for("gradient", big.T[:, :150]) is None
        assert threads.team_for("gradient", big, big.astype("float64")) is None
        assert threads.team_for("gradient", big, big[:, ::2]) is None
    assert threads.team_for("gradient", big) is None


# ------------------------------------------------------------ training


@pytest.mark.parametrize("n", [2, 3, 8])
def test_the_number_of_threads_changes_no_bit(n: int) -> None:
    expected = alone()
    config.set_num_threads(n)
    assert train() == expected
    assert train() == expected


@pytest.mark.parametrize(
    ("name", "options"), [("Adam", {"amsgrad": True}), ("SGD", {}), ("AdamW", {})], ids=str
)
def test_nor_does_it_with_another_optimizer(name: str, options: Any) -> None:
    kind = getattr(tinynet.optimizers, name)
    assert train(model(optimizer=kind(**options))) == alone(model(optimizer=kind(**options)))


def test_nor_does_it_in_float64_or_on_dense_inputs() -> None:
    config.set_floatx("float64")
    try:
        assert train() == alone()
    finally:
        config.set_floatx("float32")
    x, y = data()
    weights = []
    for n in (1, 2):
        config.set_num_threads(n)
        trained = model()
        trained.fit(x + 1, y, epochs=2, verbose=0)
        weights.append(bits(trained))
    assert weights[0] == weights[1]


def test_large_batches_and_a_first_layer_that_is_frozen() -> None:
    assert train(batch_size=300) == alone(batch_size=300)
    weights = []
    for n in (1, 2):
        config.set_num_threads(n)
        frozen = model()
        frozen.build((None, D))
        frozen.layers[0].trainable = False
        weights.append(train(frozen))
    assert weights[0] == weights[1]


def test_threads_that_train_at_once_wait_for_nobody() -> None:
    expected = alone()
    results: list[bytes] = []
    # Models are made one at a time, since they draw from the one seed.
    made = [[model() for _ in range(5)] for _ in range(4)]
    running = [
        threading.Thread(target=lambda mine: results.extend(map(train, mine)), args=(mine,))
        for mine in made
    ]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    assert results == [expected] * 20


def test_a_fit_within_a_fit() -> None:
    inner = model()
    outer = model()
    expected = alone()
    assert train(outer, callbacks=[Does(lambda: train(inner))]) == expected
    assert bits(inner) == expected


class Fails(Layer):
    """Pass everything on, until it shall not."""

    fails = False

    def forward(self, x: Any, work: Any, training: bool = False) -> Any:
        return x

    def backward(self, d_y: Any, work: Any, need_d_x: bool = True) -> Any:
        if self.fails:  # the first layer's sort is under way
            raise KeyboardInterrupt
        return d_y

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape


def test_an_error_in_the_middle_of_a_step_leaves_nothing_behind() -> None:
    expected = alone()
    failing = Fails()
    failing.fails = True
    for _ in range(5):
        with pytest.raises(KeyboardInterrupt):
            train(model(failing))
        assert threads.current() is None
        assert train() == expected


# ------------------------------------------------------------ prediction


def test_prediction_and_evaluation_compute_the_same_side_by_side() -> None:
    x, y = data(5000)
    trained = model()
    results = []
    for n in (1, 2, 5):
        config.set_num_threads(n)
        results.append((trained.predict(x, verbose=0).tobytes(), trained.evaluate(x, y, verbose=0)))
    assert results[0] == results[1] == results[2]


def test_batches_that_are_watched_come_one_by_one() -> None:
    seen: list[Any] = []

    class Watches(Callback):
        def on_predict_batch_begin(self, batch: int, logs: Any = None) -> None:
            seen.append(batch)

        def on_predict_batch_end(self, batch: int, logs: Any = None) -> None:
            seen.append((batch, len(logs["outputs"])))

    model().predict(data()[0], batch_size=200, verbose=0, callbacks=[Watches()])
    assert seen == [0, (0, 200), 1, (1, 133)]


def test_each_keeps_the_order_and_asks_for_few_items_at_once() -> None:
    asked, given = [], []

    def items() -> Iterator[int]:
        for i in range(20):
            asked.append(i)
            yield i

    for i in threads.each(lambda i: (time.sleep(0.01 if i % 3 else 0), i)[1], items()):
        given.append(i)
        assert len(asked) - len(given) <= 2
    assert given == list(range(20))


def test_each_passes_errors_on() -> None:
    with pytest.raises(ZeroDivisionError):
        list(threads.each(lambda i: 1 // i, [1, 0, 1, 1]))


# ------------------------------------------------------------ forks, and the end

PRELUDE = """
import _thread, os, random, signal, sys, threading, time
import numpy as np
import tinynet
from tests import test_threads as t
from tinynet import config, threads

threads.processors = lambda: 8
config.set_num_threads(2)
expected = t.alone()
assert t.train() == expected  # all is compiled: Numba's own lock knows nothing of forks
"""


def run(program: str) -> None:
    """Run a program in its own process; it must end, and without complaint."""
    run = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", PRELUDE + program],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=HUNG,
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


def test_forks_during_and_after_training() -> None:
    run("""
children = []

def fork():
    pid = os.fork()
    if pid == 0:
        signal.alarm(30)  # a child that hangs ends, and not well
        assert threads.current() is None
    children.append(pid)

for _ in range(5):
    # Child and parent both go on with this training, and both do another one.
    trained = t.train(callbacks=[t.Does(fork)])
    ok = trained == expected and t.train() == expected
    pid = children.pop()
    if pid == 0:
        os._exit(0 if ok else 1)
    assert ok
    assert os.waitpid(pid, 0)[1] == 0
assert not children
""")


def test_forks_from_another_thread_while_this_one_trains() -> None:
    run("""
done, statuses = threading.Event(), []

def forks():
    while not done.is_set():
        pid = os.fork()
        if pid == 0:
            signal.alarm(30)
            os._exit(0 if threads.active is None and t.train() == expected else 1)
        statuses.append(os.waitpid(pid, 0)[1])

made = [t.model() for _ in range(30)]
thread = threading.Thread(target=forks)
thread.start()
for each in made:
    assert t.train(each) == expected
done.set()
thread.join()
assert statuses and not any(statuses), statuses
""")


def test_the_interpreter_ends_while_a_daemon_trains() -> None:
    run("""
def forever():
    while True:
        t.train()

threading.Thread(target=forever, daemon=True).start()
while threads.active is None:
    time.sleep(0.001)
""")


def test_the_interpreter_ends_in_the_middle_of_training() -> None:
    run("t.train(callbacks=[t.Does(sys.exit)])")


def test_ctrl_c_ends_training_and_its_helper() -> None:
    run("""
try:
    t.train(callbacks=[t.Does(lambda: os.kill(os.getpid(), signal.SIGINT))])
    raise SystemExit("not interrupted")
except KeyboardInterrupt:
    pass
assert threads.active is None
t.await_threads()
assert t.train() == expected
""")


def test_signal_handler_that_raises_leaves_no_worker_thread() -> None:
    run("""
class Alarm(Exception):
    pass

def handle(*_):
    raise Alarm

signal.signal(signal.SIGALRM, handle)
places = [(_thread, "start_new_thread"), (threads.Team, "start"), (threads.Team, "stop")]

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
            t.train()
            raise SystemExit("not interrupted")
        except Alarm:
            pass
        t.await_threads()
        assert threads.active is None
        assert t.train() == expected

for _ in range(300):  # at any moment, also on a busy machine: nothing is printed
    try:
        signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-4, 4e-3))
        t.train()
        signal.setitimer(signal.ITIMER_REAL, 0)
    except (Alarm, SystemError) as error:  # Numba makes one of exceptions that it does not expect
        assert isinstance(error, Alarm) or isinstance(error.__cause__, Alarm)
t.await_threads()
assert threading.enumerate() == [threading.main_thread()]
assert t.train() == expected
""")


def test_everything_works_in_a_thread_that_outlives_the_main_one() -> None:
    run("""
def work():
    threading.main_thread().join()
    try:
        model = t.model()
        x, y = t.data()
        model.fit(x, y, validation_split=0.2, batch_size=60, verbose=0)
        alone = t.model()
        config.set_num_threads(1)
        alone.fit(x, y, validation_split=0.2, batch_size=60, verbose=0)
        expected = alone.predict(x, verbose=0), alone.evaluate(x, y, verbose=0)
        config.set_num_threads(2)
        assert np.array_equal(model.predict(x, verbose=0), expected[0])
        assert model.evaluate(x, y, verbose=0) == expected[1]
    except BaseException as error:
        print(repr(error), flush=True)

threading.Thread(target=work).start()
""")


def test_prediction_works_at_exit() -> None:
    run("""
import atexit

model = t.model()
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
""")
