"""Shared fixtures, options and hooks of the tests."""

import collections
import functools
import gc
import inspect
import os
import secrets
import signal
import sys
import threading
import zlib

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("MPLBACKEND", "Agg")

import numpy as np
import pytest

try:
    import hypothesis
except ImportError:
    hypothesis = None

import tinynet
from tests import browser
from tests.internals import settings
from tinynet._core import registry
from tinynet.training import thread_pool

gc.disable()  # disabled during collection, which creates many permanent objects


@pytest.fixture(scope="session")
def mnist():
    """Return MNIST with pixels in [0, 1]; skip the test if it is not available."""
    try:
        (x, y), (x_test, y_test) = tinynet.datasets.mnist.load_data()
    except FileNotFoundError as error:
        pytest.skip(f"needs MNIST: {str(error).splitlines()[0]}")
    scale = np.float32(255)
    return (x / scale, y), (x_test / scale, y_test)


@pytest.fixture(scope="session")
def digits():
    """Return synthetic digits with pixels in [0, 1], which are always available."""
    (x, y), (x_test, y_test) = tinynet.datasets.drawn_digits.load_data(60_000, 10_000)
    scale = np.float32(255)
    return (x / scale, y), (x_test / scale, y_test)


@pytest.fixture(scope="module")
def chromium():
    """Return a Chromium window, which the tests of a file share."""
    window = browser.Browser()
    yield window
    window.close()


# The settings are restored by `pytest_runtest_teardown`.
@pytest.fixture(params=["numpy", "numba"])
def backend(request):
    """Set the backend, and return its name."""
    tinynet.config.set_backend(request.param)
    return request.param


@pytest.fixture(params=[1, 2])
def threads(request):
    """Set the number of threads, and return it."""
    if request.param > 1 and tinynet.config.backend() != "numba":
        pytest.skip("multithreading requires the numba backend")
    tinynet.config.set_num_threads(request.param)
    return request.param


# Seed for tests that must pass with any seed; set the variable to reproduce a failure.
SESSION_SEED = int(os.environ.get("TINYNET_TEST_SEED") or secrets.randbelow(2**32))
os.environ["TINYNET_TEST_SEED"] = str(SESSION_SEED)  # inherited by processes that run tests


def pytest_xdist_auto_num_workers(config):
    """Use several processes for complete runs, and one process for selected files or names."""
    if config.args_source is config.ArgsSource.ARGS or config.option.keyword:
        return 0
    return min(thread_pool.processors(), 4)


def pytest_report_header():
    """Return the session's seed for the header."""
    return f"seed of this session: TINYNET_TEST_SEED={SESSION_SEED}"


def pytest_terminal_summary(terminalreporter, config):
    """Print how to repeat the session; the option -q omits the header."""
    order = config.getoption("randomly_seed", None)
    options = "" if order is None else f" -p randomly --randomly-seed={order}"
    terminalreporter.write_line(f"To repeat: TINYNET_TEST_SEED={SESSION_SEED} pytest{options}")


@pytest.fixture
def any_seed():
    """Return a seed that differs between sessions."""
    return SESSION_SEED


# `--parallel-threads` runs a test that uses one of these in one thread only: they change or read
# the state of the process.
THREAD_UNSAFE = {
    "functions": [
        *settings.setters(),
        "tinynet.utils.register_keras_serializable",
        *("ast.*", "signal.*", "tracemalloc.*"),
    ],
    "fixtures": ["chromium", "keras", "default_interrupt", "numba_backend"],
}


def pytest_addoption(parser):
    """Add the option for the backend."""
    parser.addoption("--backend", default="numba", choices=tinynet.config.BACKENDS)


def pytest_configure(config):
    """Select the backend, configure Hypothesis, and let child processes receive SIGINT."""
    if hypothesis is not None:  # tests must not fail on a busy machine
        slow = [hypothesis.HealthCheck.too_slow]
        hypothesis.settings.register_profile("busy", deadline=None, suppress_health_check=slow)
        hypothesis.settings.load_profile("busy")
    tinynet.config.set_backend(config.getoption("--backend"))
    settings.measure_briefly()
    settings.limit_blas(int(os.environ["OPENBLAS_NUM_THREADS"]))
    if config.pluginmanager.hasplugin("run-parallel"):
        for kind, names in THREAD_UNSAFE.items():
            for name in names:
                config.addinivalue_line(f"thread_unsafe_{kind}", name)
    # A shell ignores SIGINT in background processes, and child processes would inherit that.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


# Files that compile kernels, start processes or a browser, or compare long tables with Keras.
SLOW_FILES = {
    *("test_benchmarks", "test_concurrency", "test_demo", "test_demo_training"),
    *("test_drawn_digits", "test_fault_injection", "test_hostile_files", "test_keras_features"),
    *("test_keras_files", "test_keras_formulas", "test_keras_training", "test_object_code"),
    *("test_reference", "test_sklearn", "test_thread_pool", "test_time_to_accuracy"),
}


def show_each_value(items):
    """Mark cases as wide, except for a small subset that covers every value of every parameter."""
    cases = collections.defaultdict(dict)
    for item in items:
        given = item.callspec.params.items()
        cases[item.function][item] = {(name, id(value)) for name, value in given}
    for values in cases.values():
        left = set().union(*values.values())
        while left:
            item = max(values, key=lambda item: len(values[item] & left))
            left -= values.pop(item)
        for item in values:
            item.add_marker(pytest.mark.wide)


class InThreads:
    """Test that `--parallel-threads` runs in several threads, in each as if it were alone."""

    def __init__(self, item):
        functools.update_wrapper(self, item.obj)
        self.item, self.__globals__ = item, item.obj.__globals__  # read by the plugin

    def __call__(self, **given):
        if threading.current_thread() is threading.main_thread():
            self.__wrapped__(**given)
            return
        start(self.item)
        self.__wrapped__(**given)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Mark slow files and wide cases as slow, which excludes them from the fast tests."""
    if config.getoption("parallel_threads", 1) != 1:
        settings.only_set_in_main_thread()
        for item in items:
            if isinstance(item, pytest.Function):
                item.obj = InThreads(item)
                # Threads receive different folders only as the argument `tmp_path`.
                if "tmp_path" in {*item.fixturenames} - {*inspect.signature(item.obj).parameters}:
                    item.add_marker(pytest.mark.thread_unsafe(reason="writes the same files"))
    show_each_value([item for item in items if item.get_closest_marker("each_value")])
    for item in items:
        if item.path.stem in SLOW_FILES or item.get_closest_marker("wide"):
            item.add_marker(pytest.mark.slow)


def pytest_collection_finish():
    """Exclude imported objects from garbage collection, which makes `gc.collect` fast."""
    gc.collect()
    gc.freeze()
    gc.enable()
    gc.set_threshold(50_000, 50)  # most objects belong to the running test


_BEFORE = pytest.StashKey()


def start(item):
    """Reset names and seeds, so that a test is deterministic alone, in a full run and in threads.

    Otherwise, random numbers would depend on how tests are distributed among processes, and in
    rare runs a gradient close to zero would make Adam take a full step.
    """
    registry.clear_names()
    tinynet.random.set_seed(0)
    numbers = getattr(getattr(item, "module", None), "RNG", None)
    if numbers is not None:
        own = np.random.default_rng(zlib.crc32(item.nodeid.encode()))
        numbers.bit_generator.state = own.bit_generator.state


# Hooks are faster than an autouse fixture.
@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Start a test, and remember the settings."""
    start(item)
    if "keras" in sys.modules:
        sys.modules["keras"].utils.set_random_seed(0)
    item.stash[_BEFORE] = settings.current()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item):
    """Restore the settings that the test changed."""
    after = settings.current()
    for name, old in item.stash[_BEFORE].items():
        if after[name] != old:
            getattr(tinynet.config, f"set_{name}")(old)


@pytest.fixture
def rng():
    """Return a generator with a fixed seed."""
    return np.random.default_rng(20240229)
