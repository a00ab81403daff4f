"""Initializers: distributions, seeds and names."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tinynet import Sequential, initializers, layers, random

I = initializers  # noqa: E741  # short name of the module
N = 784 * 128
# name: (options, variance for a kernel of (784, 128), largest absolute value)
GLOROT = 2 / (784 + 128)
KINDS = {
    "GlorotUniform": ({}, GLOROT, math.sqrt(3 * GLOROT)),
    "GlorotNormal": ({}, GLOROT, 2 * math.sqrt(GLOROT) / 0.8796256610342398),
    "HeUniform": ({}, 2 / 784, 0.0874818),
    "HeNormal": ({}, 2 / 784, 2 * math.sqrt(2 / 784) / 0.8796256610342398),
    "LecunUniform": ({}, 1 / 784, 0.0618590),
    "LecunNormal": ({}, 1 / 784, 2 * math.sqrt(1 / 784) / 0.8796256610342398),
    "RandomNormal": ({"stddev": 0.1}, 0.01, 0.6),
    "TruncatedNormal": ({"stddev": 0.1}, (0.1 * 0.8796256610342398) ** 2, 0.2),
    "RandomUniform": ({"minval": -0.3, "maxval": 0.3}, 0.03, 0.3),
    "VarianceScaling": (
        {"scale": 3.0, "mode": "fan_out", "distribution": "untruncated_normal"},
        3 / 128,
        6 * math.sqrt(3 / 128),
    ),
}


@pytest.mark.parametrize("name", KINDS)
def test_distributions(name: str) -> None:
    options, variance, largest = KINDS[name]
    values = getattr(I, name)(**options, seed=11)((784, 128)).numpy()
    assert (values.shape, values.dtype) == ((784, 128), np.float32)
    # The standard deviation of the mean of N values is sqrt(variance / N), and that of their
    # variance is less than variance * sqrt(2 / N). A deviation of more than six standard deviations
    # has a probability of about 2e-9.
    assert abs(values.mean()) < 6 * math.sqrt(variance / N)
    assert abs(values.var() / variance - 1) < 6 * math.sqrt(2 / N)
    assert np.abs(values).max() <= largest * (1 + 1e-5)
    if "stddev" not in options and name != "VarianceScaling":  # the values nearly reach the limits
        assert np.abs(values).max() > 0.99 * largest


def test_fixed_values() -> None:
    assert not I.Zeros()((2, 3)).any()
    assert (I.Ones()((2, 3)) == 1).all()
    assert (I.Constant(0.5)((2, 3)) == 0.5).all()
    assert I.Zeros()((), dtype="float64").dtype == np.float64
    assert I.RandomNormal(mean=5.0, stddev=0.0)((3,)).tolist() == [5, 5, 5]
    assert I.Constant(1)((1,)).tolist() == [1]
    assert I.RandomUniform(0, 1, seed=1)((5,)).min() >= 0


@pytest.mark.parametrize(
    ("name", "dtype"),
    [("Zeros", "a"), ("Zeros", ["f4"]), ("RandomNormal", "real"), ("RandomNormal", "int32")],
)
def test_wrong_dtype_raises(name: str, dtype: object) -> None:
    with pytest.raises(ValueError, match=r"dtype must be a .*Received: dtype="):
        getattr(I, name)()((2,), dtype)


@pytest.mark.parametrize("name", KINDS)
def test_initializer_is_deterministic(name: str) -> None:
    options, make = KINDS[name][0], getattr(I, name)
    unseeded, other = make(**options), make(**options)
    seeded, same = make(**options, seed=3), make(**options, seed=3)
    again = make.from_config(seeded.get_config())
    assert type(again) is make
    each = [unseeded, unseeded, other, seeded, same, again]
    a, b, c, *of_seed = (initializer((4, 5)).tobytes() for initializer in each)
    assert a == b != c
    assert len({*of_seed}) == 1
    assert unseeded.get_config()["seed"] is None


def test_shared_initializer_gives_equal_weights() -> None:
    shared = I.HeNormal()
    model = Sequential(
        [layers.Input((4,)), *(layers.Dense(4, kernel_initializer=shared) for _ in range(2))]
        + [layers.Dense(4, kernel_initializer="he_normal") for _ in range(2)]
    )
    a, b, c, d = (layer.kernel.numpy().tobytes() for layer in model.layers)
    assert a == b
    assert len({a, c, d}) == 3


def test_seed_stream() -> None:
    drawn = []
    for seed in (1, 1, 2):
        random.set_seed(seed)
        drawn.append(I.GlorotUniform()((3, 3)).tobytes())
    assert drawn[0] == drawn[1] != drawn[2]


def test_get_accepts_all_identifiers() -> None:
    for kind, *identifiers in (
        (I.GlorotUniform, "glorot_uniform", "GlorotUniform"),
        (I.RandomNormal, "normal"),
        (I.RandomUniform, "uniform"),
        (I.Ones, "one"),
        (I.Zeros, "zero"),
        (I.HeNormal, I.HeNormal, I.HeNormal()),
        (I.Constant, {"class_name": "Constant", "config": {"value": 2.0}}),
        (I.HeUniform, I.serialize(I.HeUniform(seed=4))),
        (type(None), None),
    ):
        assert {type(I.get(identifier)) for identifier in identifiers} == {kind}


def test_custom_initializer_function() -> None:
    layer = layers.Dense(2, kernel_initializer=lambda shape, dtype=None: np.full(shape, 3.0))
    layer.build((None, 2))
    assert layer.kernel.numpy().tolist() == [[3, 3], [3, 3]]
