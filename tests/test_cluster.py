"""Grid search on a cluster: the same scores as locally, even if a worker process dies.

Each test runs a separate program, as a user would write it, which starts its own processes.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

import tinynet
from tests import HUNG

pytestmark = pytest.mark.slow

START = """
import json, os, pickle, signal, threading, time, warnings

import cloudpickle
import joblib
import numpy as np
from distributed import Client, LocalCluster
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, StratifiedKFold

import tinynet
from tinynet.sklearn import TinyNetClassifier

(x, y), _ = tinynet.datasets.drawn_digits.load_data(900, 1)
x = x.reshape(len(x), -1) / np.float32(255)
splits = list(StratifiedKFold(3).split(x, y))


def scores(max_iter=12):
    net = TinyNetClassifier(max_iter=max_iter, n_iter_no_change=10**6, random_state=0)
    grid = {"hidden_layer_sizes": [(16,), (128,)], "dropout": [0.0, 0.3]}
    search = GridSearchCV(net, grid, cv=splits, refit=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        search.fit(x, y)
    return [search.cv_results_[f"split{i}_test_score"].tolist() for i in range(3)]


def cluster():
    return LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
"""


def run(program: str, **environment: str) -> Any:
    """Run a program; return its last line of output."""
    # Workers would print warnings that this process ignores.
    settings = {"PYTHONPATH": str(Path(tinynet.__file__).parents[1]), "PYTHONWARNINGS": "ignore"}
    process = subprocess.Popen(
        [sys.executable, "-c", START + textwrap.dedent(program)],
        env={**os.environ, **settings, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        start_new_session=True,
    )
    try:
        out, errors = process.communicate(timeout=HUNG)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # including the workers
        out, errors = process.communicate()
        pytest.fail(f"timed out after {HUNG} s: {errors[-3000:]}")
    assert process.returncode == 0, errors[-3000:]
    return json.loads(out.splitlines()[-1])


EVERYWHERE = """
found = {}
with cluster() as workers, Client(workers):
    with joblib.parallel_config("dask"):
        found["Dask"] = scores()
with joblib.parallel_config("loky", n_jobs=2):
    found["loky"] = scores()
found["serial"] = scores()
print(json.dumps(found))
"""


def test_cluster_scores_equal_local_scores(tmp_path: Path) -> None:
    # The workers compile the kernels in the first run, and load them in the second.
    first = run(EVERYWHERE, TINYNET_CACHE=str(tmp_path))
    kept = sorted((tmp_path / "kernels").rglob("*-*"))
    again = run(EVERYWHERE, TINYNET_CACHE=str(tmp_path))
    assert first == again
    assert first["Dask"] == first["loky"] == first["serial"]
    assert kept
    assert sorted((tmp_path / "kernels").rglob("*-*")) == kept
    flat = [score for part in first["serial"] for score in part]
    assert len(flat) == 12
    assert min(flat) > 0.3  # ten classes; guessing gives 0.1


def test_killed_worker_is_replaced() -> None:
    program = """
    result = {}
    with cluster() as workers, Client(workers) as client:
        pids = client.run(os.getpid)

        def kill():
            busy, held = [], []
            # Wait until both workers are busy and hold copies of the arrays.
            while len(busy) < 2 or min(held, default=0) < 2:
                time.sleep(0.02)
                held = [len(w) for k, w in client.who_has().items() if k.startswith("ndarray")]
                busy = [address for address, tasks in client.processing().items() if tasks]
            time.sleep(0.3)
            result["busy"] = len(client.processing()[busy[0]])
            os.kill(pids[busy[0]], signal.SIGKILL)
            result["killed"] = time.monotonic()

        killer = threading.Thread(target=kill)
        killer.start()
        # Send all arrays to every worker: by default, joblib sends an array to a single worker, and
        # it would be lost with that worker.
        arrays = [x, y, *(rows for split in splits for rows in split)]
        with joblib.parallel_config("dask", scatter=arrays):
            result["Dask"] = scores(max_iter=60)
        result["end"] = time.monotonic()
        killer.join()
        result["lost"] = pids != client.run(os.getpid)
    result["serial"] = scores(max_iter=60)
    print(json.dumps(result))
    """
    # Dask's memory manager would drop all copies but one, which may be on the dead worker.
    result = run(program, DASK_DISTRIBUTED__SCHEDULER__ACTIVE_MEMORY_MANAGER__START="False")
    assert result["busy"] > 0
    assert result["killed"] < result["end"]
    assert result["lost"]
    assert result["Dask"] == result["serial"]


def test_worker_thread_count_and_task_size() -> None:
    program = """
    class Probe(tinynet.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.blas = tinynet.training.blas_threads.num_threads()
            self.python = threading.active_count()


    def fit(x, y):
        net = TinyNetClassifier(max_iter=1, random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            net.fit(x, y)
        probe, before = Probe(), threading.active_count()
        cpu, wall = time.process_time(), time.perf_counter()
        net.model_.fit(x, y, epochs=60, verbose=0, callbacks=[probe])
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        return probe.blas, probe.python - before, cpu / wall


    with cluster() as workers, Client(workers) as client:
        probes = list(client.run(fit, x, y).values())
        sizes, submit = [], client.submit

        def weighed(function, *arguments, **options):
            sizes.append(len(cloudpickle.dumps((function, arguments))))
            return submit(function, *arguments, **options)

        client.submit = weighed
        with joblib.parallel_config("dask"):
            scores()
    fitted = TinyNetClassifier((128,), max_iter=100, tol=9.0, random_state=0).fit(x, y)
    net = len(pickle.dumps(fitted))
    print(json.dumps({"probes": probes, "sizes": sizes, "data": x.nbytes, "net": net}))
    """
    result = run(program, OPENBLAS_NUM_THREADS="4", OMP_NUM_THREADS="4")
    assert len(result["probes"]) == 2
    for blas, more_threads, share in result["probes"]:
        assert blas == 1
        assert more_threads <= 0
        # The worker's own threads (heartbeats) use some additional CPU time.
        assert share < 1.3
    # A task contains the estimator's parameters and the row indices; the data is sent once to
    # each worker.
    assert result["sizes"]
    assert max(result["sizes"]) < 40_000 < result["data"] / 50
    # A fitted estimator is little more than its weights and Adam's two moment estimates.
    weights = 4 * (784 * 128 + 128 + 128 * 10 + 10)
    assert weights < result["net"] < 3.2 * weights
