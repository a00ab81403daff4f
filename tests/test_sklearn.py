"""The estimators match those of scikit-learn and work in grid searches and pipelines."""

from __future__ import annotations

import copy
import inspect
import os
import pickle
import re
import secrets
import signal
import subprocess
import sys
import warnings
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse
import sklearn
from sklearn.base import clone
from sklearn.datasets import load_digits, make_multilabel_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import tinynet
from tinynet.sklearn import TinyNetClassifier, TinyNetRegressor

ROOT = Path(__file__).parents[1]
PAIRS = [(TinyNetClassifier, MLPClassifier), (TinyNetRegressor, MLPRegressor)]
DIGITS, LABELS = load_digits(return_X_y=True)
X, X_TEST, Y, Y_TEST = train_test_split(DIGITS / 16, LABELS, test_size=0.25, random_state=0)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def small(units: int = 8, **settings: Any) -> Any:
    """Return a classifier with one hidden layer."""
    return TinyNetClassifier((units,), **{"random_state": 0, **settings})


@parametrize_with_checks([TinyNetClassifier(), TinyNetRegressor()])
def test_scikit_learn_estimator_checks(estimator: Any, check: Any) -> None:
    check(estimator)


# ------------------------------------------------------------ comparison with scikit-learn


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_signatures_match_scikit_learn(ours: Any, theirs: Any) -> None:
    assert theirs.__module__.startswith("sklearn.")
    extra = {TinyNetClassifier: ["dropout", "class_weight"], TinyNetRegressor: ["dropout"]}[ours]
    names = [n for n in dir(theirs) if n[0] != "_" and callable(getattr(theirs, n))]
    assert {"fit", "partial_fit", "predict", "score"} < set(names)
    for name in ["__init__", *names]:
        found, expected = (inspect.signature(getattr(kind, name)) for kind in (ours, theirs))
        own = {} if name != "__init__" else extra
        kept = [(p.name, p.kind, p.default) for p in found.parameters.values() if p.name not in own]
        assert kept == [(p.name, p.kind, p.default) for p in expected.parameters.values()], name
    assert ours(**theirs().get_params()).get_params().items() >= theirs().get_params().items()


KINDS = ("binary", "multiclass", "multilabel", "squared_error", "squared_error 2d", "poisson")
KINDS = (*KINDS, "poisson 2d")


def drawn(kind: str, random: Any, n: int = 140, width: int = 5) -> Any:
    """Return inputs, targets of a given kind, and sample weights."""
    x = random.normal(size=(n, width))
    noise = random.normal(size=(n, 3))
    targets = {
        "binary": np.where(x[:, 0] + noise[:, 0] > 0, "no", "yes"),
        "multiclass": np.arange(n) % 4,
        "multilabel": (x[:, :1] + noise > 0).astype(int),
        "squared_error": x[:, 0] ** 2 + noise[:, 0],
        "squared_error 2d": x[:, :1] ** 2 + noise,
        "poisson": random.poisson(np.exp(x[:, 0] / 2)),
        "poisson 2d": random.poisson(np.exp(x[:, :1] / 2 + noise / 4)),
    }
    return x, targets[kind], random.uniform(0, 2, n)


def both(kind: str, **settings: Any) -> Any:
    """Return a tinynet and a scikit-learn estimator with the same parameters."""
    if "multi" in kind or kind == "binary":
        return [cls(**settings) for cls in PAIRS[0]]
    return [cls(kind.partition(" ")[0], **settings) for cls in PAIRS[1]]


def assert_same_training(ours: Any, theirs: Any, x: Any, rtol: float) -> None:
    """Assert that two fitted estimators have the same attributes and outputs."""
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=rtol)
    for found, expected in zip(
        ours.coefs_ + ours.intercepts_, theirs.coefs_ + theirs.intercepts_, strict=True
    ):
        assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=20 * rtol)
    compared = {"coefs_", "intercepts_", "loss_curve_"}
    for name in {n for n in vars(theirs) if n.endswith("_") and n[0] != "_"} - compared:
        found, expected = getattr(ours, name), getattr(theirs, name)
        assert type(found) is type(expected) or name in ("loss_", "best_loss_"), name
        if isinstance(expected, str | int | None) or name == "classes_":
            np.testing.assert_array_equal(found, expected)
        else:
            np.testing.assert_allclose(found, expected, rtol=rtol, atol=20 * rtol)
    found, expected = ours.predict(x), theirs.predict(x)
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    if hasattr(theirs, "predict_proba"):
        found, expected = ours.predict_proba(x), theirs.predict_proba(x)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=20 * rtol)


SETTINGS: list[dict[str, Any]] = [
    {"solver": "adam"},
    {"solver": "adam", "alpha": 1.0, "activation": "tanh", "hidden_layer_sizes": (7, 5)},
    {"solver": "adam", "beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-4, "activation": "logistic"},
    {"solver": "sgd", "momentum": 0.9},
    {"solver": "adam", "tol": 0.1, "n_iter_no_change": 2},
    {"solver": "sgd", "momentum": 0.8, "nesterovs_momentum": False, "activation": "identity"},
    {"solver": "sgd", "learning_rate": "invscaling", "power_t": 0.2, "momentum": 0.0},
    {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.05, "n_iter_no_change": 1},
    {"solver": "sgd", "batch_size": "auto", "hidden_layer_sizes": 4},
    {"solver": "adam", "n_iter_no_change": np.inf, "hidden_layer_sizes": ()},
]


@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_training_matches_scikit_learn(kind: str, settings: dict[str, Any], weighted: bool) -> None:
    """The final batch is partial, so the sum of sample weights differs between batches."""
    x, y, weights = drawn(kind, np.random.default_rng(0))
    common = {"max_iter": 30, "shuffle": False, "batch_size": 40, "learning_rate_init": 0.01}
    nets = both(kind, **{**common, "hidden_layer_sizes": (8,), "random_state": 3, **settings})
    ours, theirs = (net.fit(x, y, sample_weight=weights if weighted else None) for net in nets)
    assert ours.best_loss_ == min(ours.loss_curve_)
    # Both compute in float64. Only the learning rate is stored in float32, as in Keras: its
    # rounding error changes each step by a relative 6e-8, and 120 steps by at most 120 times that.
    assert_same_training(ours, theirs, x, 120 * 6e-8)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "multiclass"])
def test_early_stopping_matches_scikit_learn(kind: str) -> None:
    """The same seed gives the same split; with several classes, only tinynet's is stratified."""
    x, y, weights = drawn(kind, np.random.default_rng(0))
    common = {"max_iter": 60, "shuffle": False, "learning_rate_init": 0.05, "tol": 1e-3}
    common |= {"early_stopping": True, "n_iter_no_change": 3, "hidden_layer_sizes": (6,)}
    nets = both(kind, **common, random_state=3, validation_fraction=0.2)
    ours, theirs = (net.fit(x, y, sample_weight=weights) for net in nets)
    assert_same_training(ours, theirs, x, 120 * 6e-8)


def test_random_settings_match_scikit_learn() -> None:
    seed = secrets.randbits(32)
    print("seed", seed)
    random = np.random.default_rng(seed)
    for _ in range(25):
        kind = str(random.choice(KINDS))
        n, width = int(random.integers(20, 120)), int(random.integers(1, 8))
        x, y, weights = drawn(kind, random, n, width)
        weights = weights if random.integers(2) else None
        choices: dict[str, list[Any]] = {
            "hidden_layer_sizes": [(), (1,), (7,), (3, 4)],
            "activation": ["relu", "tanh", "logistic", "identity"],
            "solver": ["adam", "sgd"],
            "alpha": [0.0, 1e-4, 1.0],
            "batch_size": ["auto", 7, 32],
            "learning_rate": ["constant", "invscaling", "adaptive"],
            "learning_rate_init": [1e-3, 1e-2],
            "max_iter": [5, 40],
            "tol": [1e-4, 1e-2],
            "momentum": [0.0, 0.9],
            "nesterovs_momentum": [False, True],
            "early_stopping": [False, kind != "multiclass"],
            "n_iter_no_change": [1, 3],
            "validation_fraction": [0.1, 0.3],
        }
        settings = {
            name: options[random.integers(len(options))] for name, options in choices.items()
        }
        settings |= {"shuffle": False, "random_state": int(random.integers(100))}
        print(kind, settings, None if weights is None else "weighted")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # batch_size may exceed the number of samples
            nets = [net.fit(x, y, sample_weight=weights) for net in both(kind, **settings)]
        assert_same_training(*nets, x, 1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_partial_fit_matches_scikit_learn(kind: str) -> None:
    x, y, weights = drawn(kind, np.random.default_rng(0), 90, 4)
    known = {"classes": np.unique(y)} if kind in ("binary", "multiclass") else {}
    known = {"classes": range(3)} if kind == "multilabel" else known
    settings = {"shuffle": False, "random_state": 1, "hidden_layer_sizes": (5,)}
    nets = both(kind, **settings, solver="sgd", learning_rate="invscaling")
    for net in nets:
        for part in (slice(0, 40), slice(40, 41), slice(41, 90)):
            net.partial_fit(x[part], y[part], sample_weight=weights[part], **known)
    assert_same_training(*nets, x, 1e-5)


@pytest.mark.parametrize(
    "more",
    [
        {"verbose": True},
        {"verbose": 10, "early_stopping": True, "n_iter_no_change": 2},
        {"verbose": 1, "solver": "sgd", "learning_rate": "adaptive", "tol": 1.0, "max_iter": 200},
    ],
)
def test_verbose_output_matches_scikit_learn(more: Any, capsys: Any) -> None:
    x, y, _ = drawn("binary", np.random.default_rng(0), 60, 3)
    nets = both("binary", **{"max_iter": 9, "shuffle": False, "random_state": 0, **more})
    texts = [net.fit(x, y) and capsys.readouterr().out for net in nets]
    numbers = [[float(n) for n in re.findall(r"\d+\.\d+", text)] for text in texts]
    np.testing.assert_allclose(*numbers, atol=2e-6)
    assert len({re.sub(r"\d+\.\d+", "#", text) for text in texts}) == 1
    assert "Iteration 1, loss = " in texts[0]
    small(4, max_iter=2).fit(x, y)
    assert capsys.readouterr().out == ""


@pytest.mark.skipif(not sklearn.__version__.startswith("1.9."), reason="needs scikit-learn 1.9")
def test_scikit_learn_test_suite(tmp_path: Path) -> None:
    """``docs/sklearn.md`` lists the result of each test and the reason for each failure."""
    text = (ROOT / "docs/sklearn.md").read_text(encoding="utf-8")
    expected = dict(re.findall(r"^\| `(test_[^`]+)` \| (.+) \|$", text, re.MULTILINE))
    report = tmp_path / "report.xml"
    tests = "sklearn.neural_network.tests.test_mlp"
    command = [sys.executable, "-m", "pytest", "-p", "tests.sklearn_mlp", "-c", os.devnull]
    command += ["-p", "no:cacheprovider", f"--junitxml={report}", "--pyargs", tests]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)
    cases = ElementTree.parse(report).iter("testcase")
    failures = {case.attrib["name"]: "".join(part.text or "" for part in case) for case in cases}
    assert failures.keys() == expected.keys(), done.stdout
    for name, result in expected.items():
        assert (failures[name] == "") == (result == "passes"), name + done.stdout
        assert "lbfgs" not in result or "'lbfgs' is not supported" in failures[name]
    passing = sum(result == "passes" for result in expected.values())
    assert f"{passing} of the {len(expected)} tests pass" in text


# ------------------------------------------------------------ estimator behavior


def test_accuracy_matches_scikit_learn() -> None:
    settings = {"max_iter": 60, "learning_rate_init": 0.003, "random_state": 0}
    ours, theirs = (
        kind((32,), **settings).fit(X, Y).score(X_TEST, Y_TEST)
        for kind in (TinyNetClassifier, MLPClassifier)
    )
    # 450 test digits at about 97 %: two standard deviations of the difference are 2.3 %.
    assert abs(ours - theirs) < 0.023
    assert ours > 0.95


def test_sparse_matrices_stay_sparse(monkeypatch: Any) -> None:
    net = small(16, max_iter=5)
    expected = clone(net).fit(X, Y).predict_proba(X_TEST)
    for name in ("toarray", "todense", "__array__"):
        monkeypatch.setattr(scipy.sparse.csr_array, name, None, raising=False)
    net.fit(scipy.sparse.csr_array(X), Y)
    unsorted = scipy.sparse.coo_array(X_TEST).tocsr()
    unsorted.indices, unsorted.data = unsorted.indices.copy(), unsorted.data.copy()
    for array in (unsorted.indices, unsorted.data):
        first = slice(*unsorted.indptr[:2])
        array[first] = array[first][::-1].copy()
    unsorted.has_canonical_format = unsorted.has_sorted_indices = False
    before = unsorted.indices.copy()
    for given in (scipy.sparse.csr_array(X_TEST), unsorted):
        # Float64 sums of 64 terms in a different order, over 35 steps.
        np.testing.assert_allclose(net.predict_proba(given), expected, atol=1e-9)
    np.testing.assert_array_equal(unsorted.indices, before)


@pytest.mark.parametrize(
    ("kind", "expected"), [("float32", "float32"), ("uint8", "float64"), ("float64", "float64")]
)
def test_only_float32_is_computed_in_float32(kind: str, expected: str) -> None:
    x = (X * 16).astype(kind)
    net = small(4, max_iter=1).fit(x, Y)
    assert net.predict_proba(x[:2]).dtype == expected
    assert {w.dtype for w in net.model_.weights} == {expected}


def test_early_stopping_keeps_the_best_weights() -> None:
    net = small(16, early_stopping=True, learning_rate_init=0.1)
    net.set_params(validation_fraction=0.2, n_iter_no_change=3).fit(X, Y)
    scores = net.validation_scores_
    assert net.best_validation_score_ == max(scores)
    assert net.n_iter_ == len(scores) == len(net.loss_curve_) < 200
    assert len(scores) - 1 - int(np.argmax(scores)) >= 1
    state = np.random.RandomState(0)
    state.uniform(size=net.model_.count_params())  # the initial weights
    held = train_test_split(X, Y, test_size=0.2, random_state=state, stratify=Y)
    assert net.score(held[1], held[3]) == max(scores)
    assert small(4, max_iter=1).fit(X, Y).validation_scores_ is None


def test_partial_fit_and_warm_start_continue() -> None:
    """The model, the order of examples and the optimizer state continue across calls."""
    whole, parts = small(max_iter=6).fit(X, Y), small()
    for _ in range(6):
        parts.partial_fit(X, Y, classes=range(10))
    np.testing.assert_array_equal(parts.predict_proba(X), whole.predict_proba(X))
    assert parts.loss_curve_ == whole.loss_curve_
    assert parts.t_ == 6 * len(X)
    warm = small(max_iter=3, warm_start=True).fit(X, Y).fit(X, Y)
    assert warm.loss_curve_ == whole.loss_curve_
    assert (warm.n_iter_, whole.n_iter_) == (3, 6)
    for wrong, options, message in (
        ([11] * len(X), {}, "`y` has classes not in `self.classes_`"),
        (Y, {"classes": range(11)}, "not the same as on last call"),
    ):
        with pytest.raises(ValueError, match=message):
            parts.partial_fit(X, wrong, **options)
    with pytest.raises(ValueError, match="same classes as in the previous call"):
        warm.fit(X, Y + 1)


def test_class_weights() -> None:
    y = np.where(Y == 8, "eight", "other")  # one of ten classes
    plain, balanced, chosen = (
        TinyNetClassifier((), max_iter=8, class_weight=weight, random_state=0).fit(X, y)
        for weight in (None, "balanced", {"eight": 9.0})
    )
    found = [(net.predict(X) == "eight").sum() for net in (plain, balanced, chosen)]
    assert min(found[1:]) > found[0] + 50


def test_dropout_and_other_optimizers() -> None:
    plain, dropped, other = (
        small(32, max_iter=3, **settings).fit(X, Y)
        for settings in ({}, {"dropout": 0.5}, {"solver": "rmsprop", "activation": "gelu"})
    )
    assert dropped.loss_ > plain.loss_
    assert type(other.model_.optimizer).__name__ == "RMSprop"
    assert [layer.name for layer in dropped.model_.layers] == ["hidden_1", "dropout_1", "output"]


def test_grids_pipelines_and_pickles() -> None:
    pipeline = make_pipeline(StandardScaler(), TinyNetClassifier(max_iter=8, random_state=0))
    grid = {
        "tinynetclassifier__hidden_layer_sizes": [(8,), (32,)],
        "tinynetclassifier__dropout": [0.0, 0.2],
    }
    search = GridSearchCV(pipeline, grid, cv=2).fit(X, Y)
    assert search.best_params_["tinynetclassifier__hidden_layer_sizes"] == (32,)
    assert search.score(X_TEST, Y_TEST) > 0.6
    copied = pickle.loads(pickle.dumps(search))
    np.testing.assert_array_equal(copied.predict_proba(X_TEST), search.predict_proba(X_TEST))
    sparse = make_pipeline(MaxAbsScaler(), TinyNetClassifier(max_iter=2, random_state=0))
    assert sparse.fit(scipy.sparse.csr_matrix(X), Y).score(scipy.sparse.csr_matrix(X), Y) > 0.3


def test_pickled_net_continues_identically() -> None:
    net = small(dropout=0.2, max_iter=2, warm_start=True)
    copied = pickle.loads(pickle.dumps(net.fit(X, Y)))
    assert copied.fit(X, Y).loss_curve_ == net.fit(X, Y).loss_curve_


def test_random_state_is_deterministic() -> None:
    net = small(max_iter=2, dropout=0.1)
    curves = [clone(net).set_params(random_state=seed).fit(X, Y).loss_curve_ for seed in (1, 1, 2)]
    assert curves[0] == curves[1] != curves[2]


def test_convergence_warning() -> None:
    with pytest.warns(ConvergenceWarning, match="max_iter=2"):
        TinyNetClassifier(max_iter=2).fit(X, Y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        TinyNetClassifier((4,), tol=10.0, n_iter_no_change=2).fit(X, Y)


def test_lbfgs_has_no_partial_fit() -> None:
    for kind in (TinyNetClassifier, TinyNetRegressor):
        assert hasattr(kind(solver="adam"), "partial_fit")
        assert not hasattr(kind(solver="lbfgs"), "partial_fit")


def test_batch_of_weight_zero_changes_nothing() -> None:
    x = np.arange(8, dtype=np.float32).reshape(4, 2)
    for kind in (np.float32, np.float64):
        net = TinyNetRegressor(hidden_layer_sizes=(2,), alpha=1.0, batch_size=2, solver="sgd")
        net.set_params(shuffle=False, random_state=0, momentum=0.0, max_iter=1)
        first = clone(net).fit(x[:2].astype(kind), x[:2, 0])
        net.fit(x.astype(kind), x[:, 0], sample_weight=[1, 1, 0, 0])
        for a, b in zip(first.coefs_, net.coefs_, strict=True):
            np.testing.assert_array_equal(a, b)


# ------------------------------------------------------------ targets and weights


@pytest.mark.parametrize("form", [np.asarray, scipy.sparse.csr_array, scipy.sparse.csr_matrix])
def test_multilabel(form: Any) -> None:
    x, y = make_multilabel_classification(200, 10, n_classes=5, random_state=1)
    net = small(30, max_iter=300, learning_rate_init=0.01, random_state=1).fit(x, form(y))
    assert net.predict(x).shape == net.predict_proba(x).shape == (200, 5)
    assert net.score(x, y) > 0.7
    np.testing.assert_array_equal(net.predict(x), net.predict_proba(x) > 0.5)
    early = clone(net).set_params(early_stopping=True).fit(x, y)
    assert early.best_validation_score_ == max(early.validation_scores_)
    for wrong, message in ((y[:, 0], "label indicator matrix"), (y[:, :3], "5 columns")):
        with pytest.raises(ValueError, match=message):
            net.partial_fit(x, wrong)


@pytest.mark.parametrize(
    "settings", [{}, {"early_stopping": True}, {"class_weight": "balanced"}], ids=str
)
@pytest.mark.parametrize("label", ["only", 7])
def test_single_class(label: Any, settings: Any) -> None:
    x = np.random.default_rng(0).normal(size=(20, 3))
    net = small(4, max_iter=5, **settings).fit(x, [label] * 20)
    assert net.classes_.tolist() == [label]
    assert net.predict(x).tolist() == [label] * 20
    np.testing.assert_array_equal(net.predict_proba(x), np.ones((20, 1)))
    assert net.score(x, [label] * 20) == 1


def test_poisson_network_round_trips(tmp_path: Path) -> None:
    x, y, _ = drawn("poisson", np.random.default_rng(0))
    net = TinyNetRegressor("poisson", max_iter=9, random_state=0).fit(x, y)
    net.model_.save(tmp_path / "net.keras")
    loaded = tinynet.models.load_model(tmp_path / "net.keras")
    np.testing.assert_allclose(loaded.predict(x, verbose=0)[:, 0], net.predict(x), rtol=1e-6)


# ------------------------------------------------------------ weights of the network


def test_assigning_coefs_updates_network() -> None:
    net, other = (small(max_iter=2, random_state=i).fit(X, Y) for i in (0, 1))
    assert [w.shape for w in net.coefs_ + net.intercepts_] == [(64, 8), (8, 10), (8,), (10,)]
    assert net.n_layers_ == 3
    net.coefs_, net.intercepts_ = other.coefs_, other.intercepts_
    np.testing.assert_array_equal(net.predict_proba(X), other.predict_proba(X))
    net.coefs_[1][...] = 0
    net.intercepts_[1] = np.zeros(10)
    np.testing.assert_allclose(net.predict_proba(X), 0.1, rtol=1e-12)
    net.partial_fit(X, Y)
    assert np.abs(net.coefs_[1]).max() > 0
    for wrong in ([np.zeros((64, 8))], [np.zeros((64, 9)), np.zeros((9, 10))]):
        with pytest.raises(ValueError, match=r"shape|shorter"):
            net.coefs_ = wrong


@pytest.mark.parametrize(
    ("settings", "x", "y"),
    [
        ({"activation": "rleu"}, X[:, :5], Y),
        ({"solver": "addam"}, X[:, :5], Y),
        ({"early_stopping": True}, X[:2, :5], Y[:2]),
        ({}, X[:, :5] * np.nan, Y),
    ],
)
def test_failed_fit_leaves_the_estimator_unchanged(settings: Any, x: Any, y: Any) -> None:
    net = small(max_iter=2).fit(X, Y)
    before = net.predict_proba(X)
    with pytest.raises(ValueError, match=r"Received|NaN"):
        net.set_params(**settings).fit(x, y)
    np.testing.assert_array_equal(net.predict_proba(X), before)


@pytest.mark.parametrize(
    ("net", "y", "message"),
    [
        (TinyNetClassifier(early_stopping=True), Y[:2], "too small"),
        (TinyNetRegressor(), ["text"] * 2, "Received"),
        (TinyNetRegressor(), [1.0, 1e39], "Received"),
    ],
)
def test_failed_fit_leaves_the_estimator_unfitted(net: Any, y: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        net.fit(X[:2].astype(np.float32), y)
    assert not hasattr(net, "model_")
    assert not hasattr(net, "coefs_")


# ------------------------------------------------------------ when training ends


def test_warm_start_keeps_the_best_weights() -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(300, 10))
    y = (x[:, 0] + random.normal(size=300) > 0).astype(int)  # not separable
    settings = {"early_stopping": True, "warm_start": True, "max_iter": 20, "tol": 0.0}
    net = small(20, **settings, solver="sgd", learning_rate_init=0.05)
    net.set_params(n_iter_no_change=100, batch_size=32).fit(x, y)
    best, before = net.best_validation_score_, net.predict_proba(x)
    net.set_params(learning_rate_init=50.0, max_iter=3).fit(x, y)
    assert float(net.model_.optimizer.learning_rate) == 50
    assert len(net.validation_scores_) == 23
    assert max(net.validation_scores_[20:]) <= best == net.best_validation_score_
    np.testing.assert_array_equal(net.predict_proba(x), before)
    net.set_params(early_stopping=False, learning_rate_init=0.05).fit(x, y)
    assert net.validation_scores_ is None is net.best_validation_score_
    assert net.best_loss_ == min(net.loss_curve_[-3:])
    net.set_params(early_stopping=True).fit(x, y)
    assert net.best_validation_score_ == max(net.validation_scores_)
    assert net.best_loss_ is None


def test_warm_start_uses_changed_parameters() -> None:
    net = small(max_iter=1, warm_start=True).fit(X, Y)
    size = sum(np.abs(w).sum() for w in net.coefs_)
    net.set_params(alpha=1000.0, solver="sgd", learning_rate_init=0.01, max_iter=20).fit(X, Y)
    assert type(net.model_.optimizer).__name__ == "SGD"
    assert sum(np.abs(w).sum() for w in net.coefs_) < size / 10
    for change in ({"hidden_layer_sizes": (9,)}, {"activation": "tanh"}, {"dropout": 0.5}):
        changed = copy.deepcopy(net).set_params(**change)
        with pytest.raises(ValueError, match=f"{next(iter(change))} must stay"):
            changed.fit(X, Y)
        changed.set_params(warm_start=False, alpha=0.0).fit(X, Y)
    invscaling = TinyNetRegressor(solver="sgd", learning_rate="invscaling", max_iter=2)
    invscaling.set_params(warm_start=True).fit(X, Y).fit(X, Y)
    rate = float(invscaling.model_.optimizer.learning_rate)
    assert rate == np.float32(0.001 / (4 * len(X) + 1) ** 0.5)


def test_early_stopping_on_few_samples() -> None:
    x = np.random.default_rng(0).normal(size=(10, 3))
    for kind, y in ((TinyNetRegressor, x[:, 0]), (TinyNetClassifier, x[:, 0] > 0)):
        net = kind(early_stopping=True, random_state=0)
        with pytest.warns(UserWarning, match="requires at least 2 samples, so 2 are held out"):
            net.fit(x, y)
        assert net.t_ == 8 * net.n_iter_
        assert np.isfinite(net.validation_scores_).all()
        assert net.best_validation_score_ == max(net.validation_scores_)
        for n, fraction in ((2, 0.1), (10, 0.0)):
            with pytest.raises(ValueError, match="The validation set is too small"):
                net.set_params(validation_fraction=fraction).fit(x[:n], y[:n])


def test_early_stopping_with_single_sample_class() -> None:
    """As in scikit-learn, only binary problems require two samples per class."""
    x = np.random.default_rng(0).normal(size=(41, 3))
    y = np.r_[np.zeros(20, int), np.ones(20, int), 2]
    net = small(4, early_stopping=True).fit(x, y)
    assert len(net.validation_scores_) == net.n_iter_
    assert net.classes_.tolist() == [0, 1, 2]
    many = small(4, early_stopping=True, max_iter=3)
    assert many.fit(x, np.arange(41) // 4).n_outputs_ == 11
    with pytest.raises(ValueError, match="least populated class"):
        net.fit(x[:21], y[20:])


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("kind", [TinyNetClassifier, TinyNetRegressor])
@pytest.mark.parametrize("epochs", [0, 3])
def test_interrupt_leaves_a_fitted_estimator(
    epochs: int, kind: Any, early_stopping: bool, monkeypatch: Any
) -> None:
    def interrupt(history: Any, epoch: int, logs: Any = None) -> None:
        if epoch == epochs:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(tinynet.callbacks.History, "on_epoch_begin", interrupt)
    net = kind(hidden_layer_sizes=(8,), early_stopping=early_stopping, random_state=0)
    with pytest.warns(UserWarning, match="Training interrupted by user") as caught:
        assert net.fit(X, Y) is net
    assert len(caught) == 1
    assert net.n_iter_ == len(net.loss_curve_) == epochs
    assert np.isfinite(net.predict(X)).all()
    assert epochs == 0 or kind is TinyNetRegressor or net.score(X, Y) > 0.1
    if early_stopping:
        assert net.best_validation_score_ == max(net.validation_scores_, default=-np.inf)


def test_divergence_without_best_weights_raises() -> None:
    settings = {"solver": "sgd", "activation": "identity", "learning_rate_init": 1.0}
    net = TinyNetRegressor(**settings, random_state=0)
    with pytest.raises(ValueError, match="Solver produced non-finite parameter weights"):
        net.fit(X[:150], Y[:150])
    with pytest.warns(ConvergenceWarning, match="The loss diverged"):
        net.set_params(early_stopping=True).fit(X[:150], Y[:150])
    assert np.isnan(net.validation_scores_[-1])
    assert np.isfinite(net.best_validation_score_)
    assert np.isfinite(net.predict(X)).all()


def test_batch_size_above_samples_warns() -> None:
    with pytest.warns(UserWarning, match="It is going to be clipped"):
        small(4, batch_size=10**6, max_iter=1).fit(X, Y)
