"""What tests share: the data, and a model of their own."""

import collections
import gc
import os
import secrets
import signal
import sys
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
from tests.internals import settings
from tinynet._core import registry
from tinynet.training import thread_pool

gc.disable()  # until all tests are collected, which makes many objects that stay


@pytest.fixture(scope="session")
def mnist():
    """Real MNIST, pixels from 0 to 1; the test is skipped where it can't be had."""
    try:
        (x, y), (x_test, y_test) = tinynet.datasets.mnist.load_data()
    except FileNotFoundError as error:
        pytest.skip(f"needs MNIST: {str(error).splitlines()[0]}")
    scale = np.float32(255)
    return (x / scale, y), (x_test / scale, y_test)


@pytest.fixture(scope="session")
def digits():
    """Drawn digits, pixels from 0 to 1: always there."""
    (x, y), (x_test, y_test) = tinynet.datasets.drawn_digits.load_data(60_000, 10_000)
    scale = np.float32(255)
    return (x / scale, y), (x_test / scale, y_test)


# Tests of what must hold for any seed take this one; set it to see a failure again.
SESSION_SEED = int(os.environ.get("TINYNET_TEST_SEED") or secrets.randbelow(2**32))
os.environ["TINYNET_TEST_SEED"] = str(SESSION_SEED)  # inherited by processes that run tests


def pytest_xdist_auto_num_workers(config):
    """Share whole runs between processes; run the tests of some files, or by name, in this one."""
    if config.args_source is config.ArgsSource.ARGS or config.option.keyword:
        return 0
    return min(thread_pool.processors(), 4)


def pytest_report_header():
    """Print the session's seed."""
    return f"seed of this session: TINYNET_TEST_SEED={SESSION_SEED}"


@pytest.fixture
def any_seed():
    """A seed that is another one in every session."""
    return SESSION_SEED


def pytest_addoption(parser):
    """Let the whole suite run on either backend."""
    parser.addoption("--backend", default="numba", choices=tinynet.config.BACKENDS)


def pytest_configure(config):
    """Choose the backend that the tests compute with; let Ctrl-C reach what they start."""
    if hypothesis is not None:  # a busy machine is no defect
        slow = [hypothesis.HealthCheck.too_slow]
        hypothesis.settings.register_profile("busy", deadline=None, suppress_health_check=slow)
        hypothesis.settings.load_profile("busy")
    tinynet.config.set_backend(config.getoption("--backend"))
    settings.measure_briefly()
    # A shell that runs the tests in the background has it ignored, and so would their children.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


# They compile, start processes or a browser, or hold long tables against live Keras.
SLOW_FILES = {
    *("test_benchmarks", "test_concurrency", "test_demo", "test_drawn_digits"),
    *("test_fault_injection", "test_hostile_files", "test_keras_features", "test_keras_files"),
    *("test_keras_formulas", "test_keras_training", "test_object_code", "test_reference"),
    *("test_sklearn", "test_thread_pool"),
}


def show_each_value(items):
    """Mark as wide all cases but a few that have each value of each parameter."""
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


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Leave whole files, and most cases of wide tables, out of the tests to run all day."""
    show_each_value([item for item in items if item.get_closest_marker("each_value")])
    for item in items:
        if item.path.stem in SLOW_FILES or item.get_closest_marker("wide"):
            item.add_marker(pytest.mark.slow)


def pytest_collection_finish():
    """Let the garbage collector skip what is imported: `gc.collect` then takes a moment."""
    gc.collect()
    gc.freeze()
    gc.enable()
    gc.set_threshold(50_000, 50)  # old objects are few: most are of the test that runs


_BEFORE = pytest.StashKey()


# Hooks take less time than a fixture of all tests would.
@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Start names and seeds again: a test draws the same alone, in a whole run and in any process.

    Else how a run is shared between processes decides which numbers a test gets, and once in
    thousands of runs there is a gradient of almost zero, which Adam turns into a whole step.
    """
    registry.clear_names()
    tinynet.random.set_seed(0)
    if "keras" in sys.modules:
        sys.modules["keras"].utils.set_random_seed(0)
    numbers = getattr(getattr(item, "module", None), "RNG", None)
    if numbers is not None:
        own = np.random.default_rng(zlib.crc32(item.nodeid.encode()))
        numbers.bit_generator.state = own.bit_generator.state
    item.stash[_BEFORE] = settings.current()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item):
    """Restore the settings that the test changed."""
    after = settings.current()
    for name, old in item.stash[_BEFORE].items():
        if after[name] != old:
            getattr(tinynet.config, f"set_{name}")(old)


@pytest.fixture
def all_rules():
    """Enable all rules in the end."""
    yield
    tinynet.config.set_disabled_rules([])


@pytest.fixture
def rng():
    """Random numbers, the same ones in every run."""
    return np.random.default_rng(20240229)
