"""Random numbers: distributions, seeds, gradients, and signatures of `keras.random`."""

from __future__ import annotations

import copy
import inspect
import pickle
from typing import Any

import numpy as np
import pytest

import tinynet
from tinynet import Variable, config, ops, random
from tinynet.compat import tensorflow as tf
from tinynet.program import GradientTape

N = 20_000
# Name, arguments, and the mean and variance of the distribution.
DRAWS: list[tuple[str, dict[str, Any], float, float]] = [
    ("normal", {}, 0, 1),
    ("normal", {"mean": 3.0, "stddev": 2.0}, 3, 4),
    ("truncated_normal", {"mean": 1.0}, 1, 0.7737413),
    ("uniform", {}, 0.5, 1 / 12),
    ("uniform", {"minval": -1.0, "maxval": 3.0}, 1, 16 / 12),
    ("randint", {"minval": -2, "maxval": 4}, 0.5, 35 / 12),
    ("gamma", {"alpha": 2.0}, 2, 2),
    ("beta", {"alpha": 2.0, "beta": 3.0}, 0.4, 0.04),
    ("binomial", {"counts": 10, "probabilities": 0.3}, 3, 2.1),
]


@pytest.mark.parametrize(("name", "options", "mean", "variance"), DRAWS)
def test_draws_have_mean_and_variance(name: str, options: Any, mean: float, variance: Any) -> None:
    x = getattr(random, name)((N,), **options, seed=5).numpy().astype(np.float64)
    # Five standard deviations of the mean and of the variance, for a kurtosis below 10.
    assert abs(x.mean() - mean) < 5 * np.sqrt(variance / N)
    assert abs(x.var() - variance) < 5 * variance * np.sqrt(10 / N)


@pytest.mark.parametrize(("name", "options"), [row[:2] for row in DRAWS])
def test_seeds_repeat_and_generators_advance(name: str, options: Any) -> None:
    def draw(seed: Any) -> Any:
        return getattr(random, name)((2, 20), **options, seed=seed).tolist()

    assert draw(3) == draw(3) != draw(4)
    first, second = random.SeedGenerator(3), random.SeedGenerator(3)
    drawn = [draw(first), draw(first)]
    assert drawn[0] != drawn[1]
    assert drawn == [draw(second), draw(second)]
    random.set_seed(1)
    drawn = [draw(None), draw(None)]
    assert drawn[0] != drawn[1]
    tinynet.utils.set_random_seed(1)
    assert drawn == [draw(None), draw(None)]


def test_random_shapes_and_dtypes() -> None:
    assert random.normal(()).shape == ()
    assert random.normal((0, 3)).shape == (0, 3)
    drawn = [random.uniform(np.array([2, 3])), random.uniform((2,), 0.0, 0.1, dtype="float64")]
    drawn += [random.normal((2,), dtype="float16"), random.randint((2,), 0, 9)]
    drawn += [random.randint((2,), 0, 9, dtype="uint8"), random.binomial((2,), 5, 0.5)]
    dtypes = ["float32", "float64", "float16", "int32", "uint8", "float32"]
    assert [str(x.dtype) for x in drawn] == dtypes
    with config.floatx_scope("float64"):
        assert random.truncated_normal((2,)).dtype == np.float64
    spread = random.normal((2, 3), mean=[0.0, 100.0, 200.0]).numpy()
    assert (np.abs(spread - [0, 100, 200]) < 10).all()
    assert random.uniform((2,), [0.0, 5.0], [1.0, 6.0]).numpy() // 5 == pytest.approx([0, 1])
    assert (np.abs(random.truncated_normal((N,), seed=1)) <= 2).all()


def test_categorical_follows_the_logits() -> None:
    p = np.array([[0.1, 0.2, 0.7], [0.5, 0.0, 0.5]])
    with np.errstate(divide="ignore"):
        drawn = random.categorical(np.log(p), N, seed=2).numpy()
    assert drawn.shape == (2, N)
    shares = np.stack([np.bincount(row, minlength=3) / N for row in drawn])
    np.testing.assert_allclose(shares, p, atol=5 * np.sqrt(0.25 / N))
    assert shares[1, 1] == 0


def test_shuffle_keeps_slices_together() -> None:
    x = np.arange(30).reshape(3, 10)
    shuffled = random.shuffle(x, axis=1, seed=3).numpy()
    assert (shuffled != x).any()
    np.testing.assert_array_equal(shuffled[1:], shuffled[:1] + [[10], [20]])
    np.testing.assert_array_equal(np.sort(shuffled, axis=1), x)


def test_dropout_drops_and_scales() -> None:
    x = np.ones((100, 200), np.float32)
    y = random.dropout(x, 0.25, seed=1).numpy()
    assert set(np.unique(y)) == {0, np.float32(1 / 0.75)}
    assert abs((y == 0).mean() - 0.25) < 5 * np.sqrt(0.25 * 0.75 / y.size)
    rows = random.dropout(x, 0.5, noise_shape=(None, 1), seed=1).numpy()
    assert (rows == rows[:, :1]).all()
    assert (np.unique(rows) == [0, 2]).all()
    np.testing.assert_array_equal(random.dropout(x, 0.0), x)
    assert not random.dropout([np.inf, 1.0], 1.0).numpy().any()


def test_random_gradients_pass_through() -> None:
    mean, stddev = (Variable(v, dtype="float64") for v in ([1.0, 2.0], [3.0, 4.0]))
    noise = random.normal((5, 2), dtype="float64", seed=7).numpy()
    with GradientTape(persistent=True) as tape:
        y = random.normal((5, 2), mean, stddev, dtype="float64", seed=7)
        z = random.dropout(mean, 0.5, seed=1)
        s = ops.sum(random.shuffle(mean, seed=1) * [1.0, 10.0])
    np.testing.assert_allclose(y, mean.numpy() + stddev.numpy() * noise)
    np.testing.assert_allclose(tape.gradient(y, mean), [5, 5])
    np.testing.assert_allclose(tape.gradient(y, stddev), noise.sum(0))
    np.testing.assert_allclose(tape.gradient(z, mean), z.numpy() / mean.numpy())
    assert sorted(tape.gradient(s, mean).tolist()) == [1, 10]


def test_copied_seed_generators_keep_state() -> None:
    generator = random.SeedGenerator(5, name="noise")
    random.normal((3,), seed=generator)
    for copied in (copy.deepcopy(generator), pickle.loads(pickle.dumps(generator))):
        assert type(copied) is random.SeedGenerator
        assert copied.get_config() == {"seed": 5, "name": "noise"}
        after = copy.deepcopy(generator)
        assert random.normal((3,), seed=copied).tolist() == random.normal((3,), seed=after).tolist()
    again = random.SeedGenerator.from_config(generator.get_config())
    assert random.normal((3,), seed=again).tolist() == random.normal((3,), seed=5).tolist()
    seeds = [again.next().tolist(), again.next().tolist()]
    assert seeds[0] != seeds[1]
    assert np.shape(seeds) == (2, 2)
    random.set_seed(0)
    unseeded = random.SeedGenerator()
    first = random.draw_seed()
    random.set_seed(0)
    unseeded = random.SeedGenerator()
    copy.deepcopy(unseeded)  # does not draw a seed
    assert random.draw_seed() == first


def test_random_signatures_match_keras() -> None:
    keras = pytest.importorskip("keras")
    names = [name for name in dir(keras.random) if name[0] != "_"]
    assert {*names, "set_seed", "draw_seed"} <= set(dir(random))
    for name in names:
        if name != "SeedGenerator":
            theirs, ours = (inspect.signature(getattr(k.random, name)) for k in (keras, tinynet))
            assert [(p.name, p.default) for p in ours.parameters.values()] == [
                (p.name, p.default) for p in theirs.parameters.values()
            ]


def test_tf_random_repeats_after_set_seed() -> None:
    tf.random.set_seed(3)
    drawn = [tf.random.normal([2], seed=1).tolist() for _ in range(2)]
    assert drawn[0] != drawn[1]
    tf.random.set_seed(3)
    assert drawn == [tf.random.normal([2], seed=1).tolist() for _ in range(2)]
    assert tf.random.uniform((2,)).dtype == np.float32
    whole = tf.random.uniform((100,), 0, 3, dtype=tf.int32, name="w")
    assert sorted(set(whole.tolist())) == [0, 1, 2]
    assert (tf.random.uniform((N,), minval=-1).numpy() < 0).any()
    assert tf.random.categorical([[0.0, -1e9]], 3).tolist() == [[0, 0, 0]]
    assert tf.random.categorical([[0.0, 1.0]], 3).dtype == np.int64
    assert sorted(tf.random.shuffle([3, 1, 2]).tolist()) == [1, 2, 3]
    assert (np.abs(tf.random.truncated_normal((N,), stddev=0.5)) <= 1).all()
    assert set(tf.nn.dropout(np.ones(50, np.float32), rate=0.5, seed=1).tolist()) == {0.0, 2.0}
