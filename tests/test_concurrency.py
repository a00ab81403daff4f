"""Concurrent calls give the same results as sequential calls, and do not leak memory."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import signal
import sys
import threading
import tracemalloc
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinynet
from tests import HUNG, RandomNumbers, models
from tests.internals import printed
from tests.models import bits
from tinynet import Sequential, config, layers, optimizers

RNG = RandomNumbers(4)
X = RNG.random((200, 30), np.float32) * (RNG.random((200, 30)) < 0.2)
Y = RNG.integers(0, 3, 200)


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest, backend: str) -> int:
    if request.param > 1 and backend == "numpy":
        pytest.skip("multiple threads require the numba backend")
    config.set_num_threads(request.param)
    return request.param


def net(seed: int = 5, optimizer: Any = "adam") -> Any:
    tinynet.random.set_seed(seed)
    between = layers.Dropout(0.2), layers.BatchNormalization()
    options = {"optimizer": optimizer, "metrics": ["accuracy"]}
    return models.classifier(*between, shape=(30,), units=16, seed=None, **options)


def together(*functions: Callable[[], Any]) -> list[Any]:
    """Run functions concurrently in separate threads; re-raise their errors."""
    results: list[Any] = [None] * len(functions)
    errors: list[BaseException] = []
    start = threading.Barrier(len(functions))

    def run(i: int) -> None:
        try:
            start.wait(HUNG)
            results[i] = functions[i]()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(functions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    if errors:
        raise errors[0]
    return results


def test_concurrent_predict_equals_sequential(backend: str) -> None:
    model = net()
    model.fit(X, Y, verbose=0)
    ways: list[Callable[[Any], Any]] = [
        lambda x: model.predict(x, verbose=0),
        lambda x: model.predict(x, batch_size=7, verbose=0),
        model.predict_on_batch,
        lambda x: model(x).numpy(),
    ]
    jobs = [(ways[i % 4], X[i : i + 150]) for i in range(8)]
    expected = [way(x) for way, x in jobs]

    def work(i: int) -> bool:
        way, x = jobs[i]
        return all(way(x).tobytes() == expected[i].tobytes() for _ in range(20))

    assert together(*(lambda i=i: work(i) for i in range(8))) == [True] * 8


def test_concurrent_training_equals_sequential(threads: int) -> None:
    kinds = ["adam", optimizers.SGD(0.1, momentum=0.9), "rmsprop"]

    def train(model: Sequential) -> Any:
        # All random seeds have been drawn at this point, so the order of the threads does not
        # matter.
        return model.fit(X, Y, epochs=5, verbose=0, validation_split=0.1).history

    alone, beside = (
        [net(i, copy.deepcopy(kind)) for i, kind in enumerate(kinds)] for _ in range(2)
    )
    expected = [train(model) for model in alone]
    assert together(*(lambda m=m: train(m) for m in beside)) == expected
    assert [bits(m) for m in beside] == [bits(m) for m in alone]


def test_models_can_be_created_in_threads() -> None:
    def make() -> list[str]:
        model = Sequential([layers.Dense(3, name=None) for _ in range(20)])
        model.predict(X, verbose=0)
        return [layer.name for layer in model.layers]

    names = together(*[make] * 6)
    assert names == [["dense", *(f"dense_{i}" for i in range(1, 20))]] * 6


def test_seeds_of_threads_are_independent() -> None:
    def experiment(seed: int) -> list[bytes]:
        model = net(seed, optimizers.SGD(0.1))
        model.fit(X, Y, epochs=2, verbose=0)
        return bits(model)

    expected = [experiment(seed) for seed in range(4)]
    tinynet.random.set_seed(6)
    following = tinynet.random.draw_seed()
    tinynet.random.set_seed(6)
    assert together(*(lambda i=i: experiment(i) for i in range(4))) == expected
    assert tinynet.random.draw_seed() == following  # the main thread has its own seeds


def test_undone_draws_of_other_threads_are_kept() -> None:
    """A failed call restores the random state, unless another thread has drawn a seed."""

    draw = tinynet.random.draw_seed
    for others in ([], [draw]):
        drawn = []

        class Fails(layers.Layer):
            def build(self, shape: Any) -> None:
                drawn.extend([draw(), *together(*others)])  # noqa: B023  # called in this iteration
                raise ValueError("stop")

        with pytest.raises(ValueError, match="stop"):
            Sequential([Fails()]).predict(X, verbose=0)
        assert len(drawn) == 1 + len(others)
        assert (draw() in drawn) == (not others)


def test_training_in_thread_keeps_signal_handlers() -> None:
    before = signal.getsignal(signal.SIGINT)
    (history,) = together(lambda: net().fit(X, Y, epochs=2, verbose=0))
    assert history.epoch == [0, 1]
    assert signal.getsignal(signal.SIGINT) is before


# Forked processes are tested in tests/internals/test_thread_pool.py.


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
@pytest.mark.parametrize("state", ["unbuilt", "built", "trained"])
def test_pickle_and_deepcopy(backend: str, copied: Callable[[Any], Any], state: str) -> None:
    model = models.classifier(shape=None) if state == "unbuilt" else net()
    if state == "trained":
        model.fit(X, Y, epochs=2, verbose=0)
    before = bits(model)
    twin = copied(model)
    assert bits(twin) == before
    for a, b in zip(twin.weights, model.weights, strict=True):
        assert not np.shares_memory(a.array, b.array)
    histories = [m.fit(X, Y, epochs=2, verbose=0).history for m in (twin, model)]
    if state != "unbuilt":  # an unbuilt model draws its initial weights when it is built
        assert histories[0] == histories[1]
        assert bits(twin) == bits(model)
        assert bits(model) != before
    assert twin.predict(X, verbose=0).shape == (200, 3)


def test_layer_optimizer_and_history_pickle() -> None:
    model = net()
    history = model.fit(X, Y, verbose=0)
    for thing in (model.layers[0], model.optimizer, model.loss, model.metrics[1]):
        assert type(pickle.loads(pickle.dumps(thing))) is type(thing)
    assert copy.deepcopy(history.history) == history.history


# ------------------------------------------------------------ memory


def resident() -> int:
    """Return the resident memory of this process in bytes."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def growth(work: Callable[[], Any], times: int) -> int:
    """Return the increase in allocated bytes over repeated calls, after a warm-up."""

    def held() -> int:
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    work()
    gc.collect()
    tracemalloc.start()
    work()
    before = held()
    for _ in range(times):
        work()
    after = held()
    tracemalloc.stop()
    return after - before


def test_memory_stays_flat(backend: str) -> None:
    model, one = net(), X[:1]
    # The limit of `predict` is one byte per call; leaking even the 120-byte input would exceed it.
    assert growth(lambda: model.predict(one, verbose=0), 2000) < 2000
    assert growth(lambda: model(one), 500) < 2000
    assert growth(lambda: model.evaluate(one, Y[:1], verbose=0), 200) < 2000
    assert growth(lambda: model.fit(X, Y, epochs=2, verbose=0), 20) < 20_000


def test_deleted_models_are_freed() -> None:
    model = net()
    model.fit(X, Y, verbose=0)
    model.predict(X, verbose=0)
    kernel = weakref.ref(model.layers[0].kernel.array.base)
    assert kernel() is not None
    del model
    gc.collect()
    assert kernel() is None


def run_for_long(backend: str) -> None:
    config.set_backend(backend)
    model = net()
    for _ in range(2000):
        model.predict(X[:1], verbose=0)
    before = resident()
    for _ in range(100_000):
        model.predict(X[:1], verbose=0)
    assert resident() - before < 2 << 20
    model.fit(X, Y, epochs=20, verbose=0)
    before = resident()
    history = model.fit(X, Y, epochs=200, verbose=0)
    assert len(history.epoch) == 200
    assert resident() - before < 2 << 20
    assert sys.getrefcount(model) < 20


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs /proc")
def test_memory_stays_flat_long_run(backend: str) -> None:
    # In a separate process: threads that other tests leave running also allocate memory.
    printed(f"from tests.test_concurrency import run_for_long; run_for_long({backend!r})")
