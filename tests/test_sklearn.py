"""tinynet's estimators among scikit-learn's own, and beside its MLPClassifier."""

from __future__ import annotations

import pickle
import re
import warnings
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from sklearn.base import clone
from sklearn.datasets import load_digits, make_regression
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from tinynet.sklearn import TinyNetClassifier, TinyNetRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@parametrize_with_checks([TinyNetClassifier(), TinyNetRegressor()])
def test_scikit_learns_own_checks(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.fixture(scope="module")
def data() -> Any:
    """Scikit-learn's digits, pixels from 0 to 1: train and test."""
    x, y = load_digits(return_X_y=True)
    return train_test_split(x / 16, y, test_size=0.25, random_state=0)


def first_weights(net: Any, x: Any, y: Any) -> list[Any]:
    """Return the weights that a net begins with."""
    still = clone(net).set_params(learning_rate_init=1e-300, max_iter=1, early_stopping=False)
    return still.set_params(solver="sgd").fit(x, y).model_.get_weights()


# ------------------------------------------------------------ what has the same name is the same

SETTINGS: list[dict[str, Any]] = [
    {"solver": "adam"},
    {"solver": "adam", "alpha": 1.0, "activation": "tanh", "hidden_layer_sizes": (7, 5)},
    {"solver": "adam", "beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-4, "activation": "logistic"},
    {"solver": "sgd", "momentum": 0.9},
    {"solver": "adam", "tol": 0.1, "n_iter_no_change": 2},
    {"solver": "sgd", "momentum": 0.8, "nesterovs_momentum": False, "activation": "identity"},
    {"solver": "sgd", "learning_rate": "invscaling", "power_t": 0.2, "momentum": 0.0},
    {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.05, "n_iter_no_change": 1},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize(
    "kinds", [(TinyNetClassifier, MLPClassifier), (TinyNetRegressor, MLPRegressor)]
)
def test_same_course_as_scikit_learns_net(
    kinds: Any, settings: Any, data: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y = data[0][:200], data[2][:200]
    y = y if kinds[0] is TinyNetClassifier else y / 9
    common = {"max_iter": 30, "shuffle": False, "batch_size": 50, "learning_rate_init": 0.01}
    common |= {"hidden_layer_sizes": (8,), "random_state": 0, **settings}
    ours = kinds[0](**common)
    weights = first_weights(ours, x, y)

    def from_there(net: Any, fan_in: int, fan_out: int, dtype: Any) -> Any:
        return weights.pop(0).copy(), weights.pop(0).copy()

    monkeypatch.setattr(kinds[1], "_init_coef", from_there)
    theirs = kinds[1](**common).fit(x, y)
    ours.fit(x, y)
    assert ours.n_iter_ == theirs.n_iter_ == len(ours.loss_curve_)
    assert (ours.n_iter_ < 30) == (settings.get("tol") == 0.1 or "adaptive" in settings.values())
    assert ours.best_loss_ == min(ours.loss_curve_)
    assert ours.t_ == theirs.t_
    # Both compute in float64. Only our learning rate is kept in float32, as Keras keeps it: half
    # an ulp, 6e-8 of every step; over 120 steps on a smooth loss that stays below 120 of them.
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=120 * 6e-8)
    ends = zip(ours.model_.get_weights()[::2], theirs.coefs_, strict=True)
    for mine, other in ends:
        np.testing.assert_allclose(mine, other, rtol=1e-4, atol=1e-5)


# ------------------------------------------------------------ what an estimator can do


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


def test_float32_and_integers_are_computed_in_float32(data: Any) -> None:
    x, _, y, _ = data
    for kind, expected in ((np.float32, "float32"), (np.uint8, "float32"), (np.float64, "float64")):
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
    held = train_test_split(x, y, test_size=0.2, random_state=net._split_seed, stratify=y)
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
    with pytest.raises(ValueError, match="Received: \\[11\\]"):
        parts.partial_fit(x[:1], [11])
    with pytest.raises(ValueError, match="those of the first call"):
        parts.partial_fit(x, y, classes=range(11))
    with pytest.raises(ValueError, match="classes must be given"):
        TinyNetClassifier().partial_fit(x, y)
    with pytest.raises(ValueError, match="early_stopping=True"):
        TinyNetClassifier(early_stopping=True).partial_fit(x, y, range(10))
    with pytest.raises(ValueError, match="'balanced'"):
        TinyNetClassifier(class_weight="balanced").partial_fit(x, y, range(10))


def test_partial_fit_of_a_batch_without_some_classes(data: Any) -> None:
    x, _, y, _ = data
    few = np.flatnonzero(y < 3)
    net = TinyNetClassifier((8,), random_state=0).partial_fit(x[few], y[few], range(10))
    assert net.predict_proba(x).shape == (len(x), 10)


def test_warm_start_goes_on(data: Any) -> None:
    x, _, y, _ = data
    whole = TinyNetClassifier((8,), max_iter=6, random_state=0).fit(x, y)
    parts = TinyNetClassifier((8,), max_iter=3, random_state=0, warm_start=True).fit(x, y).fit(x, y)
    assert parts.loss_curve_ == whole.loss_curve_
    assert (parts.n_iter_, whole.n_iter_) == (3, 6)
    with pytest.raises(ValueError, match="only the classes"):
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
    net = TinyNetRegressor((64,), max_iter=300, learning_rate_init=0.01, random_state=0).fit(x, y)
    assert net.predict(x).shape == (200, 3)
    assert net.score(x, y) > 0.95
    early = TinyNetRegressor((64,), early_stopping=True, learning_rate_init=0.01, random_state=0)
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
        ({"hidden_layer_sizes": (0,)}, "Received: units=0"),
        ({"learning_rate": "falling"}, "Received: learning_rate='falling'"),
        ({"learning_rate_init": 0.0}, "Received: learning_rate_init=0.0"),
        ({"max_iter": 0}, "Received: max_iter=0"),
        ({"batch_size": 0}, "Received: batch_size=0"),
        ({"alpha": -1.0}, "Received: alpha=-1.0"),
        ({"n_iter_no_change": 0}, "Received: n_iter_no_change=0"),
        ({"dropout": 2.0}, "Received: rate=2.0"),
    ],
)
def test_nonsense_is_refused(settings: Any, message: str, data: Any) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        TinyNetClassifier(**settings).fit(data[0], data[2])
    with pytest.raises(ValueError, match="Received: 1 class"):
        TinyNetClassifier().fit(data[0], np.zeros(len(data[0])))


def test_a_warning_where_there_was_still_progress(data: Any) -> None:
    with pytest.warns(ConvergenceWarning, match="max_iter=2"):
        TinyNetClassifier(max_iter=2).fit(data[0], data[2])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        TinyNetClassifier((4,), tol=10.0, n_iter_no_change=2).fit(data[0], data[2])


def test_verbose(data: Any, capsys: pytest.CaptureFixture[str]) -> None:
    TinyNetClassifier((4,), max_iter=2, verbose=True).fit(data[0], data[2])
    assert capsys.readouterr().out.count("loss: ") == 2
    TinyNetClassifier((4,), max_iter=2).fit(data[0], data[2])
    assert capsys.readouterr().out == ""
