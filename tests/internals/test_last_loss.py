"""The loss after the last step of an epoch, which `fit` checks for divergence."""

from __future__ import annotations

from typing import Any

import pytest

from tests.models import classifier, data
from tinynet import Sequential, config, layers


class Scaled(layers.Layer):
    """A layer whose outputs are halved during training."""

    def call(self, x: Any, training: bool = False) -> Any:
        return x * 0.5 if training else x


@pytest.mark.each_value
@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize(
    ("layer", "differs"),
    [
        (lambda: layers.Dense(3), False),
        (lambda: layers.LayerNormalization(), False),
        (lambda: layers.Lambda(lambda x: 2 * x), False),
        (lambda: Sequential([layers.Input((5,)), layers.Activation("tanh")]), False),
        (lambda: Scaled(), True),
        (lambda: Sequential([layers.Input((5,)), Scaled()]), True),
        (lambda: layers.Lambda(lambda x, training: x * 0.5 if training else x), True),
        (lambda: layers.Dropout(0.5), True),
        (lambda: layers.GaussianNoise(0.5), True),
        (lambda: layers.BatchNormalization(), True),
    ],
)
def test_last_loss_equals_evaluated_loss(
    backend: str, layer: Any, differs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The training program computes the loss, unless the model behaves differently in training."""
    config.set_backend(backend)
    model, (x, y) = classifier(layer()), data()
    found = []
    own = model._loss_of
    monkeypatch.setattr(model, "_loss_of", lambda batch: found.append(own(batch)) or found[-1])
    model.fit(x, y, batch_size=21, epochs=2, shuffle=False, verbose=0)
    assert {kind for kind, *_ in model._programs} == {"train", *(["test"] * differs)}
    assert int(model.optimizer.iterations) == 2
    assert found == pytest.approx([model.evaluate(x, y, batch_size=21, verbose=0)], rel=1e-6)
