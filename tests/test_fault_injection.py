"""If the disk is full or the process is killed during a save, the old file is kept."""

from __future__ import annotations

import itertools
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinynet
from tests import models

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs POSIX limits and signals")
KILLS = 25
NAMES = ["net.tinynet", "net.keras", "net.h5", "net.weights.h5"]


def net(value: float = 0.0) -> Any:
    """Build a trained network whose weights all have the same value."""
    model = models.classifier(shape=(30,), units=20)
    model.fit(*models.data(4, 30), verbose=0)
    model.set_weights([np.full_like(w, value) for w in model.get_weights()])
    return model


def save(model: Any, path: Path) -> None:
    (model.save_weights if path.name.endswith(".weights.h5") else model.save)(path)


def value_in(path: Path) -> float:
    """Return the common value of all weights in a file."""
    if path.name.endswith(".weights.h5"):
        model = net()
        model.load_weights(path)
    else:
        model = tinynet.models.load_model(path)
    values = {float(v) for w in model.get_weights() for v in w.reshape(-1)}
    assert len(values) == 1, "the file mixes two versions"
    return values.pop()


@pytest.mark.parametrize("name", NAMES)
def test_full_disk_keeps_old_file(name: str, tmp_path: Path) -> None:
    """Every save fails with a file size limit from 0 to almost the size of the file."""
    resource = pytest.importorskip("resource")
    path, first, second = tmp_path / name, net(1.0), net(2.0)
    save(first, path)
    before, size = path.read_bytes(), path.stat().st_size
    old = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    failed = 0
    try:
        for room in range(0, size, max(size // 40, 1)):
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, old[0][1]))
            with pytest.raises(OSError, match="File too large"):
                save(second, path)
            failed += 1
            assert path.read_bytes() == before
            assert os.listdir(tmp_path) == [name]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old[0])
        signal.signal(signal.SIGXFSZ, old[1])
    assert failed >= 40
    assert value_in(path) == 1
    save(second, path)
    assert value_in(path) == 2


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("name", NAMES)
def test_sigkill_keeps_complete_file(name: str, tmp_path: Path) -> None:
    """A child process saves two models alternately until it is killed."""
    path, nets, moments = tmp_path / name, (net(1.0), net(2.0)), random.Random(0)
    save(nets[0], path)
    for _ in range(KILLS):
        child = os.fork()
        if child == 0:
            try:
                for model in itertools.cycle(nets):
                    save(model, path)
            finally:
                os._exit(1)
        time.sleep(moments.uniform(0, 0.05))
        os.kill(child, signal.SIGKILL)
        assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
        assert value_in(path) in (1, 2)
    # The next save removes the complete temporary file of a process killed just before renaming.
    save(nets[0], path)
    assert os.listdir(tmp_path) == [name]
