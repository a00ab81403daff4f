"""The estimators compared with scikit-learn's, and in its grids and pipelines."""

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
from sklearn.datasets import load_digits, make_multilabel_classification, make_regression
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import tinynet
from tinynet.sklearn import TinyNetClassifier, TinyNetRegressor, _Monitor

ROOT = Path(__file__).parents[1]
PAIRS = [(TinyNetClassifier, MLPClassifier), (TinyNetRegressor, MLPRegressor)]

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@parametrize_with_checks([TinyNetClassifier(), TinyNetRegressor()])
def test_scikit_learns_own_checks(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.fixture(scope="module")
def data() -> Any:
    """Scikit-learn's digits, pixels from 0 to 1: train and test."""
    x, y = load_digits(return_X_y=True)
    return train_test_split(x / 16, y, test_size=0.25, random_state=0)


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


def targets(kind: str, x: Any, random: Any) -> Any:
    """Return targets of each kind that the estimators support."""
    n, k = len(x), 3
    noise = random.normal(size=(n, k))
    return {
        "binary": np.where(x[:, 0] + noise[:, 0] > 0, "no", "yes"),
        "multiclass": np.arange(n) % 4,
        "multilabel": (x[:, :1] + noise > 0).astype(int),
        "squared_error": x[:, 0] ** 2 + noise[:, 0],
        "squared_error 2d": x[:, :1] ** 2 + noise,
        "poisson": random.poisson(np.exp(x[:, 0] / 2)),
        "poisson 2d": random.poisson(np.exp(x[:, :1] / 2 + noise / 4)),
    }[kind]


KINDS = ("binary", "multiclass", "multilabel", "squared_error", "squared_error 2d", "poisson")
KINDS = (*KINDS, "poisson 2d")


def both(kind: str, settings: dict[str, Any]) -> Any:
    """Make an estimator of tinynet and the same of scikit-learn."""
    if "multi" in kind or kind == "binary":
        return [cls(**settings) for cls in PAIRS[0]]
    return [cls(kind.partition(" ")[0], **settings) for cls in PAIRS[1]]


def assert_same_training(ours: Any, theirs: Any, x: Any, rtol: float) -> None:
    """Assert that two fitted estimators have the same attributes."""
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=rtol)
    for found, expected in zip(
        ours.coefs_ + ours.intercepts_, theirs.coefs_ + theirs.intercepts_, strict=True
    ):
        assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=20 * rtol)
    for name in [name for name in vars(theirs) if name.endswith("_") and name[0] != "_"]:
        if name in ("coefs_", "intercepts_", "loss_curve_"):
            continue
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
    """The last batch is partial, so that the sums of the weights differ."""
    random = np.random.default_rng(0)
    x = random.normal(size=(140, 5))
    y, weights = targets(kind, x, random), random.uniform(0, 2, 140) if weighted else None
    common = {"max_iter": 30, "shuffle": False, "batch_size": 40, "learning_rate_init": 0.01}
    common |= {"hidden_layer_sizes": (8,), "random_state": 3, **settings}
    ours, theirs = (net.fit(x, y, sample_weight=weights) for net in both(kind, common))
    assert ours.best_loss_ == min(ours.loss_curve_)
    # Both compute in float64. Only the learning rate is kept in float32, as in Keras: half an
    # ulp, 6e-8 of every step; over 120 steps on a smooth loss that stays below 120 of them.
    assert_same_training(ours, theirs, x, 120 * 6e-8)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "multiclass"])
def test_early_stopping_matches_scikit_learn(kind: str) -> None:
    """The split is the same for the same seed; of several classes, only tinynet's is stratified."""
    random = np.random.default_rng(0)
    x = random.normal(size=(140, 5))
    y, weights = targets(kind, x, random), random.uniform(0, 2, 140)
    common = {"max_iter": 60, "shuffle": False, "learning_rate_init": 0.05, "tol": 1e-3}
    common |= {"early_stopping": True, "n_iter_no_change": 3, "hidden_layer_sizes": (6,)}
    nets = both(kind, {**common, "random_state": 3, "validation_fraction": 0.2})
    ours, theirs = (net.fit(x, y, sample_weight=weights) for net in nets)
    assert_same_training(ours, theirs, x, 120 * 6e-8)


def test_random_settings_match_scikit_learn() -> None:
    seed = secrets.randbits(32)
    print("seed", seed)
    random = np.random.default_rng(seed)
    for _ in range(25):
        kind = str(random.choice(KINDS))
        x = random.normal(size=(int(random.integers(20, 120)), int(random.integers(1, 8))))
        y = targets(kind, x, random)
        weights = random.uniform(0, 2, len(x)) if random.integers(2) else None
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
        ours, theirs = both(kind, settings)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # batch_size may exceed the number of samples
            ours.fit(x, y, sample_weight=weights), theirs.fit(x, y, sample_weight=weights)
        assert_same_training(ours, theirs, x, 1e-3)


def test_partial_fit_matches_scikit_learn() -> None:
    random = np.random.default_rng(0)
    x, weights = random.normal(size=(90, 4)), random.uniform(0, 2, 90)
    for kind in KINDS:
        y = targets(kind, x, random)
        settings = {"shuffle": False, "random_state": 1, "hidden_layer_sizes": (5,)}
        known = {"classes": np.unique(y)} if kind in ("binary", "multiclass") else {}
        known = {"classes": range(3)} if kind == "multilabel" else known
        nets = both(kind, {**settings, "solver": "sgd", "learning_rate": "invscaling"})
        for net in nets:
            for part in (slice(0, 40), slice(40, 41), slice(41, 90)):
                net.partial_fit(x[part], y[part], sample_weight=weights[part], **known)
        assert_same_training(*nets, x, 1e-5)


def test_verbose_prints_as_scikit_learn_does(capsys: pytest.CaptureFixture[str]) -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(60, 3))
    y = targets("binary", x, random)
    for more in (
        {"verbose": True},
        {"verbose": 10, "early_stopping": True, "n_iter_no_change": 2},
        {"verbose": 1, "solver": "sgd", "learning_rate": "adaptive", "tol": 1.0, "max_iter": 200},
    ):
        nets = both("binary", {"max_iter": 9, "shuffle": False, "random_state": 0, **more})
        texts = [net.fit(x, y) and capsys.readouterr().out for net in nets]
        numbers = [[float(n) for n in re.findall(r"\d+\.\d+", text)] for text in texts]
        np.testing.assert_allclose(*numbers, atol=2e-6)
        assert len({re.sub(r"\d+\.\d+", "#", text) for text in texts}) == 1
        assert "Iteration 1, loss = " in texts[0]
    TinyNetClassifier((4,), max_iter=2).fit(x, y)
    assert capsys.readouterr().out == ""


@pytest.mark.skipif(not sklearn.__version__.startswith("1.9."), reason="needs scikit-learn 1.9")
def test_tests_of_scikit_learn(tmp_path: Path) -> None:
    """``docs/sklearn.md`` has the result of each test, with the reason for each failure."""
    text = (ROOT / "docs/sklearn.md").read_text(encoding="utf-8")
    expected = dict(re.findall(r"^\| `(test_[^`]+)` \| (.+) \|$", text, re.MULTILINE))
    report = tmp_path / "report.xml"
    tests = "sklearn.neural_network.tests.test_mlp"
    command = [sys.executable, "-m", "pytest", "-p", "tests.sklearn_mlp", "-c", os.devnull]
    command += ["-p", "no:cacheprovider", f"--junitxml={report}", "--pyargs", tests]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)
    found, failures = {}, {}
    for case in ElementTree.parse(report).iter("testcase"):
        failures[case.attrib["name"]] = "".join(part.text or "" for part in case)
        found[case.attrib["name"]] = "passes" if len(case) == 0 else "fails"
    assert found == {
        name: result if result == "passes" else "fails" for name, result in expected.items()
    }, done.stdout
    for name, reason in expected.items():
        if "lbfgs" in reason:
            assert "'lbfgs' is not supported" in failures[name]
    passing = sum(result == "passes" for result in expected.values())
    assert f"{passing} of the {len(expected)} tests pass" in text


# ------------------------------------------------------------ behavior of an estimator


def test_as_good_as_scikit_learns_net(data: Any) -> None:
    x, x_test, y, y_test = data
    scores = [
        kind((32,), max_iter=60, learning_rate_init=0.003, random_state=0)
        .fit(x, y)
        .score(x_test, y_test)
        for kind in (TinyNetClassifier, MLPClassifier)
    ]
    # 450 test digits near 97 %: two standard deviations of the difference are 2.3 %.
    assert abs(scores[0] - scores[1]) < 0.023
    assert scores[0] > 0.95


def test_sparse_matrices_stay_sparse(data: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    x, x_test, y, _ = data
    net = TinyNetClassifier((16,), max_iter=5, random_state=0)
    expected = clone(net).fit(x, y).predict_proba(x_test)
    for name in ("toarray", "todense", "__array__"):
        monkeypatch.setattr(scipy.sparse.csr_array, name, None, raising=False)
    net.fit(scipy.sparse.csr_array(x), y)
    # Sums of 64 terms in another order, in float64, through 35 steps.
    np.testing.assert_allclose(
        net.predict_proba(scipy.sparse.csr_array(x_test)), expected, atol=1e-9
    )
    unsorted = scipy.sparse.coo_array(x_test).tocsr()
    unsorted.indices, unsorted.data = unsorted.indices.copy(), unsorted.data.copy()
    begin, end = unsorted.indptr[:2]
    unsorted.indices[begin:end] = unsorted.indices[begin:end][::-1]
    unsorted.data[begin:end] = unsorted.data[begin:end][::-1]
    unsorted.has_canonical_format = unsorted.has_sorted_indices = False
    before = unsorted.indices.copy()
    np.testing.assert_allclose(net.predict_proba(unsorted), expected, atol=1e-9)
    np.testing.assert_array_equal(unsorted.indices, before)


def test_only_float32_is_computed_in_float32(data: Any) -> None:
    x, _, y, _ = data
    for kind, expected in ((np.float32, "float32"), (np.uint8, "float64"), (np.float64, "float64")):
        net = TinyNetClassifier((4,), max_iter=1).fit((x * 16).astype(kind), y)
        assert net.predict_proba((x[:2] * 16).astype(kind)).dtype == expected
        assert {w.dtype for w in net.model_.weights} == {expected}


def test_early_stopping_keeps_the_best_weights(data: Any) -> None:
    x, _, y, _ = data
    net = TinyNetClassifier((16,), early_stopping=True, learning_rate_init=0.1, random_state=0)
    net.set_params(validation_fraction=0.2, n_iter_no_change=3).fit(x, y)
    scores = net.validation_scores_
    assert net.best_validation_score_ == max(scores)
    assert net.n_iter_ == len(scores) == len(net.loss_curve_) < 200
    assert len(scores) - 1 - int(np.argmax(scores)) >= 1
    state = copy.deepcopy(net._split_state)
    held = train_test_split(x, y, test_size=0.2, random_state=state, stratify=y)
    assert net.score(held[1], held[3]) == max(scores)
    assert TinyNetClassifier((4,), max_iter=1).fit(x, y).validation_scores_ is None


def test_partial_fit_goes_on(data: Any) -> None:
    x, _, y, _ = data
    whole = TinyNetClassifier((8,), max_iter=3, random_state=0).fit(x, y)
    parts = TinyNetClassifier((8,), random_state=0)
    for _ in range(3):
        parts.partial_fit(x, y, classes=range(10))
    # The net, its orders and its optimizer are the same objects all along.
    np.testing.assert_array_equal(parts.predict_proba(x), whole.predict_proba(x))
    assert parts.loss_curve_ == whole.loss_curve_
    assert parts.t_ == 3 * len(x)
    with pytest.raises(ValueError, match=r"`y` has classes not in `self.classes_`"):
        parts.partial_fit(x[:1], [11])
    with pytest.raises(ValueError, match="not the same as on last call"):
        parts.partial_fit(x, y, classes=range(11))
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        TinyNetClassifier().partial_fit(x, y)
    with pytest.raises(ValueError, match="early_stopping=True"):
        TinyNetClassifier(early_stopping=True).partial_fit(x, y, classes=range(10))
    with pytest.raises(ValueError, match="'balanced'"):
        TinyNetClassifier(class_weight="balanced").partial_fit(x, y, classes=range(10))


def test_partial_fit_of_a_batch_without_some_classes(data: Any) -> None:
    x, _, y, _ = data
    few = np.flatnonzero(y < 3)
    net = TinyNetClassifier((8,), random_state=0).partial_fit(x[few], y[few], classes=range(10))
    assert net.predict_proba(x).shape == (len(x), 10)


def test_warm_start_goes_on(data: Any) -> None:
    x, _, y, _ = data
    whole = TinyNetClassifier((8,), max_iter=6, random_state=0).fit(x, y)
    parts = TinyNetClassifier((8,), max_iter=3, random_state=0, warm_start=True).fit(x, y).fit(x, y)
    assert parts.loss_curve_ == whole.loss_curve_
    assert (parts.n_iter_, whole.n_iter_) == (3, 6)
    with pytest.raises(ValueError, match="same classes as in the previous call"):
        parts.fit(x, y + 1)


def test_class_weights(data: Any) -> None:
    x, _, y, _ = data
    y = np.where(y == 8, "eight", "other")  # one of ten
    plain, balanced, chosen = (
        TinyNetClassifier((), max_iter=8, class_weight=weight, random_state=0).fit(x, y)
        for weight in (None, "balanced", {"eight": 9.0})
    )
    found = [(net.predict(x) == "eight").sum() for net in (plain, balanced, chosen)]
    assert found[1] > found[0] + 50
    assert found[2] > found[0] + 50


def test_dropout_and_other_optimizers(data: Any) -> None:
    x, _, y, _ = data
    nets = [
        TinyNetClassifier((32,), max_iter=3, random_state=0, **settings).fit(x, y)
        for settings in ({}, {"dropout": 0.5}, {"solver": "rmsprop", "activation": "gelu"})
    ]
    assert nets[1].loss_ > nets[0].loss_
    assert type(nets[2].model_.optimizer).__name__ == "RMSprop"
    assert [layer.name for layer in nets[1].model_.layers] == ["hidden_1", "dropout_1", "output"]


def test_grids_pipelines_and_pickles(data: Any) -> None:
    x, x_test, y, y_test = data
    pipeline = make_pipeline(StandardScaler(), TinyNetClassifier(max_iter=8, random_state=0))
    grid = {
        "tinynetclassifier__hidden_layer_sizes": [(8,), (32,)],
        "tinynetclassifier__dropout": [0.0, 0.2],
    }
    search = GridSearchCV(pipeline, grid, cv=2).fit(x, y)
    assert search.best_params_["tinynetclassifier__hidden_layer_sizes"] == (32,)
    assert search.score(x_test, y_test) > 0.6
    copy = pickle.loads(pickle.dumps(search))
    np.testing.assert_array_equal(copy.predict_proba(x_test), search.predict_proba(x_test))
    sparse = make_pipeline(MaxAbsScaler(), TinyNetClassifier(max_iter=2, random_state=0))
    assert sparse.fit(scipy.sparse.csr_matrix(x), y).score(scipy.sparse.csr_matrix(x), y) > 0.3


def test_a_pickled_net_goes_on_as_if_it_had_stayed(data: Any) -> None:
    x, _, y, _ = data
    net = TinyNetClassifier((8,), dropout=0.2, max_iter=2, warm_start=True, random_state=0)
    copy = pickle.loads(pickle.dumps(net.fit(x, y)))
    assert copy.fit(x, y).loss_curve_ == net.fit(x, y).loss_curve_


def test_several_numbers_at_once() -> None:
    x, y = make_regression(200, 5, n_targets=3, random_state=0)
    y /= 100
    net = TinyNetRegressor(
        hidden_layer_sizes=(64,), max_iter=300, learning_rate_init=0.01, random_state=0
    ).fit(x, y)
    assert net.predict(x).shape == (200, 3)
    assert net.score(x, y) > 0.95
    early = TinyNetRegressor(
        "squared_error", (64,), early_stopping=True, learning_rate_init=0.01, random_state=0
    )
    assert early.fit(x, y[:, 0]).predict(x).shape == (200,)
    assert early.best_validation_score_ > 0.5


def test_the_seed_alone_decides(data: Any) -> None:
    x, _, y, _ = data
    net = TinyNetClassifier((8,), max_iter=2, dropout=0.1)
    curves = [clone(net).set_params(random_state=seed).fit(x, y).loss_curve_ for seed in (1, 1, 2)]
    assert curves[0] == curves[1] != curves[2]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"solver": "lbfgs"}, "Received: solver='lbfgs'"),
        ({"solver": "addam"}, "did you mean 'adam'"),
        ({"activation": "rleu"}, "did you mean 'relu'"),
        ({"hidden_layer_sizes": (0,)}, "Received: hidden_layer_sizes=0"),
        ({"learning_rate": "falling"}, "Received: learning_rate='falling'"),
        ({"learning_rate_init": 0.0}, "Received: learning_rate_init=0.0"),
        ({"max_iter": 0}, "Received: max_iter=0"),
        ({"batch_size": 0}, "Received: batch_size=0"),
        ({"alpha": -1.0}, "Received: alpha=-1.0"),
        ({"n_iter_no_change": 0}, "Received: n_iter_no_change=0"),
        ({"dropout": 2.0}, "Received: dropout=2.0"),
        ({"max_fun": 100}, "max_fun must be 15000"),
        ({"beta_1": 1.0}, "beta_1 must be less than 1"),
        ({"momentum": 1.5}, "Received: momentum=1.5"),
        ({"validation_fraction": 1.0}, "Received: validation_fraction=1.0"),
        ({"power_t": -1.0}, "Received: power_t=-1.0"),
        ({"tol": -1.0}, "Received: tol=-1.0"),
        ({"verbose": -1}, "Received: verbose=-1"),
        ({"epsilon": 0.0}, "Received: epsilon=0.0"),
    ],
)
def test_nonsense_is_refused(settings: Any, message: str, data: Any) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        TinyNetClassifier(**settings).fit(data[0], data[2])
    net = TinyNetClassifier(**settings)
    if settings != {"solver": "lbfgs"}:
        with pytest.raises(ValueError, match=re.escape(message)):
            net.partial_fit(data[0], data[2], classes=range(10))


def test_a_warning_where_there_was_still_progress(data: Any) -> None:
    with pytest.warns(ConvergenceWarning, match="max_iter=2"):
        TinyNetClassifier(max_iter=2).fit(data[0], data[2])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        TinyNetClassifier((4,), tol=10.0, n_iter_no_change=2).fit(data[0], data[2])


def test_lbfgs_has_no_partial_fit() -> None:
    for kind in (TinyNetClassifier, TinyNetRegressor):
        assert hasattr(kind(solver="adam"), "partial_fit")
        assert not hasattr(kind(solver="lbfgs"), "partial_fit")


def test_flags_must_be_booleans(data: Any) -> None:
    for name in ("shuffle", "warm_start", "nesterovs_momentum", "early_stopping"):
        with pytest.raises(TypeError, match=f"{name} must be True or False"):
            TinyNetClassifier(**{name: "yes"}).fit(data[0], data[2])


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_training_computes_one_softmax() -> None:
    x = np.random.default_rng(0).normal(size=(30, 4))
    model = TinyNetClassifier((3,), max_iter=1).fit(x, np.arange(30) % 3).model_
    program = next(made for (kind, *_), made in model._programs.items() if kind == "train")
    names = [instruction.operation.name for instruction in program.program.forward]
    assert names.count("sparse_categorical_crossentropy") == 1  # which computes it, too
    assert "softmax" not in names


@pytest.mark.parametrize("alpha", [0.0, 0.5])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("task", ["binary", "classes", "labels", "value", "values", "counts"])
def test_float32_fit_is_compiled(task: str, weighted: bool, alpha: float) -> None:
    """Both backends compute the same loss, penalty and weights; the last batch is smaller."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(55, 5)).astype(np.float32)
    targets = {
        "binary": x[:, 0] > 0,
        "classes": rng.integers(0, 3, 55),
        "labels": (x[:, :3] > 0).astype(int),
        "value": 2 * x[:, 0],
        "values": 2 * x[:, :3],
        "counts": rng.poisson(2, 55),
    }
    kind: Any = TinyNetRegressor if task in ("value", "values", "counts") else TinyNetClassifier
    settings: dict[str, Any] = {"hidden_layer_sizes": (4,), "alpha": alpha, "batch_size": 10}
    settings |= {"loss": "poisson"} if task == "counts" else {}
    weights = np.where(np.arange(55) % 5, rng.random(55), 0) if weighted else None
    before, found = tinynet.config.backend(), []
    for backend in ("numba", "numpy"):
        tinynet.config.set_backend(backend)
        net = kind(**settings, max_iter=3, random_state=0, dropout=0.2)
        net.fit(x, targets[task], sample_weight=weights)
        (program,) = (p for key, p in net.model_._programs.items() if key[0] == "train")
        assert (program._compiled is not None) == (backend == "numba")
        assert not program.why
        # Nothing runs in Python, so that many steps are one call.
        assert backend == "numpy" or not program._compiled[2].by_python
        losses, gradients = net.model_.loss_and_gradients(x, targets[task])
        found.append([net.loss_curve_, *net.coefs_, *net.intercepts_, losses, *gradients])
    tinynet.config.set_backend(before)
    for compiled, plain in zip(*found, strict=True):
        np.testing.assert_allclose(compiled, plain, 1e-5, 1e-6)


def test_batch_of_weight_zero_changes_nothing() -> None:
    x = np.arange(8, dtype=np.float32).reshape(4, 2)
    for kind in (np.float32, np.float64):
        net = TinyNetRegressor(hidden_layer_sizes=(2,), alpha=1.0, batch_size=2, solver="sgd")
        net.set_params(shuffle=False, random_state=0, momentum=0.0, max_iter=1)
        first = copy.deepcopy(net).fit(x[:2].astype(kind), x[:2, 0])
        both = net.fit(x.astype(kind), x[:, 0], sample_weight=[1, 1, 0, 0])
        for a, b in zip(first.coefs_, both.coefs_, strict=True):
            np.testing.assert_array_equal(a, b)


# ------------------------------------------------------------ targets and weights


def test_sample_weight_of_zero_leaves_a_sample_out(data: Any) -> None:
    x, _, y, _ = data
    order = np.argsort(y < 5, kind="stable")  # batches are the same
    x, y, kept = x[order], y[order], int((y >= 5).sum())
    settings = {"shuffle": False, "batch_size": kept, "max_iter": 30, "random_state": 0}
    weights = np.r_[np.ones(kept), np.zeros(len(x) - kept)]
    weighted = TinyNetClassifier((8,), **settings, solver="sgd", alpha=0.1, momentum=0.0)
    weighted.partial_fit(x, y, sample_weight=weights, classes=range(10))
    alone = clone(weighted).partial_fit(x[:kept], y[:kept], classes=range(10))
    for found, expected in zip(weighted.coefs_, alone.coefs_, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)
    net = TinyNetClassifier((8,), max_iter=60, random_state=0, learning_rate_init=0.01)
    assert net.fit(x, y, sample_weight=weights).predict_proba(x)[:, :5].max() < 0.1
    wrongs = ((-weights, "Negative"), (0 * weights, "non-zero"), (weights[1:], "shape"))
    for wrong, message in wrongs:
        with pytest.raises(ValueError, match=message):
            net.fit(x, y, sample_weight=wrong)


@pytest.mark.parametrize("form", [np.asarray, scipy.sparse.csr_array, scipy.sparse.csr_matrix])
def test_multilabel(form: Any) -> None:
    x, y = make_multilabel_classification(200, 10, n_classes=5, random_state=1)
    net = TinyNetClassifier((30,), max_iter=300, learning_rate_init=0.01, random_state=1)
    net.fit(x, form(y))
    assert net.classes_.tolist() == [0, 1, 2, 3, 4]
    assert (net.n_outputs_, net.out_activation_) == (5, "logistic")
    assert net.predict(x).shape == net.predict_proba(x).shape == (200, 5)
    assert net.predict(x).dtype == int
    assert net.score(x, y) > 0.7
    np.testing.assert_array_equal(net.predict(x), net.predict_proba(x) > 0.5)
    early = clone(net).set_params(early_stopping=True).fit(x, y)
    assert early.best_validation_score_ == max(early.validation_scores_)
    with pytest.raises(ValueError, match="label indicator matrix"):
        net.partial_fit(x, y[:, 0])
    with pytest.raises(ValueError, match="5 columns"):
        net.partial_fit(x, y[:, :3])
    with pytest.raises(ValueError, match="0 and 1"):
        clone(net).fit(x, 2 * y - 1)
    with pytest.raises(ValueError, match="one label for each sample"):
        clone(net).fit(x, y + np.arange(5))
    with pytest.raises(ValueError, match="class_weight must be None"):
        clone(net).set_params(class_weight="balanced").fit(x, y)


@pytest.mark.parametrize("label", ["only", 7])
def test_single_class(label: Any) -> None:
    x = np.random.default_rng(0).normal(size=(20, 3))
    for settings in ({}, {"early_stopping": True}, {"class_weight": "balanced"}):
        net = TinyNetClassifier((4,), max_iter=5, **settings).fit(x, [label] * 20)
        assert net.classes_.tolist() == [label]
        assert net.predict(x).tolist() == [label] * 20
        np.testing.assert_array_equal(net.predict_proba(x), np.ones((20, 1)))
        assert net.score(x, [label] * 20) == 1


def test_poisson_targets_and_its_saved_network(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(300, 2))
    y = random.poisson(np.exp(1 + x[:, 0] / 2))
    net = TinyNetRegressor("poisson", max_iter=300, learning_rate_init=0.01, random_state=0)
    assert net.fit(x, y).out_activation_ == "exp"
    assert net.predict(x).min() > 0
    assert np.corrcoef(net.predict(x), np.exp(1 + x[:, 0] / 2))[0, 1] > 0.9
    net.model_.save(tmp_path / "net.keras")
    loaded = tinynet.models.load_model(tmp_path / "net.keras")
    np.testing.assert_allclose(loaded.predict(x, verbose=0)[:, 0], net.predict(x), rtol=1e-6)
    with pytest.raises(ValueError, match="y must be at least 0"):
        net.fit(x, y - 1)
    with pytest.raises(ValueError, match="loss must be one of"):
        TinyNetRegressor((8,)).fit(x, y)


# ------------------------------------------------------------ weights of the network


def test_coefs_change_the_network(data: Any) -> None:
    x, _, y, _ = data
    net, other = (TinyNetClassifier((8,), max_iter=2, random_state=i).fit(x, y) for i in (0, 1))
    assert [w.shape for w in net.coefs_ + net.intercepts_] == [(64, 8), (8, 10), (8,), (10,)]
    assert net.n_layers_ == 3
    net.coefs_, net.intercepts_ = other.coefs_, other.intercepts_
    np.testing.assert_array_equal(net.predict_proba(x), other.predict_proba(x))
    net.coefs_[1][...] = 0
    net.intercepts_[1] = np.zeros(10)
    np.testing.assert_allclose(net.predict_proba(x), 0.1, rtol=1e-12)
    net.partial_fit(x, y)
    assert np.abs(net.coefs_[1]).max() > 0
    for wrong in ([np.zeros((64, 8))], [np.zeros((64, 9)), np.zeros((9, 10))]):
        with pytest.raises(ValueError, match=r"shape|shorter"):
            net.coefs_ = wrong
    with pytest.raises(AttributeError, match="not fitted yet"):
        TinyNetClassifier().coefs_  # noqa: B018  # only a fitted estimator has them


def test_failed_fit_leaves_the_estimator_unchanged(data: Any) -> None:
    x, _, y, _ = data
    net = TinyNetClassifier((8,), max_iter=2, random_state=0).fit(x, y)
    before = net.predict_proba(x)
    for settings, wrong_x, wrong_y in (
        ({"activation": "rleu"}, x[:, :5], y),
        ({"solver": "addam"}, x[:, :5], y),
        ({"early_stopping": True}, x[:2, :5], y[:2]),
        ({}, x[:, :5] * np.nan, y),
    ):
        net.set_params(**settings)
        with pytest.raises(ValueError, match=r"Received|NaN"):
            net.fit(wrong_x, wrong_y)
        net.set_params(activation="relu", solver="adam", early_stopping=False)
        np.testing.assert_array_equal(net.predict_proba(x), before)
    unfitted = TinyNetClassifier(early_stopping=True)
    with pytest.raises(ValueError, match="too small"):
        unfitted.fit(x[:2], y[:2])
    regressor = TinyNetRegressor()
    for wrong in (["text"] * 2, [1.0, 1e39]):
        with pytest.raises(ValueError, match="Received"):
            regressor.fit(x[:2].astype(np.float32), wrong)
    assert not hasattr(unfitted, "model_")
    assert not hasattr(regressor, "model_")
    assert not hasattr(regressor, "coefs_")


# ------------------------------------------------------------ when training ends


def noisy(n: int = 300) -> Any:
    """Return two classes that can't be separated."""
    random = np.random.default_rng(0)
    x = random.normal(size=(n, 10))
    return x, (x[:, 0] + random.normal(size=n) > 0).astype(int)


def test_warm_start_keeps_the_best_weights() -> None:
    x, y = noisy()
    settings = {"early_stopping": True, "warm_start": True, "max_iter": 20, "tol": 0.0}
    net = TinyNetClassifier((20,), **settings, solver="sgd", learning_rate_init=0.05)
    net.set_params(n_iter_no_change=100, random_state=0, batch_size=32).fit(x, y)
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


def test_changed_parameters_take_effect_in_a_warm_start(data: Any) -> None:
    x, _, y, _ = data
    net = TinyNetClassifier((8,), max_iter=1, warm_start=True, random_state=0).fit(x, y)
    size = sum(np.abs(w).sum() for w in net.coefs_)
    net.set_params(alpha=1000.0, solver="sgd", learning_rate_init=0.01, max_iter=20).fit(x, y)
    assert type(net.model_.optimizer).__name__ == "SGD"
    assert sum(np.abs(w).sum() for w in net.coefs_) < size / 10
    for change in ({"hidden_layer_sizes": (9,)}, {"activation": "tanh"}, {"dropout": 0.5}):
        changed = copy.deepcopy(net).set_params(**change)
        with pytest.raises(ValueError, match=f"{next(iter(change))} must stay"):
            changed.fit(x, y)
        changed.set_params(warm_start=False, alpha=0.0).fit(x, y)
    invscaling = TinyNetRegressor(solver="sgd", learning_rate="invscaling", max_iter=2)
    invscaling.set_params(warm_start=True).fit(x, y).fit(x, y)
    rate = float(invscaling.model_.optimizer.learning_rate)
    assert rate == np.float32(0.001 / (4 * len(x) + 1) ** 0.5)


def test_early_stopping_on_few_samples() -> None:
    x = np.random.default_rng(0).normal(size=(10, 3))
    for net, y in (
        (TinyNetRegressor(early_stopping=True, random_state=0), x[:, 0]),
        (TinyNetClassifier(early_stopping=True, random_state=0), x[:, 0] > 0),
    ):
        with pytest.warns(UserWarning, match="needs 2 samples, which are held out"):
            net.fit(x, y)
        assert net.t_ == 8 * net.n_iter_
        assert np.isfinite(net.validation_scores_).all()
        assert net.best_validation_score_ == max(net.validation_scores_)
        with pytest.raises(ValueError, match="The validation set is too small"):
            net.fit(x[:2], y[:2])
        with pytest.raises(ValueError, match="The validation set is too small"):
            net.set_params(validation_fraction=0.0).fit(x, y)


def test_early_stopping_with_a_class_of_one_sample() -> None:
    """As in scikit-learn, only two classes must both have two samples."""
    x = np.random.default_rng(0).normal(size=(41, 3))
    y = np.r_[np.zeros(20, int), np.ones(20, int), 2]
    net = TinyNetClassifier((4,), early_stopping=True, random_state=0).fit(x, y)
    assert len(net.validation_scores_) == net.n_iter_
    assert net.classes_.tolist() == [0, 1, 2]
    many = TinyNetClassifier((4,), early_stopping=True, random_state=0, max_iter=3)
    assert many.fit(x, np.arange(41) // 4).n_outputs_ == 11
    with pytest.raises(ValueError, match="least populated class"):
        net.fit(x[:21], y[20:])


@pytest.mark.parametrize("early_stopping", [False, True])
def test_interrupt_leaves_a_fitted_estimator(
    early_stopping: bool, data: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = _Monitor.record

    def interrupt(monitor: Any, loss: float) -> None:
        record(monitor, loss)
        if len(monitor._owner.loss_curve_) == 3:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(_Monitor, "record", interrupt)
    x, _, y, _ = data
    net = TinyNetClassifier((8,), early_stopping=early_stopping, random_state=0)
    with pytest.warns(UserWarning, match="Training interrupted by user") as caught:
        assert net.fit(x, y) is net
    assert len(caught) == 1
    assert net.n_iter_ == len(net.loss_curve_) == 3
    assert net.score(x, y) > 0.1
    if early_stopping:
        assert net.best_validation_score_ == max(net.validation_scores_)


def test_interrupt_in_the_first_epoch(data: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(_Monitor, "record", interrupt)
    for kind in (TinyNetClassifier, TinyNetRegressor):
        net = kind(early_stopping=True, random_state=0)
        with pytest.warns(UserWarning, match="Training interrupted by user"):
            net.fit(data[0], data[2])
        assert net.n_iter_ == 0
        assert np.isfinite(net.predict(data[0])).all()


def test_divergence_is_an_error_unless_early_stopping_has_weights_to_keep(data: Any) -> None:
    x, _, y, _ = data
    settings = {"solver": "sgd", "activation": "identity", "learning_rate_init": 1.0}
    net = TinyNetRegressor(**settings, random_state=0)
    with pytest.raises(ValueError, match="Solver produced non-finite parameter weights"):
        net.fit(x[:150], y[:150])
    with pytest.warns(ConvergenceWarning, match="The loss diverged"):
        net.set_params(early_stopping=True).fit(x[:150], y[:150])
    assert np.isnan(net.validation_scores_[-1])
    assert np.isfinite(net.best_validation_score_)
    assert np.isfinite(net.predict(x)).all()


def test_batch_size_above_the_number_of_samples_warns(data: Any) -> None:
    with pytest.warns(UserWarning, match="It is going to be clipped"):
        TinyNetClassifier((4,), batch_size=10**6, max_iter=1).fit(data[0], data[2])
