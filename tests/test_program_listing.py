"""`model.program` lists the operations of a training step, and `model.profile` their times."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import tinynet as keras
from tests import models
from tests.test_explain import Blocks, Scale, scaled_squares, two_towers
from tinynet import config, functional, layers
from tinynet.functional import products, reductions, shaping

L = layers


SCCE = "sparse_categorical_crossentropy"


def classifier(*rows: Any, optimizer: Any = "adam", loss: Any = SCCE, **options: Any) -> Any:
    hidden, digit = L.Dense(16, "relu", name="hidden"), L.Dense(10, "softmax", name="digit")
    model = keras.Sequential([L.Input((4, 7)), *(rows or (L.Flatten(), hidden, digit))])
    model.compile(optimizer, loss, **options)
    return model


def batch(n: int = 32) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    return rng.random((n, 4, 7), np.float32), rng.integers(0, 10, n)


def function(name: str) -> Any:
    """Return a function of the package `functional` by name."""
    homes = [functional, products, reductions, shaping]
    return next(getattr(home, name) for home in homes if hasattr(home, name))


def run_text(text: str, registers: dict[str, Any]) -> None:
    """Run a printed program with named registers, using functions of `functional` only."""
    names = {name.replace("/", "__"): value for name, value in registers.items()}
    for line in text.splitlines():
        if not line.startswith("  "):
            continue
        code = re.split(r"(?<=[)\]])  +|(?<=[)\]])$", line.strip())[0].replace("/", "__")
        target, is_set, call = code.rpartition(" = ")
        if call.startswith("["):  # weights that are contiguous in memory
            arrays = [names[name] for name in call[1:-1].split(", ")]
            names[target.strip()] = np.concatenate([a.ravel() for a in arrays])
            continue
        for name in re.findall(r"\bd_\w+__\w+", call):  # gradients are output arguments
            names.setdefault(name, np.full_like(names[name[2:]], np.nan))
        called = call.partition("(")[0]
        result = eval(call, {"__builtins__": {}, called: function(called), **names})
        if is_set:
            names[target.strip()] = result
    registers.update(names)


@pytest.fixture
def on_numpy() -> None:
    """Use the numpy backend, which calls the functions of `functional`."""
    config.set_backend("numpy")


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize(("optimizer", "steps"), [("adam", 1), ("adam", 3), ("sgd", 1)])
@pytest.mark.parametrize("n", [32, 7])
@pytest.mark.usefixtures("on_numpy")
def test_program_runs_as_printed(fused: bool, optimizer: Any, steps: int, n: int) -> None:
    x, y = batch(n)
    model = classifier(optimizer=optimizer)
    size = model.count_params()
    state = {"momentum": np.zeros(size, np.float32), "velocity": np.zeros(size, np.float32)}
    for _ in range(steps):
        assert_runs_as_printed(model, {"x": x, "labels": y, **state}, x, y, fused=fused)


def assert_runs_as_printed(model: Any, registers: Any, x: Any, y: Any, **options: Any) -> None:
    registers |= {w.path: w.numpy() for w in model.weights}
    run_text(str(model.program(batch_size=len(x), **options)), registers)
    model.fit(x, y, batch_size=len(x), shuffle=False, verbose=0)
    trained = np.concatenate([w.ravel() for w in model.get_weights()])
    np.testing.assert_array_equal(registers["weights"], trained)
    assert registers["loss"] == np.float32(model.history.history["loss"][0])


@pytest.mark.parametrize(
    ("loss", "last"),
    [("mse", None), ("mae", "sigmoid"), ("huber", "tanh"), ("categorical_crossentropy", "softmax")],
)
@pytest.mark.usefixtures("on_numpy")
def test_program_with_other_loss_runs(loss: str, last: str) -> None:
    x, y = batch(7)
    y = np.eye(10, dtype=np.float32)[y]
    rows = (L.Flatten(), L.Dense(6, "gelu", name="a"), L.LeakyReLU(), L.Dense(10, last, name="b"))
    model = classifier(*rows, optimizer="sgd", loss=loss)
    assert_runs_as_printed(model, {"x": x, "y": y}, x, y)


@pytest.mark.parametrize(
    "layer",
    [
        *(L.BatchNormalization, L.LayerNormalization, L.PReLU, Scale),
        *(lambda: L.Dropout(0.5), lambda: L.GaussianNoise(0.1), lambda: L.Lambda(lambda x: x * 2)),
    ],
)
def test_program_and_profile_cover_layer_kinds(layer: Any) -> None:
    model = classifier(L.Flatten(), L.Dense(6), layer(), L.Dense(10, "softmax"))
    stages = model.program(4).stages
    lines = [line for stage in stages.values() for line, _ in stage]
    assert len(lines) == len(set(lines)) > 10
    assert {*stages} == {"forward", "loss", "backward", "update"}
    fused = model.program(4, fused=True).stages
    rows = model.profile(*batch(8), batch_size=4).rows
    is_compiled = config.backend() == "numba"
    assert {row.stage for row in rows} == {*fused} == ({"step"} if is_compiled else {*stages})
    if is_compiled:
        python = [line for line, _ in fused["step"] if line.startswith("python(")]
        assert bool(python) is isinstance(model.layers[2], Scale | L.GaussianNoise)
        assert_rows(fused["step"], rows)


def assert_rows(listed: Any, profiled: Any) -> None:
    """Assert that the profile has the same rows as the listing, in the same order."""
    kernels = [text.partition("(")[0] for text, _ in listed]
    assert kernels.count("record") == 1
    measured = [row.instruction for row in profiled if row.instruction != "count_rows"]
    assert measured == [name for name in kernels if name != "record"]
    for text, shape in listed:
        name, _, operations = text.partition("(")
        assert operations.endswith(")")
        assert (name == "chain") <= (operations != ")")
        assert re.fullmatch(r"(N|\d+)( x \d+)+|", shape)
        assert bool(shape) or name in ("take_rows", "record", "draw_uniform")
    assert all(row[:1] == ("step",) and row.layer == "" for row in profiled)


def test_program_prints_registers_with_shapes() -> None:
    model = classifier()
    before = [v.numpy() for v in model.weights]
    text = str(model.program(batch_size=32))
    stages = [line for line in text.splitlines() if not line.startswith(" ")]
    assert stages == ["forward", "loss", "backward", "update"]
    for pattern in (
        r"z1 += dense\(y0, hidden/kernel, hidden/bias\) +32 x 16",
        r"y1 += relu\(z1\) +32 x 16",
        r"d_z1 += relu_backward\(d_y1, z1, y1\) +32 x 16",
        r"dense_gradients\(y0, d_z1, d_hidden/kernel, d_hidden/bias\) +28 x 16, 16",
        r"adam\(weights, d_weights, momentum, velocity, alpha, .*\) +634",
    ):
        assert re.search(pattern, text), pattern
    assert not model.optimizer.built
    for array, v in zip(before, model.weights, strict=True):
        np.testing.assert_array_equal(array, v.numpy())


def test_program_register_names_are_unique() -> None:
    model, *_ = two_towers(Scale(name="own"))
    program = model.program(batch_size=6)
    lines = [line for stage in program.stages.values() for line, _ in stage]
    assert lines.count("y1 = relu(z1)") == 1
    assert "z1 = dense(right, shared/kernel, shared/bias)" in lines  # in Keras' call order
    assert "z2 = dense(left, shared/kernel, shared/bias)" in lines
    assert "y2_2 = own.forward(y2)" in lines
    assert "total = digit_loss + 0.5 * size_loss" in lines
    # The gradients of a shared layer are summed.
    assert "d_shared/kernel = add(d_shared/kernel_2, d_shared/kernel_3)" in lines


def test_program_of_subclass_lists_operations() -> None:
    model = Blocks(L.Dense(4, "relu", name="dense"))
    model.compile("sgd", scaled_squares)
    model.build((None, 4))
    text = str(model.program(batch_size=3))
    assert re.search(r"= mean\(value\w*\) +1$", text, re.M)
    assert "assign(low/norm/moving_mean, " in text
    assert "sgd(weights, d_weights, 0.01)" in text


def test_program_with_dict_inputs() -> None:
    class Pair(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense = L.Dense(3, name="dense")

        def call(self, inputs: Any) -> Any:
            return self.dense(inputs["a"]) + self.dense(inputs["b"])

    x = {"a": np.ones((6, 4), np.float32), "b": np.ones((6, 4), np.float32)}
    model = Pair()
    model.compile("sgd", "mse")
    model.fit(x, np.ones((6, 3)), verbose=0)
    text = str(model.program(3))
    assert "d_dense/kernel = add(d_dense/kernel_2, d_dense/kernel_3)" in re.sub(" +", " ", text)
    if config.backend() == "numba":
        rows = model.profile(x, np.ones((6, 3))).rows
        assert_rows(model.program(3, fused=True).stages["step"], rows)
    config.set_backend("numpy")
    rows = model.profile(x, np.ones((6, 3))).rows
    assert [row.instruction for row in rows[:3]] == ["linear", "linear", "add"]


def test_program_shows_penalties_and_clipping() -> None:
    dense = L.Dense(10, "softmax", kernel_regularizer="l2", name="digit")
    optimizer = keras.optimizers.RMSprop(clipnorm=1.0)
    text = str(classifier(L.Flatten(), dense, optimizer=optimizer).program(8))
    assert re.search(r"total += loss \+ L2\(digit/kernel\)", text)
    assert re.search(r"d_digit/kernel += add\(d_digit/kernel, L2.gradient\(digit/kernel\)\)", text)
    assert "RMSprop.update(0.001, weights, d_weights, velocity)" in text
    assert text.splitlines()[-1] == "applied with the update: clipnorm=1.0"


def test_profile_has_row_per_instruction(backend: str) -> None:
    model = classifier(metrics=["accuracy"])
    weights = model.get_weights()
    profile = model.profile(*batch(64), batch_size=16)
    listing = model.program(16, fused=True)
    if backend == "numba":
        assert_rows(listing.stages["step"], profile.rows)
    else:
        expected = f"""
            forward: linear hidden, relu hidden, linear digit
            loss: {SCCE}, sparse_matches, metrics
            backward: {SCCE}, linear digit, relu hidden, linear hidden
            update: adam
        """
        found: dict[str, list[str]] = {}
        for stage, instruction, layer, *_ in profile.rows:
            if instruction != "flatten":
                found.setdefault(stage, []).append(f"{instruction} {layer}".strip())
        lines = [f"{stage}: {', '.join(each)}" for stage, each in found.items()]
        assert lines == [line.strip() for line in expected.strip().split("\n")]
    assert all(row.microseconds > 0 for row in profile.rows)
    assert profile.microseconds == sum(row.microseconds for row in profile.rows)
    text = str(profile)
    assert f"Batch size: 16, backend: {backend}." in text
    assert sum(map(float, re.findall(r"([\d.]+)%", text))) == pytest.approx(100, abs=1)
    assert "<table>" in profile._repr_html_()
    # The model is unchanged.
    for a, b in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert (int(model.optimizer.iterations), model.optimizer.built) == (0, False)
    assert model.history is None


def test_fused_program_shows_step_rows() -> None:
    if config.backend() != "numba":
        pytest.skip("requires the numba backend")
    images = np.random.default_rng(0).random((64, 784), np.float32)
    model = models.classifier(shape=(784,), units=128, classes=10)
    assert "relu(z1)" in str(model.program())
    listing = model.program(fused=True)
    assert {*listing.stages} == {"step"}
    listed = listing.stages["step"]
    kernels = [(text.partition("(")[0], shape) for text, shape in listed]
    assert [k for k in kernels if k[0] not in ("chain", "take_rows")] == [
        ("linear", "32 x 128"),
        ("linear", "32 x 10"),
        ("record", ""),
        ("kernel_gradient", "128 x 10"),
        ("linear_dx", "32 x 128"),
        ("learn", "784 x 128"),
    ]
    assert ("learn(adam)", "784 x 128") in listed, "the update is fused into the gradient"
    assert_rows(listed, model.profile(images, np.arange(64) % 10).rows)
    text = str(listing)
    assert "One compiled runner executes these kernels; each call executes many steps." in text


def test_profile_rejects_invalid_data() -> None:
    model = keras.Sequential([L.Dense(1)])
    for use in (lambda: model.profile([[1.0]], [[1.0]]), model.program):
        with pytest.raises(ValueError, match="compile"):
            use()
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match=r"Received"):
        model.profile([[1.0]], [[1.0], [2.0]])
    with pytest.raises(ValueError, match=r"must be built before .*program; .* Received: built"):
        model.program()
    assert not model.built
