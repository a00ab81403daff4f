"""Gradient tapes: the chain rule over recorded operations, layers, losses and models."""

from __future__ import annotations

import inspect
import math
from typing import Any

import numpy as np
import pytest

import tinynet
from tests import models, supported
from tinynet import GradientTape, Variable, layers, losses, ops, value_and_gradients
from tinynet.program.variable import as_tensor


def tensor(*values: float) -> Any:
    return as_tensor(np.array(values, np.float32))


def test_gradient_sums_over_uses() -> None:
    w = Variable([3.0, -1.0], dtype="float32")
    with GradientTape() as tape:
        y = ops.sum(w * w + 2.0 * w)
    assert tape.watched_variables() == (w,)
    gradient = tape.gradient(y, w)
    assert gradient.tolist() == [8, 0]
    assert gradient.dtype == np.float32


def test_gradient_keeps_source_structure() -> None:
    a, b, c = (Variable(float(n), dtype="float32") for n in (2, 3, 5))
    with GradientTape() as tape:
        y = a * b
    sources = {"ab": [a, b], "c": c}
    found = tape.gradient(y, sources)
    assert (float(found["ab"][0]), float(found["ab"][1]), found["c"]) == (3, 2, None)
    with GradientTape() as tape:
        y = a * b
    assert float(tape.gradient(y, sources, unconnected_gradients="zero")["c"]) == 0


def test_tape_watches_requested_tensors() -> None:
    x, w = tensor(2.0), Variable([3.0], dtype="float32")
    with GradientTape() as tape:
        tape.watch(x)
        y = x * w
    assert [float(g[0]) for g in tape.gradient(y, [x, w])] == [3, 2]
    with GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(x)
        y = x * w
    assert tape.gradient(y, w) is None


def test_persistent_tape_is_reusable() -> None:
    w = Variable([3.0], dtype="float32")
    with GradientTape(persistent=True) as tape:
        y, z = w * w, w * 2.0
    w.assign([100.0])
    assert (float(tape.gradient(y, w)[0]), float(tape.gradient(z, w)[0])) == (6, 2)


def test_tape_is_used_once() -> None:
    w = Variable([3.0])
    with GradientTape() as tape:
        y = w * w
    tape.gradient(y, w)
    with pytest.raises(RuntimeError, match=r"persistent=True.*Received: a second call"):
        tape.gradient(y, w)


def test_two_tapes_and_paused_recording() -> None:
    w = Variable([3.0], dtype="float32")
    with GradientTape() as one, GradientTape() as two:
        y = w * w
        with two.stop_recording():
            z = y * w
    assert float(one.gradient(z, w)[0]) == 27
    assert two.gradient(z, w) is None


def test_output_gradients_scale_results() -> None:
    w = Variable([1.0, 2.0], dtype="float32")
    with GradientTape() as tape:
        y = w * w
    assert tape.gradient(y, w, output_gradients=[1.0, 10.0]).tolist() == [2, 40]


def test_value_and_gradients() -> None:
    w, b = Variable([3.0, 4.0], dtype="float32"), Variable(1.0, dtype="float32", name="b")
    value, (d_w, d_b) = value_and_gradients(lambda: (w**2).sum() * b, [w, b])
    assert (float(value), d_w.tolist(), float(d_b)) == (25, [6, 8], 25)


def test_numpy_functions_are_recorded() -> None:
    x = tensor(1.0, 2.0)
    with GradientTape() as tape:
        tape.watch(x)
        y = np.mean(np.exp(x[::-1]) * 2 - x.reshape(2, 1).T) + np.concatenate([x, x]).sum()
    # The mean of two values contributes exp(x) - 1/2, and the sum over two copies of x gives 2.
    expected = np.exp([1.0, 2.0]) - 0.5 + 2
    np.testing.assert_allclose(tape.gradient(y, x), expected, rtol=1e-6)


def used(compute: Any) -> bool:
    """Return whether a tape finds the same gradient for a Variable as for a tensor."""
    start = np.linspace(0.2, 0.8, 6, dtype=np.float32).reshape(2, 3)
    found = []
    for value in (lambda x: x, lambda x: 1 * x):
        x = Variable(start)
        with GradientTape() as tape:
            total = tinynet.ops.sum(compute(value(x)))
        found.append(tape.gradient(total, x))
    np.testing.assert_array_equal(*found)
    return bool(np.any(found[0]))


@pytest.mark.parametrize("name", supported.kinds()["losses"])
def test_losses_of_variables_are_recorded(name: str) -> None:
    loss = getattr(losses, name)
    if inspect.isclass(loss):
        loss = loss()
    is_sparse = "sparse" in name.lower()
    y = np.array([0, 2]) if is_sparse else np.array([[1.0, 0, 0], [0, 0, 1]])
    assert used(lambda x: loss(y, x))
    if not is_sparse:
        assert used(lambda x: loss(x, np.float32([[0.2, 0.3, 0.5], [0.7, 0.2, 0.1]])))


@pytest.mark.parametrize("name", [n for n in supported.kinds()["losses"] if n[0].isupper()])
@pytest.mark.parametrize("shape", [(), (2,), (2, 1)])
def test_losses_are_linear_in_the_sample_weight(name: str, shape: Any) -> None:
    loss, w = getattr(losses, name)(), Variable(np.float32([0.5, 2])[: math.prod(shape)])
    y = np.array([0, 2]) if "Sparse" in name else np.array([[1.0, 0, 0], [0, 0, 1]])
    with GradientTape() as tape:
        weight = tinynet.ops.reshape(w, shape)
        total = loss(y, np.float32([[0.2, 0.3, 0.5], [0.7, 0.2, 0.1]]), sample_weight=weight)
    assert float(total)
    np.testing.assert_allclose(np.sum(tape.gradient(total, w) * w.array), total, rtol=1e-6)


class Weighted(tinynet.layers.Layer):
    """Layer whose output is a Variable."""

    def __init__(self, weight: Any) -> None:
        super().__init__()
        self.weight = weight

    def call(self, x: Any) -> Any:
        return self.weight


@pytest.mark.parametrize(
    "compute",
    [
        tinynet.activations.linear,
        tinynet.activations.get(lambda x: 2 * x),
        tinynet.utils.normalize,
        lambda x: Weighted(x)(np.ones((2, 3))),
        lambda x: np.concatenate([x, x]),
        lambda x: np.where(np.ones((2, 3), bool), x, 0),
        np.max,
        lambda x: np.einsum("ij,kj->ik", x, x),
        lambda x: np.clip(x, 0.3, 0.7),
    ],
)
def test_functions_of_variables_are_recorded(compute: Any) -> None:
    assert used(compute)


def test_tape_loop_equals_train_on_batch() -> None:
    x, y = models.data()
    loop, other = (
        models.classifier(layers.Activation("gelu"), layers.BatchNormalization()) for _ in range(2)
    )
    loss_of = tinynet.losses.SparseCategoricalCrossentropy()
    for _ in range(5):
        with GradientTape() as tape:
            loss = loss_of(y, loop(x, training=True))
        gradients = tape.gradient(loss, loop.trainable_weights)
        loop.optimizer.apply_gradients(zip(gradients, loop.trainable_weights, strict=True))
        # The same functions in the same order, but train_on_batch has one flat gradient vector.
        assert float(loss) == pytest.approx(other.train_on_batch(x, y), rel=1e-5)
    for a, b in zip(loop.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_saturated_softmax_loss_uses_logits() -> None:
    """As in Keras, where a softmax stores its logits for the loss."""
    z = tensor(0.0, 200.0).reshape(1, 2)
    with GradientTape() as tape:
        tape.watch(z)
        loss = tinynet.losses.SparseCategoricalCrossentropy()([0], ops.softmax(z))
    assert float(loss) == 200
    assert tape.gradient(loss, z).tolist() == [[-1, 1]]


def test_gradients_use_recorded_values() -> None:
    """An optimizer may change a variable before the gradient of another tape is computed."""
    v, w = Variable([1.0, 2.0]), Variable([3.0, 4.0])
    with GradientTape() as first, GradientTape() as second:
        y = ops.sum(v * w)
    tinynet.optimizers.SGD(1.0).apply_gradients([(first.gradient(y, v), v)])
    assert v.numpy().tolist() == [-2, -2]
    assert second.gradient(y, w).tolist() == [1, 2]
    with GradientTape() as tape:
        y = ops.sum(v * w)
        v.assign([7.0, 7.0])
    assert tape.gradient(y, w).tolist() == [-2, -2]


@pytest.mark.parametrize(
    "view",
    [
        *(ops.convert_to_tensor, ops.transpose, ops.squeeze, ops.stop_gradient),
        lambda v: v[:1],
        lambda v: ops.reshape(v, (1, 2)),
        lambda v: ops.expand_dims(v, 0),
        lambda v: ops.split(v, 2)[0],
        lambda v: ops.unstack(v)[0],
        lambda v: ops.broadcast_to(v, (3, 2)),
    ],
)
def test_tensors_keep_their_values(view: Any) -> None:
    """Later changes of a variable or of the caller's array do not affect results."""
    variable, array = Variable([1.0, 2.0]), np.float32([1, 2])
    results = [view(variable), view(as_tensor(array.copy()))]
    results.append(ops.convert_to_tensor(array))
    variable.assign([5.0, 6.0])
    array[...] = 7
    assert [float(np.ravel(r)[0]) for r in results] == [1, 1, 1]


def test_numpy_copies() -> None:
    tensor, variable = as_tensor(np.float32([1, 2])), Variable([1.0, 2.0])
    tensor.numpy()[0] = variable.value.numpy()[0] = 9
    assert (float(tensor[0]), float(variable[0])) == (1, 1)


def test_second_derivatives_raise() -> None:
    x = tensor(1.0, 2.0)
    with GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = ops.sum(x**3)
        first = tape.gradient(y, x)
    assert first.tolist() == [3, 12]
    assert tape.gradient(y, x).tolist() == [3, 12]
    with pytest.raises(NotImplementedError, match="second derivatives"):
        tape.gradient(first, x)


def test_in_place_tensor_changes_raise() -> None:
    x = tensor(1.0, 2.0)
    with pytest.raises(TypeError, match=r"in place.* Received: tensor\[\.\.\.\]"), GradientTape():
        x[0] = 5.0
    x[0] = 3.0
    assert x.tolist() == [3, 2]

    class Zeroing(layers.Layer):
        def call(self, x: Any) -> Any:
            x[:, 0] = 0
            return x

    with pytest.raises(TypeError, match=r"in place"):
        Zeroing()(np.ones((2, 2), np.float32))
