"""The benchmarks measure correctly, and reject contenders that compute different results."""

from __future__ import annotations

import _thread
import copy
import dataclasses
import itertools
import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest

import benchmarks.__main__
import tinynet
from benchmarks import (
    ablation,
    check,
    drawn_digits,
    handwriting,
    harness,
    nets,
    report,
    result_files,
    seeds,
    suites,
    targets,
)
from benchmarks.__main__ import main
from benchmarks.contenders import CONTENDERS, Contender, only_avx2
from benchmarks.harness import Outcome, Process, SkipError, disagreeing, interleave, tolerance
from benchmarks.problem import Problem
from benchmarks.task import NETWORKS, PREDICTION, Task
from benchmarks.worker import Worker
from tests import mostly_slow

NETWORK = {task.name: task for task in NETWORKS}
TINY = Task(hidden=(16,), images=96, test_images=300, data="synthetic digits")
TASK = Task().fields()


def record(contender: str, values: list[float], **more: Any) -> dict[str, Any]:
    plain = {"measure": "epoch", "unit": "s", "task": TASK, "checked": "", "accuracies": []}
    return {**plain, "contender": contender, "values": values, **more}


def result(suite: str, records: list[Any], **more: Any) -> dict[str, Any]:
    machine = {"cpu": "a cpu", "cores": 2, "system": "an OS", "python": "3.99", "pinned": True}
    plain = {"suite": suite, "date": "2024-02-29", "versions": {"numpy": "9.9"}, "data": "MNIST"}
    skipped = {"jax-1": "requires the package jax, which is not installed"}
    machine = {**machine, "load_before": 0.1}
    rest = {"machine": machine, "rounds": 3, "quick": False, "skipped": skipped}
    return {**plain, **rest, "records": records, **more}


TRAIN = result(
    "train",
    [
        record("tinynet-1", [0.5, 0.4, 1.0], accuracies=[0.9, 0.95, 0.97]),
        record("torch-1", [2.0, 2.4, 3.0], accuracies=[0.9, 0.95, 0.96]),
        record("blas-1", [0.4, 0.4, 0.4]),
    ],
)

# ------------------------------------------------------------ results and tables


def test_ratio_is_median_over_rounds() -> None:
    # The median of 4, 6 and 3. The ratio of the medians would be 4.8.
    assert report.ratio([2.0, 2.4, 3.0], [0.5, 0.4, 1.0]) == 4
    with pytest.raises(ValueError, match="zip"):
        report.ratio([1.0], [1.0, 2.0])


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *((12.345, "12.3 s"), (9.64, "9.64 s"), (9.999, "10.0 s"), (1.0, "1.00 s")),
        *((0.9999, "1.00 s"), (0.123, "123 ms"), (0.00123, "1.23 ms"), (25.04e-6, "25.0 µs")),
        *((0.5e-6, "0.50 µs"), (123.4, "123 s"), (-0.002, "-2.00 ms")),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert report.duration(seconds) == text


def test_training_table() -> None:
    lines = report.table(TRAIN).splitlines()
    assert lines[0].split(" | ")[2:] == ["relative to tinynet, 1 core", "test accuracy |"]
    assert lines[2:] == [
        "| tinynet (fit), 1 core | 500 ms (400 ms – 1.00 s) | 1.00× | 0.9700 |",
        "| PyTorch (loop, fused Adam), 1 core | 2.40 s (2.00 s – 3.00 s) | 4.00× | 0.9600 |",
        "| BLAS (first layer's two products only), 1 core | 400 ms (400 ms – 400 ms) | 0.80× |  |",
    ]


def test_caption_lists_skipped_and_unreliable_results() -> None:
    text = report.caption(TRAIN)
    assert "a cpu, 2 cores" in text
    assert "jax-1 was skipped: requires the package jax, which is not installed." in text
    assert "busy" not in text
    assert "not meaningful" not in text
    busy = {**TRAIN, "quick": True, "machine": {**TRAIN["machine"], "load_before": 1.0}}
    assert "The machine was busy (load 1.0)" in report.caption(busy)
    assert "from a quick run and are not meaningful" in report.caption(busy)


def test_predict_ratios_use_equal_core_counts() -> None:
    seconds = {"tinynet-1": 2e-5, "tinynet-2": 1e-5, "torch-1": 3e-5, "torch-2": 3e-5}
    records = [record(key, [s], measure="predict, 1 image") for key, s in seconds.items()]
    records.append(record("torch-2", [100.0], measure="peak memory", unit="MB"))
    lines = report.table(result("predict", records)).splitlines()
    assert lines[4] == "| PyTorch, 1 core | 30.0 µs, 1.50× |  |"
    assert lines[5] == "| PyTorch, 2 cores | 30.0 µs, 3.00× | 100 MB |"


def test_lead_is_relative_to_fastest_peer() -> None:
    wide = {**TASK, "hidden": [512]}
    records = [
        record("tinynet-1", [1.0, 2.0]),
        record("torch-1", [3.0, 6.0]),
        record("jax-1", [2.0, 4.0]),
        record("tinynet-1", [1.0], task=wide),
        record("torch-1", [0.5], task=wide),
    ]
    found = report.Table(result("grid", records))
    assert report.leads(found, 1) == [(TASK, 2.0), (wide, 0.5)]
    assert report.leads(found, 2) == []
    last = report.table(result("grid", records)).splitlines()[-1]
    assert last.startswith("| 784-512-10, batch 32, 60,000 images | 1.00 s | 500 ms |")
    assert last.endswith("| 0.50× |")


def test_partial_epochs_are_scaled() -> None:
    part = {**TASK, "images": 6_000}
    text = report.table(result("grid", [record("tinynet-1", [0.1], task=part)]))
    assert "| 1.00 s |" in text


@pytest.mark.parametrize("suite", suites.SUITES)
def test_every_suite_has_table_and_plot(suite: str, tmp_path: Path) -> None:
    records = [record("tinynet-1", [0.5, 0.4]), record("torch-1", [1.0, 2.0])]
    for task in suites.tasks_of("batch size"):
        records += [{**r, "task": task} for r in copy.deepcopy(records[:2])]
    report.write(result(suite, records), tmp_path)
    text = (tmp_path / f"{suite}.md").read_text(encoding="utf-8")
    assert text.startswith(f"# {report.TITLES[suite]}\n\n| ")
    assert (tmp_path / f"{suite}.png").read_bytes().startswith(b"\x89PNG")


# ------------------------------------------------------------ targets


def nets_records(tinynet: float = 1.0, jax: float = 3.5, torch: float = 9.0) -> list[Any]:
    seconds = {"tinynet-1": tinynet, "jax-1": jax, "torch-1": torch}
    main = NETWORK["main"].fields()
    return [record(key, [value] * 2, task=main) for key, value in seconds.items()]


def test_nets_table_shows_met_targets() -> None:
    head, _, row = report.table(result("nets", nets_records())).splitlines()
    assert head == "|  | cores | tinynet | JAX | PyTorch | target |"
    assert row == "| main | 1 | 1.00 s | 3.50× (≥ 3) | 9.00× (≥ 8) | met |"
    slow = result("nets", nets_records(torch=7.0))
    assert report.table(slow).endswith("| 7.00× (≥ 8) | **missed** |")
    assert report.summary(slow) == (
        "1 of 2 targets are met. Largest shortfalls: main, torch, 1 core: 7.00 of 8."
    )
    avx2 = result("nets", nets_records(torch=7.0), isa="avx2")
    assert report.summary(avx2) == "2 of 2 targets are met."
    assert "AVX-512 was disabled" in report.caption(avx2)
    assert report.file_name(avx2) == "nets-avx2"


def test_small_networks_compare_on_one_core() -> None:
    task = NETWORK["8-64-64-1, mse"].fields()
    records = [record("tinynet-1", [1.0], task=task), record("tinynet-2", [1.25], task=task)]
    lines = report.table(result("nets", records)).splitlines()
    assert lines[0] == "|  | cores | tinynet | tinynet on 1 core | target |"
    assert lines[3].endswith("| 2 | 1.25 s | 0.80× (≥ 1) | **missed** |")


def test_calls_have_targets_by_measure() -> None:
    task, one = PREDICTION.fields(), "model(x), 1 image"
    seconds = {"tinynet-1": 1e-5, "torch-1": 2e-5, "onnx-1": 1e-5}
    records = [record(key, [s], task=task, measure=one) for key, s in seconds.items()]
    row = report.table(result("nets", records)).splitlines()[2]
    assert row == "| model(x), 1 image | 1 | 10.0 µs | 2.00× (≥ 1.67) | 1.00× | met |"


@pytest.mark.parametrize("cores", [1, 2])
@pytest.mark.parametrize("avx2", [False, True])
def test_every_network_has_targets(cores: int, avx2: bool) -> None:
    for task in NETWORKS:
        assert targets.targets(task.name, "epoch", cores, avx2)
    assert {name for names, *_ in targets.ROWS for name in names} <= {*NETWORK}


def test_grid_summary_counts_its_targets() -> None:
    records = [record("tinynet-1", [1.0]), record("jax-1", [1.2])]
    assert report.summary(result("grid", records)) == (
        "1 of 2 targets are met. Largest shortfalls: median lead, 1 core: 1.20 of 1.4."
    )


def test_ablation_table() -> None:
    seconds = {"epoch": 1.0, "epoch without linear_relu": 1.2, "epoch without learn": 1.01}
    records = [record("tinynet-1", [s, s], measure=name) for name, s in seconds.items()]
    found = result("ablation", records, lines={"linear_relu": 40})
    rows = report.table(found).splitlines()[2:]
    place = "784-128-10, batch 32, 60,000 images, 1 core"
    assert rows[0] == f"| linear_relu | 20.0% | {place} | 20.0% | 40 | 50.0% |  |"
    assert rows[1].endswith("|  |  | **less than 5% everywhere** |")
    assert rows[3] == "| needed for correctness, not measured | lines |"


def test_ablation_counts_rule_lines() -> None:
    lines = ablation.lines()
    assert [*lines] == ablation.rules()
    assert min(*lines.values(), *ablation.lines(ablation.NEEDED).values()) > 1
    parts = {"method": "sparse:CompressedRows.__len__", "file": "kernels.step_results"}
    parts["both"] = f"{parts['method']} {parts['file']}"
    lines = ablation.lines(parts)
    assert lines["both"] == lines["method"] + lines["file"]
    assert lines["method"] == 2


def test_ablation_measures_without_each_rule(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    disabled: list[list[str]] = []
    monkeypatch.setattr(tinynet.config, "rules", lambda: ("one", "two"), raising=False)
    monkeypatch.setattr(tinynet.config, "set_disabled_rules", disabled.append, raising=False)
    worker = Worker(CONTENDERS["tinynet-numpy"])
    assert worker.prepare("ablation", TINY.fields())["checked"].startswith("3 steps")
    assert disabled[-3:] == [[], ["one"], ["two"]]
    times = [worker.round()["seconds"] for _ in range(2)]
    assert disabled[-6:] == [[], ["one"], ["two"], ["one"], ["two"], []]
    assert times[0].keys() == {"epoch", "epoch without one", "epoch without two"}
    assert ablation.gains({"epoch": [1.0], "epoch without one": [1.5]}) == {"one": 0.5}


@pytest.mark.parametrize(
    ("epoch", "expected"), [(0.1, [5, 5, 5]), (0.6, [5, 3, 3]), (9, [5, 1, 1])]
)
def test_slow_contender_trains_fewer_epochs(
    epoch: float, expected: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[int] = []

    def timed(self: Worker, epochs: int) -> dict[str, Any]:
        trained.append(epochs)
        return {"seconds": {"epoch": epoch}}

    monkeypatch.setattr(Worker, "_timed", timed)
    worker = Worker(CONTENDERS["tinynet-numpy"])
    worker.prepare("nets", TINY.fields())
    for _ in expected:
        worker.round()
    assert trained == expected


@pytest.mark.skipif("not hasattr(os, 'waitid')", reason="needs os.waitid")
def test_cold_start_includes_compile_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    busy = [sys.executable, "-c", "import time\nwhile time.process_time() < 0.5: pass"]

    class Compiles:
        def epoch(self) -> None:
            if not started:
                started.append(subprocess.Popen(busy))
                _thread.start_new_thread(started[0].wait, ())

    started: list[subprocess.Popen[bytes]] = []
    worker = Worker(CONTENDERS["tinynet-numpy"])
    monkeypatch.setattr(worker, "make", Compiles)
    off = 4 / os.sysconf("SC_CLK_TCK")  # os.times counts whole ticks, in four fields
    assert worker.first()["seconds"]["CPU time of the first fit"] >= 0.5 - off


def test_thread_rules_measured_on_two_cores() -> None:
    names = ["", "chain", "parts"]
    assert ablation.measured(names, 1) == ["", "chain"]
    assert ablation.measured(names, 2) == ["", "parts"]
    assert set(ablation.FOR_THREADS) < set(ablation.rules())


def test_ablation_rejects_bit_changing_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    def disable(names: list[str]) -> None:
        if names:
            monkeypatch.setattr(tinynet.utils, "set_random_seed", lambda seed: None)

    monkeypatch.setattr(tinynet.config, "rules", lambda: ("one",), raising=False)
    monkeypatch.setattr(tinynet.config, "set_disabled_rules", disable, raising=False)
    reply = Worker(CONTENDERS["tinynet-numpy"]).prepare("ablation", TINY.fields())
    assert reply == {"skip": "results are incorrect: without one the weights differ"}


def test_sentence_compares_machines() -> None:
    def train(keras: float, torch: float) -> dict[str, Any]:
        seconds = {"tinynet-2": 1.0, "keras-tf-2": keras, "torch-2": torch}
        return {"train": result("train", [record(key, [s]) for key, s in seconds.items()])}

    assert report.sentence(train(20.0, 8.0), train(40.0, 9.0)) == (
        "On this machine, tinynet is 20.0 times as fast as Keras and 8.0 times as fast as PyTorch"
        "; on the machine used for the README, the factors are 40.0 and 9.0."
    )
    assert report.sentence(train(20.0, 8.0), {}).endswith("8.0 times as fast as PyTorch.")
    assert report.sentence({"train": TRAIN}, {}) == ""
    assert report.sentence({}, {}) == ""


# ------------------------------------------------------------ the README


BEGIN, END = "<!-- benchmarks:begin -->", "<!-- benchmarks:end -->"


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / "train.json").write_text(json.dumps(TRAIN), encoding="utf-8")
    return folder


def test_only_full_block_is_replaced(stored: Path, tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", encoding="utf-8")
    arguments = ["--write-tables", str(readme), "--out", str(stored)]
    assert main(arguments) == 0
    text = readme.read_text(encoding="utf-8")
    assert text.startswith(f"before\n{BEGIN}\n\n**An epoch of training")
    assert text.endswith(f"\n\n{END}\nafter\n")
    assert "old" not in text
    assert report.table(TRAIN) in text
    assert report.caption(TRAIN) in text
    assert main(arguments) == 0
    assert readme.read_text(encoding="utf-8") == text


def test_readme_merges_equal_captions() -> None:
    more = {"versions": {"keras": "3.0"}, "rounds": 5, "skipped": {"keras-tf-1": "not installed"}}
    predict = result("predict", [record("tinynet-1", [2e-5])], **more)
    grid = result("grid", [record("tinynet-1", [1.0]), record("jax-1", [1.5])], rounds=4)
    results = {"train": TRAIN, "predict": predict, "grid": grid}
    block = report.full_block(results)
    assert block.count("measured on") == 1
    assert "Suites `train`, `predict`, `grid`, measured on" in block
    assert "numpy 9.9, keras 3.0. Data: MNIST." in block
    assert "of 3 to 5 interleaved rounds" in block
    assert "Targets of `grid`: 2 of 2 targets are met." in block
    assert "keras-tf-1 was skipped: not installed." in block
    assert "on 1 core (suite `grid`), tinynet is 1.50 times as fast as the faster of" in block
    assert "another library is faster" not in block
    results["nets-avx2"] = result("nets", [record("tinynet-1", [1.0])], rounds=7, isa="avx2")
    block = report.full_block(results)
    assert block.count("measured on") == 2
    assert block.count("AVX-512 was disabled") == 1
    assert "of 3 to 5 interleaved rounds" in block
    results["predict"] = {**predict, "date": "2024-03-01"}
    assert report.full_block(results).count("measured on") == 3
    grid["records"][1]["values"] = [0.9]
    assert "\n| `grid` | 784-128-10, batch 32, 60,000 images | 1 | JAX 0.90× |\n" in (
        report.full_block(results)
    )


@pytest.mark.parametrize("case", ["no markers", "no results", "quick"])
def test_readme_unchanged_if_block_invalid(
    case: str, stored: Path, tmp_path: Path, capsys: Any
) -> None:
    readme = tmp_path / "README.md"
    old = "nothing here" if case == "no markers" else f"{BEGIN}{END}"
    readme.write_text(old, encoding="utf-8")
    if case == "no results":
        (stored / "train.json").unlink()
    if case == "quick":
        quick = json.dumps({**TRAIN, "quick": True})
        (stored / "train.json").write_text(quick, encoding="utf-8")
    assert main(["--write-tables", str(readme), "--out", str(stored)]) == 1
    assert "Received: " in capsys.readouterr().err
    assert readme.read_text(encoding="utf-8") == old


# ------------------------------------------------------------ equal results


@pytest.fixture(scope="module")
def problem() -> Problem:
    return Problem(TINY)


OURS = ["Tinynet", "TinynetNumpy", "Blas"]
PEERS = {"Torch": "torch", "Jax": "jax", "Sklearn": "sklearn"}
#: One network for each kind of loss, optimizer and layer.
KINDS = (
    "logits", "one-hot labels", "dropout", "tanh", "AdamW", "SGD", "L2", "batch normalization",
    "standardized", "512-512, RMSprop, dropout", "autoencoder", "8-64-64-1, mse",
    "30-16-8-1, binary", "784-30-10, sigmoid, mse, SGD", "4-32-16-4, tanh, full batch",
)  # fmt: skip


def net_of(name: str, problem: Problem) -> Any:
    """Build a contender's network; skip the test if its package is not installed."""
    if name in PEERS:
        pytest.importorskip(PEERS[name], reason=f"needs {PEERS[name]}: pip install -e '.[peers]'")
    return getattr(nets, name)(problem, 1)


@pytest.mark.parametrize("name", mostly_slow([*PEERS, *OURS], *OURS))
def test_networks_compute_equal_results(name: str, problem: Problem) -> None:
    net = net_of(name, problem)
    assert net.check()
    before = copy.deepcopy(net.weights()) if net.predicts else []
    net.epoch()
    after = net.weights() if net.predicts else []
    assert all((new != old).any() for new, old in zip(after, before, strict=True))


@pytest.mark.parametrize("name", [*NETWORK, ""])
def test_check_gradients_match_loss(name: str) -> None:
    task = dataclasses.replace(NETWORK.get(name, TINY), hidden=(7, 5), batch_norm=name == "SGD")
    task = dataclasses.replace(task, images=20, test_images=5, data="synthetic digits")
    problem = Problem(task)
    weights = [np.array(w, np.float64) for w in problem.first_weights()]
    rng = np.random.default_rng(0)
    x, y = problem.x[:5], problem.y[:5]
    _, found = check.gradients(task, weights, x, y)
    h = 1e-5  # central differences: truncation error h^2, rounding error 1e-16 / h
    for i, gradient in enumerate(found):
        direction = rng.standard_normal(gradient.shape)
        sides = []
        for sign in (h, -h):
            moved = [*weights[:i], weights[i] + sign * direction, *weights[i + 1 :]]
            sides.append(check.gradients(task, moved, x, y)[0])
        slope = (sides[0] - sides[1]) / (2 * h)
        assert math.isclose(slope, (gradient * direction).sum(), abs_tol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", mostly_slow(["Torch", "Jax", "TinynetNumpy"], "TinynetNumpy"))
def test_networks_train_like_the_check(name: str, kind: str) -> None:
    sizes: dict[str, Any] = {"images": 100, "test_images": 300, "batch": 32}
    hidden = tuple(min(units, 16) for units in NETWORK[kind].hidden)
    small = dataclasses.replace(NETWORK[kind], hidden=hidden, data="synthetic digits", **sizes)
    plain = Problem(dataclasses.replace(small, dropout=0.0))
    assert net_of(name, plain).check()
    net = net_of(name, Problem(small))
    net.epoch()
    loss = net.loss()
    expected, _, _ = check.train(plain.task, plain.first_weights(), check.batches(plain), False)
    assert 0.3 * expected[0] < loss < 2 * expected[0]


def with_optimizer(**changes: Any) -> Any:
    def change(net: Any) -> None:
        adam = tinynet.optimizers.Adam(**changes)
        net.model.compile(adam, "sparse_categorical_crossentropy", metrics=["accuracy"])

    return change


def with_loss(net: Any) -> None:
    net.train_batch = lambda x, y: type(net).train_batch(net, x, y) / 2


def with_weights(net: Any) -> None:
    net.model.layers[0].kernel.assign(net.model.layers[0].kernel.numpy() * 1.01)


def with_activation(net: Any) -> None:
    net.model.layers[0].activation = tinynet.activations.get("leaky_relu")


def with_predictions(net: Any) -> None:
    net.predict = lambda x: type(net).predict(net, x) * 0.999


def with_accuracy(net: Any) -> None:
    net.evaluate = lambda x, y: (type(net).evaluate(net, x, y)[0], 1.0)


MUTANTS = {
    "no change": (None, ""),
    **{
        name: (with_optimizer(**{name: value}), r"weights 0|step [23]: loss")
        for name, value in {
            "learning_rate": 1.1e-3,
            "beta_1": 0.8,
            "beta_2": 0.9,
            "epsilon": 1e-4,
        }.items()
    },
    "loss": (with_loss, "step 1: loss"),
    "first weights": (with_weights, "step 1: loss"),
    "activation": (with_activation, "step 1: loss"),
    "predictions": (with_predictions, "predictions"),
    "accuracy": (with_accuracy, "accuracy"),
}


@pytest.mark.parametrize(("change", "complaint"), MUTANTS.values(), ids=MUTANTS)
def test_wrong_contender_raises(change: Any, complaint: str, problem: Problem) -> None:
    net = nets.TinynetNumpy(problem, 1)
    if change is None:
        assert net.check()
        return
    change(net)
    with pytest.raises(AssertionError, match=complaint):
        net.check()


def test_dense_input_has_no_zeros() -> None:
    assert Problem(dataclasses.replace(TINY, dense=True)).x.min() > 0
    assert (Problem(TINY).x == 0).mean() > 0.5


# ------------------------------------------------------------ busy machines


def run_in(folder: Path, load: float, monkeypatch: pytest.MonkeyPatch, *more: str) -> int:
    """Run the suite `nets`, with `folder / "results"` as the folder of committed results."""
    (folder / "results").mkdir(exist_ok=True)
    monkeypatch.setattr(benchmarks.__main__, "RESULTS", folder / "results")
    monkeypatch.setattr(os, "getloadavg", lambda: (load, load, load), raising=False)
    outcome = Outcome()
    outcome.add("tinynet-1", "epoch", 1.0, task=NETWORK["main"].fields())
    monkeypatch.setattr(suites.Suite, "run", lambda *args: outcome)
    return main(["--suite", "nets", "--out", str(folder / "results"), *more])


def test_busy_machine_results_not_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    assert run_in(tmp_path, 0.6, monkeypatch) == 1
    assert "error: nets: the load average must be at most 0.5;" in (err := capsys.readouterr().err)
    assert "Received: 0.6" in err
    assert not [*(tmp_path / "results").iterdir()]
    assert run_in(tmp_path, 0.6, monkeypatch, "--force") == 0
    written = tmp_path / "results" / "nets.json"
    assert json.loads(written.read_text(encoding="utf-8"))["forced"] is True
    page = written.with_suffix(".md").read_text(encoding="utf-8")
    assert "written with --force" in page
    assert run_in(tmp_path, 0.5, monkeypatch) == 0
    assert json.loads(written.read_text(encoding="utf-8"))["forced"] is False


def test_suite_without_results_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(suites.Suite, "run", lambda *args: Outcome())
    assert main(["--suite", "nets", "--out", str(tmp_path)]) == 1
    assert capsys.readouterr().err == "error: nets: no results\n"
    outcome = Outcome()
    outcome.add("tinynet-1", "epoch", 1.0, task=NETWORK["main"].fields())
    outcome.incomplete = True
    monkeypatch.setattr(suites.Suite, "run", lambda *args: outcome)
    assert main(["--suite", "nets", "--out", str(tmp_path)]) == 1
    assert json.loads((tmp_path / "nets.json").read_text(encoding="utf-8"))["incomplete"]
    assert "These results are incomplete" in (tmp_path / "nets.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("text", ["[]", '{"suite": "train"', "{}", '{"suite": "nets"}'])
def test_invalid_results_of_other_suites(text: str, tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "train.json").write_text(text, encoding="utf-8")
    assert main(["--write-tables", "--out", str(tmp_path)]) == 1
    expected = "folder must contain results" if text == "{}" else f"{tmp_path / 'train.json'}"
    assert expected in capsys.readouterr().err


@pytest.mark.parametrize(
    ("program", "options", "error"),
    [
        (seeds, "--seeds 1", "--out must be another folder with --seeds"),
        (seeds, "--epochs 1", "--out must be another folder with --epochs"),
        (drawn_digits, "--epochs 1", "--out must be another folder with --epochs"),
        (handwriting, "--only box", "a model or --scans is required"),
        (handwriting, "--scans {}", "argument --scans: must be a file of scans. Received: {}"),
        (handwriting, "{}/none.tinynet --sheet {}/x.png", "--sheet requires --scans"),
        (handwriting, "{}/none.tinynet --only nothing", "--only must match the name of"),
        (seeds, "", "data must be MNIST. Received: MNIST was not found"),
        (handwriting, "--scans {}/scans.npz --seed 1", "--out must be another folder with --seed"),
        (handwriting, "--scans {}/scans.npz", "data must be MNIST. Received: MNIST was not found"),
        (handwriting, "{}/none.tinynet", "data must be MNIST. Received: MNIST was not found"),
    ],
)
def test_incomplete_runs_do_not_replace_results(
    program: Any, options: str, error: str, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    def missing() -> Any:
        raise FileNotFoundError("MNIST was not found")

    scans = {"images": np.zeros((1, 2, 2)), "sizes": [[2, 2]], "labels": [3]}
    np.savez(tmp_path / "scans.npz", **scans)
    monkeypatch.setattr(benchmarks.problem, "_mnist", missing)
    with pytest.raises(SystemExit, match="2"):
        program.main(options.format(tmp_path, tmp_path).split())
    assert error.format(tmp_path) in capsys.readouterr().err


def test_estimators_are_not_measured_on_a_busy_machine(monkeypatch: Any, capsys: Any) -> None:
    pytest.importorskip("sklearn", reason="needs scikit-learn")
    from benchmarks import sklearn_estimator

    monkeypatch.setattr(harness, "require_mnist", lambda: None)
    monkeypatch.setattr(os, "getloadavg", lambda: (0.6, 0.6, 0.6), raising=False)
    for options in ([], ["--images", "100"]):
        with pytest.raises(SystemExit, match="2"):
            sklearn_estimator.main(options)
    errors = capsys.readouterr().err
    assert "the load average must be at most 0.5; use --out FOLDER, or --force" in errors
    assert "--out must be another folder with --images" in errors


@pytest.mark.parametrize("text", ["", "benchmarks", "."])
def test_output_folder_is_the_given_one(text: str, monkeypatch: Any) -> None:
    monkeypatch.chdir(benchmarks.harness.ROOT)
    assert result_files.output_folder(text) == Path(text)


# ------------------------------------------------------------ interleaved rounds


def test_measurement_end_to_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    train = dataclasses.replace(suites.SUITES["train"], quick=[TINY])
    monkeypatch.setitem(suites.SUITES, "train", train)
    arguments = ["--suite", "train", "--quick", "--rounds", "2", "--out", str(tmp_path)]
    assert main([*arguments, "--contenders", "tinynet-1,tinynet-numpy"]) == 0
    found = json.loads((tmp_path / "train.json").read_text(encoding="utf-8"))
    assert [r["contender"] for r in found["records"]] == ["tinynet-1", "tinynet-numpy"]
    for r in found["records"]:
        assert len(r["values"]) == len(r["accuracies"]) == 2
        assert min(r["values"]) > 0
        assert r["checked"].startswith("3 steps")
    assert found["data"] == "synthetic digits (not MNIST)"
    assert {"tinynet", "numba", "numpy"} <= set(found["versions"])
    assert (found["rounds"], found["quick"], found["skipped"]) == (2, True, {})
    assert report.table(found) in capsys.readouterr().out
    assert (tmp_path / "train.md").exists()
    assert (tmp_path / "train.png").exists()


def test_losses_must_agree() -> None:
    losses = {"a": 1.0, "b": 1.02, "c": 1.2, "d": math.nan}
    replies = {key: {"loss": loss} for key, loss in losses.items()}
    assert disagreeing({**replies, "e": {}}, 0.05).keys() == {"c", "d"}
    assert disagreeing({**replies, "e": {}}, 0.2).keys() == {"d"}
    assert disagreeing({"e": {}, "f": {"loss": None}}, 0.05) == {}


def test_loss_tolerance_depends_on_batch_count() -> None:
    main = NETWORK["main"]  # 1,875 batches: a precise mean
    assert tolerance(main, 2.0) == pytest.approx(0.1)
    assert tolerance(dataclasses.replace(main, images=16 * 32), 2.0) == pytest.approx(0.5)
    assert tolerance(dataclasses.replace(main, images=32), 2.0) == pytest.approx(0.1)  # 1 batch
    # If a network has memorized its images, its loss may vary by a factor of two, but the loss of
    # the first epoch must agree.
    few = dataclasses.replace(main, hidden=(1024,), batch=128, images=4 * 128)
    later = {"a": {"loss": 0.024}, "b": {"loss": 0.024}, "c": {"loss": 0.048}}
    assert disagreeing(later, tolerance(few, 1.2)) == {}
    assert disagreeing({**later, "c": {"loss": 2.3}}, tolerance(few, 1.2)).keys() == {"c"}


class Stub:
    """A worker process that reports predefined losses, one per epoch."""

    losses: dict[str, Any]
    rounds: list[str]

    def __init__(self, key: str, **environment: str) -> None:
        self.key = key

    def ask(self, do: str, **request: Any) -> dict[str, Any]:
        reply = {"loss": next(self.losses[self.key])}
        if do == "round":
            self.rounds.append(self.key)
            return {**reply, "seconds": {"epoch": 1.0}}
        return {**reply, "checked": "", "versions": {}, "data": ""}

    def close(self) -> None:
        pass


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> type[Stub]:
    monkeypatch.setattr(harness, "Process", Stub)
    monkeypatch.setattr(harness, "PAUSE", 0)
    Stub.rounds = []
    return Stub


def test_differing_contender_is_skipped_per_task(stub: type[Stub]) -> None:
    # For each task: loss of the first epoch, then of the last epoch of each of two rounds.
    stub.losses = {
        "blas-1": iter([3.0, 1.0, 0.5, 0.4, 1.0, 0.9, 0.8]),
        **{key: itertools.cycle([1.0, 0.5, 0.4]) for key in ("torch-1", "tinynet-1")},
    }
    outcome, tasks = Outcome(), [NETWORK["main"], NETWORK["tanh"], NETWORK["dropout"]]
    interleave("nets", tasks, [*stub.losses], 2, outcome, [].append)
    others = [(key, task.name) for task in tasks for key in ("torch-1", "tinynet-1")]
    names = [(r["contender"], r["task"]["name"]) for r in outcome.records]
    assert sorted(names) == sorted([*others, ("blas-1", "tanh")])
    assert all(len(r["values"]) == 2 for r in outcome.records)
    assert outcome.skipped == {
        "blas-1": 'the loss of an epoch must be about 1.0000. Received: 3.0000 (network "main"); '
        'the loss of an epoch must be about 0.5000. Received: 0.9000 (network "dropout")'
    }


def test_contender_that_exits_is_left_out(stub: type[Stub]) -> None:
    """Its rounds of the task are not reported as a complete measurement."""

    def ended() -> Any:
        yield from [1.0] * 2
        raise harness.EndedError("exited with code -9: ")

    stub.losses = {"torch-1": ended(), "tinynet-1": itertools.repeat(1.0)}
    outcome, task = Outcome(), NETWORK["main"]
    interleave("nets", [task], [*stub.losses], 3, outcome, [].append)
    (record,) = outcome.records
    assert (record["contender"], len(record["values"])) == ("tinynet-1", 3)
    assert outcome.incomplete
    assert outcome.skipped == {"torch-1": 'exited with code -9:  (network "main")'}


def test_program_that_exits_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    rounds = itertools.count()

    def program(name: str, arguments: list[str], outcome: Outcome) -> None:
        if next(rounds):
            raise harness.EndedError("exited with code 1")
        outcome.add(name, "whole program", 1.0)

    monkeypatch.setattr(suites, "_import", lambda key, outcome: outcome.add(key, "import", 1.0))
    monkeypatch.setattr(suites, "_first_fit", lambda *_: None)
    monkeypatch.setattr(suites, "_program", program)
    outcome = Outcome()
    suites.cold(TINY, ["tinynet-1"], 2, 1, outcome, [].append)
    assert [(r["contender"], len(r["values"])) for r in outcome.records] == [("tinynet-1", 2)]
    assert outcome.incomplete
    assert outcome.skipped == {"python -m tinynet train": "exited with code 1"}


def test_interrupted_program_is_terminated(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Any] = []

    def popen(command: Any, **options: Any) -> Any:
        program = "import time; time.sleep(60)"
        started.append(subprocess.Popen([sys.executable, "-c", program]))
        return started[-1]

    def interrupted(*_: Any) -> Any:
        raise KeyboardInterrupt

    for name in ("_import", "_first_fit"):
        monkeypatch.setattr(suites, name, lambda *_: None)
    monkeypatch.setattr(suites, "subprocess", Mock(Popen=popen, STDOUT=subprocess.STDOUT))
    monkeypatch.setattr(os, "wait4", interrupted, raising=False)
    with pytest.raises(KeyboardInterrupt):
        suites.cold(TINY, ["keras-tf-2"], 1, 1, Outcome(), [].append)
    assert started[0].returncode == -signal.SIGKILL


def test_order_of_contenders_rotates(stub: type[Stub]) -> None:
    a, b, c = "blas-1", "torch-1", "tinynet-1"
    stub.losses = {key: itertools.repeat(1.0) for key in (a, b, c)}
    interleave("nets", [NETWORK["main"]], [a, b, c], 4, Outcome(), [].append)
    assert stub.rounds == [a, b, c, b, c, a, c, a, b, a, b, c]


def test_environments_set_isa_and_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    restricted = only_avx2()
    features = restricted["NUMBA_CPU_FEATURES"].split(",")
    assert not [f for f in features if f.startswith("+avx512")]
    flags = CONTENDERS["jax-1"].variables(**restricted)["XLA_FLAGS"]
    assert flags == "--xla_cpu_multi_thread_eigen=false --xla_cpu_max_isa=AVX2"
    assert "XLA_FLAGS" not in CONTENDERS["torch-1"].variables()


def test_networks_selected_by_partial_name() -> None:
    chosen = suites.SUITES["nets"].chosen(False, ["rmsprop", "main"])
    assert [t.name for t in chosen] == ["main", "512, RMSprop", "512-512, RMSprop, dropout"]


def test_unavailable_contender_is_skipped_with_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    absent = Contender("absent", "", "Torch", 1, ("no_such_package",))
    many = Contender("many", "", "Torch", 1000, ("numpy",))
    monkeypatch.setitem(CONTENDERS, "absent", absent)
    monkeypatch.setitem(CONTENDERS, "many", many)
    outcome, said = Outcome(), []
    interleave("train", [TINY], ["absent", "many"], 1, outcome, said.append)
    assert outcome.records == []
    assert outcome.skipped["absent"] == (
        "requires the package no_such_package, which is not installed"
    )
    assert outcome.skipped["many"].startswith("requires 1000 cores. Received: ")
    assert "absent" in said[0]


def test_crashed_process_is_skipped_with_output() -> None:
    process = Process("blas-1")
    try:
        with pytest.raises(SkipError, match=r"exited with code 1: .*no_such_measure"):
            process.ask(do="no_such_measure")
    finally:
        process.close()


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *(("--contenders", "nobody"), ("--rounds", "0"), ("--suite", "none")),
        *(("--only", "nothing"), ("--cores", "3"), ("--isa", "mmx")),
    ],
)
def test_wrong_arguments(option: str, value: str, capsys: Any) -> None:
    with pytest.raises(SystemExit) as end:
        main([option, value])
    assert end.value.code == 2
    assert option in capsys.readouterr().err


def test_suites_use_known_contenders() -> None:
    for suite in suites.SUITES.values():
        assert set(suite.contenders) <= set(CONTENDERS)
        assert len(set(suite.contenders)) == len(suite.contenders)
    for contender in CONTENDERS.values():
        assert hasattr(nets, contender.net)


def test_grid_covers_every_combination() -> None:
    assert len(set(suites.GRID)) == 2 * 2 * 3 * 3
    for task in suites.GRID:
        assert task.images == 60_000 or task.images % task.batch == 0
        assert 4 * task.batch <= task.images <= 192 * task.batch
