"""The disk fills up, or the process is killed, at any moment of writing: the old file stays."""

from __future__ import annotations

import itertools
import os
import random
import signal
import time
from pathlib import Path

import numpy as np
import pytest

import tinynet
from tinynet import Sequential, layers

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs POSIX limits and signals")
KILLS = 25
SAVE = {
    "net.tinynet": lambda model, path: model.save(path),
    "net.keras": lambda model, path: model.save(path),
    "net.h5": lambda model, path: model.save(path),
    "net.weights.h5": lambda model, path: model.save_weights(path),
}


def net(value: float = 0.0) -> Sequential:
    """Make a trained net all of whose weights are one number."""
    model = Sequential([tinynet.Input((30,)), layers.Dense(20, "relu"), layers.Dense(3, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(np.zeros((4, 30)), np.zeros(4), verbose=0)
    model.set_weights([np.full_like(w, value) for w in model.get_weights()])
    return model


def load(path: Path) -> Sequential:
    """Load what `SAVE` saved."""
    if path.name.endswith(".weights.h5"):
        model = net()
        model.load_weights(path)
        return model
    return tinynet.models.load_model(path)


def value_of(model: Sequential) -> float:
    """Return the one number that all weights are."""
    values = {float(v) for w in model.get_weights() for v in w.reshape(-1)}
    assert len(values) == 1, "half of one file and half of another"
    return values.pop()


@pytest.mark.parametrize("name", SAVE)
def test_a_full_disk_keeps_the_old_file(name: str, tmp_path: Path) -> None:
    """Each save may write a little more than the one before, until it succeeds."""
    resource = pytest.importorskip("resource")
    path, first, second = tmp_path / name, net(1.0), net(2.0)
    SAVE[name](first, path)
    before, size = path.read_bytes(), path.stat().st_size
    old = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    failed = 0
    try:
        for room in range(0, size, max(size // 40, 1)):
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, old[0][1]))
            with pytest.raises(OSError, match="File too large"):
                SAVE[name](second, path)
            failed += 1
            assert path.read_bytes() == before
            assert os.listdir(tmp_path) == [name]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old[0])
        signal.signal(signal.SIGXFSZ, old[1])
    assert failed >= 40
    assert value_of(load(path)) == 1
    SAVE[name](second, path)
    assert value_of(load(path)) == 2


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("name", SAVE)
def test_kill_nine_keeps_a_whole_file(name: str, tmp_path: Path) -> None:
    """A child saves one model and the other in turn, until it is killed."""
    path, models, moments = tmp_path / name, (net(1.0), net(2.0)), random.Random(0)
    SAVE[name](models[0], path)
    for _ in range(KILLS):
        child = os.fork()
        if child == 0:
            try:
                for model in itertools.cycle(models):
                    SAVE[name](model, path)
            finally:
                os._exit(1)
        time.sleep(moments.uniform(0, 0.05))
        os.kill(child, signal.SIGKILL)
        assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
        assert value_of(load(path)) in (1, 2)
    # The next save removes the complete temporary file of a process killed just before renaming.
    SAVE[name](models[0], path)
    assert os.listdir(tmp_path) == [name]
