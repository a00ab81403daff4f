"""Metrics: results over batches and with sample weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests import models
from tinynet import Sequential, callbacks, layers, metrics

P = [[0.1, 0.6, 0.3], [0.5, 0.1, 0.4], [0.2, 0.2, 0.6]]
# metric: (targets, predictions, weights, result)
CASES = [
    (metrics.SparseCategoricalAccuracy, [1, 2, 2], P, None, 2 / 3),
    (metrics.SparseCategoricalAccuracy, [[1], [2], [2]], P, None, 2 / 3),
    (metrics.SparseCategoricalAccuracy, np.float32([1, 2, 2]), P, [1, 3, 0], 1 / 4),
    (metrics.SparseCategoricalAccuracy, [0, 1], [[0.5, 0.5], [0.5, 0.5]], None, 1 / 2),  # ties
    (metrics.CategoricalAccuracy, np.eye(3)[[1, 2, 2]], P, None, 2 / 3),
    (metrics.CategoricalAccuracy, np.eye(3)[[1, 2, 2]], P, [1, 3, 0], 1 / 4),
    (metrics.BinaryAccuracy, [[1], [0], [1]], [[0.9], [0.5], [0.5]], None, 2 / 3),
    (metrics.BinaryAccuracy, [1, 0, 1], [[0.9], [0.5], [0.5]], None, 2 / 3),
    (metrics.BinaryAccuracy, [[1, 0], [1, 1]], [[0.9, 0.9], [0.9, 0.9]], None, 3 / 4),
    (metrics.BinaryAccuracy, [[1, 0], [1, 1]], [[0.9, 0.9], [0.9, 0.9]], [1, 3], 3.5 / 4),
]

SCORES, SEVERAL = [[0.2, 0.5, 0.4], [0.9, 0.6, 0.8]], [[0, 1, 1], [0, 0, 1]]
# With threshold 0.5, no value of row 1 and all values of row 2 are predicted positive.
CASES += [
    (metrics.Precision, SEVERAL, SCORES, None, 1 / 3),
    (metrics.Recall, SEVERAL, SCORES, None, 1 / 3),
    (lambda: metrics.Precision(thresholds=0.45), SEVERAL, SCORES, [3, 1], 4 / 6),
    (lambda: metrics.Precision(top_k=2), SEVERAL, SCORES, None, 3 / 4),
    (lambda: metrics.Recall(top_k=1), SEVERAL, SCORES, None, 1 / 3),
    (lambda: metrics.Recall(0.45, top_k=2), SEVERAL, SCORES, None, 2 / 3),
    (lambda: metrics.Recall(class_id=2), SEVERAL, SCORES, None, 1 / 2),
    (lambda: metrics.Recall(class_id=2), SEVERAL, SCORES, [3, 1], 1 / 4),
    (lambda: metrics.Precision(top_k=1, class_id=2), SEVERAL, SCORES, None, 0),
    (metrics.TruePositives, SEVERAL, SCORES, None, 1),
    (metrics.FalsePositives, SEVERAL, SCORES, [3, 1], 2),
    (lambda: metrics.FalseNegatives(0.45), SEVERAL, SCORES, [3, 1], 3),
    (metrics.TrueNegatives, SEVERAL, SCORES, None, 1),
]
# Of the six pairs of a positive and a negative example, three are ordered correctly, and one is a
# tie, which counts as half.
RANKED = [1, 0, 1, 0, 1], [0.9, 0.7, 0.7, 0.5, 0.4]
CASES += [
    (metrics.AUC, *RANKED, None, 3.5 / 6),
    (lambda: metrics.AUC(summation_method="minoring"), *RANKED, None, 3 / 6),
    (lambda: metrics.AUC(summation_method="majoring"), *RANKED, None, 4 / 6),
    (metrics.AUC, *RANKED, [1, 2, 1, 1, 0], 5 / 6),
    (lambda: metrics.AUC(thresholds=[0.6]), *RANKED, None, 7 / 12),
    (lambda: metrics.AUC(curve="PR", summation_method="majoring"), *RANKED, None, 13 / 15),
    (lambda: metrics.SensitivityAtSpecificity(0.5), *RANKED, None, 2 / 3),
    (lambda: metrics.SpecificityAtSensitivity(0.6), *RANKED, None, 1 / 2),
    (lambda: metrics.PrecisionAtRecall(0.5), *RANKED, None, 2 / 3),
    (lambda: metrics.RecallAtPrecision(0.7), *RANKED, None, 1 / 3),
]


@pytest.mark.parametrize(("make", "y_true", "y_pred", "weight", "expected"), CASES)
def test_results(make: Any, y_true: Any, y_pred: Any, weight: Any, expected: float) -> None:
    metric = make()
    metric.update_state(y_true, y_pred, sample_weight=weight)
    result = metric.result()
    assert (result.dtype, result.shape) == (np.float32, ())
    assert float(result) == pytest.approx(expected, rel=1e-7)
    # The same with one row per batch.
    metric.reset_state()
    assert float(metric.result()) == 0
    for i in range(len(y_pred)):
        part = None if weight is None else weight[i : i + 1]
        metric.update_state(y_true[i : i + 1], y_pred[i : i + 1], part)
    assert float(metric.result()) == pytest.approx(expected, rel=1e-7)


def test_precision_of_several_thresholds() -> None:
    metric = metrics.Recall(thresholds=[0.1, 0.45, 0.85])
    metric.update_state(SEVERAL, SCORES)
    np.testing.assert_allclose(metric.result(), np.float32([1, 2 / 3, 0]))
    assert metrics.deserialize(metrics.serialize(metric)).thresholds == [0.1, 0.45, 0.85]
    metric.reset_state()
    assert metric.result().tolist() == [0, 0, 0]


def test_weighted_crossentropy_skips_ignored_labels() -> None:
    metric = metrics.SparseCategoricalCrossentropy(ignore_class=0)
    metric.update_state([0, 1, 2], P, [1.0, 2.0, 3.0])
    expected = -(2 * np.log(0.1) + 3 * np.log(0.6)) / 5
    assert float(metric.result()) == pytest.approx(expected, rel=1e-6)
    metric.reset_state()
    # As in Keras without sample weights, ignored labels have loss 0 but are counted.
    metric.update_state([0, 1, 2], P)
    assert float(metric.result()) == pytest.approx(-(np.log(0.1) + np.log(0.6)) / 3, rel=1e-6)


def test_metrics_can_be_called() -> None:
    metric, mean = metrics.SparseCategoricalAccuracy(), metrics.Mean()
    assert [float(metric([label], P[:1])) for label in (1, 0)] == [1, 0.5]
    assert [float(mean(values)) for values in (4.0, [1.0, 3.0])] == [4, np.float32(8 / 3)]
    mean.reset_state()
    assert float(mean([1.0, 3.0], [3.0, 1.0])) == 1.5
    mean.reset_state()
    mean.update_state([[1.0, 3.0], [5.0, 7.0]])  # each sample counts once
    assert [float(v) for v in mean.variables] == [8, 2]


@pytest.mark.parametrize(
    ("identifier", "y_ndim", "units", "kind"),
    [
        ("accuracy", 1, 10, metrics.SparseCategoricalAccuracy),
        ("acc", 1, 10, metrics.SparseCategoricalAccuracy),
        ("accuracy", 2, 10, metrics.CategoricalAccuracy),
        ("accuracy", 2, 1, metrics.BinaryAccuracy),
        ("accuracy", 1, 1, metrics.BinaryAccuracy),
        ("SparseCategoricalAccuracy", 1, 10, metrics.SparseCategoricalAccuracy),
        ("ce", 1, 10, metrics.SparseCategoricalCrossentropy),
        ("crossentropy", 2, 10, metrics.CategoricalCrossentropy),
        ("ce", 2, 1, metrics.BinaryCrossentropy),
        ("mse", 2, 10, metrics.MeanSquaredError),
    ],
)
def test_names_are_resolved_by_shapes(identifier: str, y_ndim: int, units: int, kind: Any) -> None:
    found = metrics.resolve(identifier, y_ndim, (None, units))
    assert (type(found), found.name) == (kind, identifier)
    own, mine = np.hypot, metrics.CategoricalAccuracy("mine")
    assert metrics.resolve(own, 2, (None, 10)).name == "hypot"
    assert type(metrics.resolve(own, 2, (None, 10))) is metrics.MeanMetricWrapper
    again = metrics.resolve(mine, 2, (None, 10))
    assert (type(again), again.name) == (metrics.CategoricalAccuracy, "mine")


def test_names_in_the_logs() -> None:
    listed = ["accuracy", "accuracy", metrics.SparseCategoricalAccuracy("mine")]
    model = models.classifier(metrics=listed, weighted_metrics=["accuracy", "acc"])
    logs = model.evaluate(*models.data(), verbose=0, return_dict=True)
    assert list(logs) == ["acc", "accuracy", "accuracy_1", "loss", "mine", "weighted_accuracy"]


def test_configurations_round_trip() -> None:
    metric = metrics.BinaryAccuracy(name="mine", threshold=0.25)
    again = metrics.deserialize(metrics.serialize(metric))
    assert again.get_config() == metric.get_config()
    assert again.threshold == 0.25


def test_per_class_scores() -> None:
    # The predicted classes are 1, 0 and 2: class 1 of row 0 and class 2 of row 2 are correct.
    y_true = np.eye(3)[[1, 2, 2]]
    found = {a: metrics.F1Score(a)(y_true, P) for a in (None, "micro", "macro", "weighted")}
    np.testing.assert_allclose(found[None], [0, 1, 2 / 3], rtol=1e-6)
    assert float(found["micro"]) == pytest.approx(2 / 3)
    assert float(found["macro"]) == pytest.approx(5 / 9)
    assert float(found["weighted"]) == pytest.approx((1 + 2 * 2 / 3) / 3)
    # With threshold 0.35, the predicted classes are {1}, {0, 2} and {2}. With beta=2, recall has
    # four times the weight of precision.
    by_threshold = metrics.FBetaScore(beta=2.0, threshold=0.35)(y_true, P)
    np.testing.assert_allclose(by_threshold, [0, 1, 1], rtol=1e-6)


def test_r2_score_over_batches() -> None:
    y, p = np.array([[1.0, 0], [2, 2], [3, 4]]), np.array([[1.5, 0], [2, 2], [2.5, 2]])
    scores = [1 - 0.5 / 2, 1 - 4 / 8]
    for aggregation, expected in (
        (None, scores),
        ("uniform_average", np.mean(scores)),
        ("variance_weighted_average", (2 * scores[0] + 8 * scores[1]) / 10),
    ):
        metric = metrics.R2Score(aggregation)
        for rows in (slice(2), slice(2, 3)):
            metric.update_state(y[rows], p[rows])
        np.testing.assert_allclose(metric.result(), expected, rtol=1e-6)
    weighted = metrics.R2Score(None)(y, p, [1.0, 0, 1])
    np.testing.assert_allclose(weighted, [1 - 0.5 / 2, 1 - 4 / 8], rtol=1e-6)
    # Keras counts 3 rows x 2 outputs = 6 targets; `num_regressors` is 2.
    adjusted = metrics.R2Score(num_regressors=2)(y, p)
    assert float(adjusted) == pytest.approx(1 - (1 - np.mean(scores)) * 5 / 3)
    with pytest.warns(UserWarning, match=r"standard R2.*Received: num_regressors=5, 6 targets"):
        assert float(metrics.R2Score(num_regressors=5)(y, p)) == pytest.approx(np.mean(scores))


def test_nan_never_exceeds_threshold() -> None:
    for options in ({"thresholds": 0.5}, {"thresholds": [0.0, 0.5, 1.0]}):
        assert not np.any(metrics.TruePositives(**options)([1, 1], [np.nan, 0.0]))


# Some metrics create their variables in the first batch.
COUNTING = [
    lambda: metrics.AUC(multi_label=True),
    lambda: metrics.F1Score("macro"),
    lambda: metrics.R2Score(),
    lambda: metrics.Precision(0.25),
]


def compiled(metric: Any) -> Any:
    model = Sequential([layers.Input((3,)), layers.Activation("linear")])
    model.compile("sgd", "mse", metrics=[metric])
    return model


@pytest.mark.parametrize("make", COUNTING)
def test_callback_evaluation_keeps_metric_state(make: Any) -> None:
    x, y, other = np.float32(P), np.eye(3)[[1, 2, 2]], np.eye(3)[[0, 2, 1]]
    histories = []
    for looks in (False, True):
        metric = make()
        model = compiled(metric)

        def look(*_: Any, model: Any = model, looks: bool = looks) -> None:
            if looks:
                model.evaluate(x, other, verbose=0)

        watching = callbacks.LambdaCallback(on_train_batch_begin=look, on_train_batch_end=look)
        options = {"batch_size": 2, "shuffle": False, "verbose": 0, "callbacks": [watching]}
        histories.append([*model.fit(x, y, **options).history.values()])
        histories.append([v.numpy().tolist() for v in metric.variables])
    assert histories[:2] == histories[2:]


@pytest.mark.parametrize("make", COUNTING)
@pytest.mark.parametrize("method", ["evaluate", "fit"])
def test_failing_batch_keeps_metric_state(make: Any, method: str) -> None:
    y, other = np.eye(3)[[1, 2, 2]], np.eye(3)[[0, 2, 1]]
    metric, fresh = make(), make()
    model = compiled(metric)

    def batches() -> Any:
        yield np.float32(P), other
        raise RuntimeError("no more")

    for _ in range(2):
        with pytest.raises(RuntimeError, match="no more"):
            getattr(model, method)(batches(), verbose=0)
        logs = model.evaluate(np.float32(P), y, verbose=0, return_dict=True)
        fresh.reset_state()
        assert logs[metric.name] == pytest.approx(float(fresh(y, P)))
        assert len(metric.variables) == len(fresh.variables)
