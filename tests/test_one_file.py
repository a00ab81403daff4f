"""`examples/tinynet_in_one_file.py` and the library compute bit-identical weights."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import HUNG
from tests.size import code_lines

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "tinynet_in_one_file.py"
PROGRAM = """
import hashlib, importlib.util, sys
import numpy as np
import tinynet

spec = importlib.util.spec_from_file_location("one_file", sys.argv[1])
one_file = importlib.util.module_from_spec(spec)
spec.loader.exec_module(one_file)
images, epochs = int(sys.argv[2]), int(sys.argv[3])
try:
    (x, y), _ = tinynet.datasets.mnist.load_data()
except FileNotFoundError:
    (x, y), _ = tinynet.datasets.drawn_digits.load_data()
x, y = x[:images], y[:images]
x = one_file.normalize(x)
tinynet.config.set_backend("numpy")
dense = tinynet.layers.Dense
model = tinynet.Sequential([tinynet.Input((784,)), dense(128, "relu"), dense(10, "softmax")])
model.compile("adam", "sparse_categorical_crossentropy")
weights = model.get_weights()

def digest(weights):
    return hashlib.sha256(b"".join(w.tobytes() for w in weights)).hexdigest()


found, steps = [], []
recorder = tinynet.callbacks.LambdaCallback(
    on_train_batch_end=lambda batch, logs: found.append(digest(model.get_weights()))
)
rng = np.random.default_rng(7)
for _ in range(epochs):
    order = rng.permutation(images)
    model.fit(x[order], y[order], shuffle=False, verbose=0, callbacks=[recorder])
rng = np.random.default_rng(7)
one_file.train(weights, x, y, rng, epochs, after_step=lambda weights: steps.append(digest(weights)))
assert len(steps) == epochs * -(-images // 32)
assert steps == found
"""


def test_example_is_short_and_needs_only_numpy() -> None:
    text = EXAMPLE.read_text("utf-8")
    assert code_lines(text) <= 150
    imported = {
        line.split()[1].partition(".")[0] for line in text.splitlines() if line[:6] == "import"
    }
    assert imported - sys.stdlib_module_names == {"numpy"}


@pytest.mark.parametrize("arguments", [["missing folder"], []])
def test_missing_data_is_reported_in_one_line(arguments: list[str], tmp_path: Path) -> None:
    (tmp_path / "data").write_text("not a folder")
    environment = {**os.environ, "TINYNET_DATA": ""}
    command = [sys.executable, str(EXAMPLE), *arguments]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert "mnist.npz" in done.stderr


def test_interrupted_download_is_not_loaded(tmp_path: Path) -> None:
    program = (
        "import runpy, sys, urllib.request\n"
        "def interrupt(url, path):\n"
        "    open(path, 'wb').write(b'PK')\n"
        "    raise urllib.request.ContentTooShortError('retrieval incomplete', None)\n"
        "urllib.request.urlretrieve = interrupt\n"
        f"runpy.run_path({str(EXAMPLE)!r})['load'](None)"
    )
    environment = {**os.environ, "TINYNET_DATA": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True)
    assert b"could not be downloaded" in done.stderr
    assert not (tmp_path / "mnist" / "mnist.npz").exists()


@pytest.mark.parametrize(
    ("images", "epochs"), [(6_400, 1), pytest.param(60_000, 5, marks=pytest.mark.slow)]
)
def test_weights_are_bit_identical_after_each_step(images: int, epochs: int) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-c", PROGRAM, str(EXAMPLE), str(images), str(epochs)]
    subprocess.run(command, env=environment, check=True, timeout=HUNG)
