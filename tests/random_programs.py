"""Random programs: a network, loss, optimizer, metrics, data and options, drawn from a seed.

A program is written once, as functions of ``k``, and runs with ``k = keras`` and
``k = tinynet``. `draw` returns the same program for the same seed; ``print(program)`` shows it.

``python -m tests.random_programs --kind keras --programs 1000`` compares many programs, and prints
the seed and the text of each failure. Add a failing seed to `FIXED` in `test_random_programs`.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import secrets
import tempfile
import traceback
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

import tinynet

Spec = tuple[str, dict[str, Any]]
CLASSES = 4

# Activations that are differentiable almost everywhere, and have the same derivative at kinks in
# both libraries.
ACTIVATIONS = [
    *("relu", "tanh", "sigmoid", "linear", "elu", "selu", "softplus", "gelu", "silu", "mish"),
    *("softsign", "leaky_relu", "hard_sigmoid", "relu6", "exponential"),
]
OPTIMIZERS: list[Spec] = [
    ("SGD", {"learning_rate": 0.1}),
    ("SGD", {"learning_rate": 0.05, "momentum": 0.9}),
    ("SGD", {"learning_rate": 0.05, "momentum": 0.8, "nesterov": True}),
    ("Adam", {"learning_rate": 0.01, "epsilon": 1e-3}),
    ("Adam", {"learning_rate": 0.01, "epsilon": 1e-3, "amsgrad": True}),
    ("Adam", {"learning_rate": 0.01, "epsilon": 1e-3, "beta_1": 0.5, "beta_2": 0.9}),
    ("AdamW", {"learning_rate": 0.01, "epsilon": 1e-3, "weight_decay": 0.1}),
    ("Nadam", {"learning_rate": 0.01, "epsilon": 1e-3}),
    ("RMSprop", {"learning_rate": 0.01, "epsilon": 1e-3}),
    ("RMSprop", {"learning_rate": 0.01, "epsilon": 1e-3, "momentum": 0.5, "centered": True}),
    ("Adagrad", {"learning_rate": 0.05, "epsilon": 1e-3}),
]
COMMON: list[dict[str, Any]] = [
    *({} for _ in range(4)),
    {"clipnorm": 0.5},
    {"clipvalue": 0.1},
    {"global_clipnorm": 0.7},
    {"weight_decay": 0.05},
    {"use_ema": True, "ema_momentum": 0.5, "ema_overwrite_frequency": 2},
    {"gradient_accumulation_steps": 2},
]
SCHEDULES: list[Spec | None] = [
    *(None for _ in range(4)),
    ("ExponentialDecay", {"initial_learning_rate": 0.05, "decay_steps": 3, "decay_rate": 0.5}),
    ("CosineDecay", {"initial_learning_rate": 0.05, "decay_steps": 8}),
    ("PolynomialDecay", {"initial_learning_rate": 0.05, "decay_steps": 6}),
]
REGULARIZERS: list[Spec | None] = [
    *(None for _ in range(3)),
    ("L2", {"l2": 0.01}),
    ("L1", {"l1": 0.01}),
    ("L1L2", {"l1": 0.001, "l2": 0.02}),
]
CONSTRAINTS: list[Spec | None] = [
    *(None for _ in range(4)),
    ("MaxNorm", {"max_value": 0.8}),
    ("NonNeg", {}),
    ("UnitNorm", {}),
]
METRICS = {
    "classes": ["accuracy", "sparse_top_k_categorical_accuracy", "sparse_categorical_crossentropy"],
    "one-hot": ["accuracy", "categorical_crossentropy", "top_k_categorical_accuracy"],
    "binary": ["accuracy", "binary_crossentropy", "mse"],
    "numbers": ["mae", "mse", "root_mean_squared_error"],
}
LOSSES: dict[str, list[Spec]] = {
    "classes": [
        ("SparseCategoricalCrossentropy", options) for options in ({}, {"ignore_class": 1})
    ],
    "one-hot": [
        *(("CategoricalCrossentropy", options) for options in ({}, {"label_smoothing": 0.2})),
        ("KLDivergence", {}),
        ("CategoricalFocalCrossentropy", {"gamma": 1.5}),
        ("CosineSimilarity", {}),
    ],
    "binary": [
        *(("BinaryCrossentropy", {}), ("BinaryCrossentropy", {"label_smoothing": 0.1})),
        ("BinaryFocalCrossentropy", {"apply_class_balancing": True}),
        ("SquaredHinge", {}),
    ],
    "numbers": [
        *(("MeanSquaredError", {}), ("MeanAbsoluteError", {}), ("LogCosh", {})),
        ("Huber", {"delta": 0.7}),
    ],
}


@dataclasses.dataclass
class Program:
    """A program as plain data."""

    seed: int
    shape: tuple[int, ...]
    layers: list[Any]
    loss: Spec
    optimizer: Spec
    schedule: Spec | None
    metrics: list[str]
    weighted_metrics: list[str]
    fit: dict[str, Any]
    kind: str
    rows: int
    output: tuple[int, ...]
    weighted: bool
    validation: str

    def data(self) -> tuple[Any, Any, Any]:
        """Return inputs, targets and sample weights (or None)."""
        rng = np.random.default_rng(self.seed)
        x = rng.normal(size=(self.rows, *self.shape))
        if rng.random() < 0.5:
            x *= rng.random(x.shape) < 0.3
        places = self.output[:-1]
        if self.kind in ("classes", "one-hot"):
            y: Any = rng.integers(0, self.output[-1], (self.rows, *places))
            if self.kind == "one-hot":
                y = np.eye(self.output[-1])[y]
        elif self.kind == "binary":
            y = rng.integers(0, 2, (self.rows, *self.output))
        else:
            y = rng.normal(size=(self.rows, *self.output))
        weights = rng.uniform(0.1, 2, self.rows) if self.weighted else None
        return x.round(3), y, weights

    def model(self, k: Any, dtype: str) -> Any:
        """Build and compile the program's network."""
        layers = [k.Input(self.shape), *(_layer(k, spec, dtype) for spec in self.layers)]
        model = k.Sequential(layers)
        name, options = self.optimizer
        if self.schedule is not None:
            rate = getattr(k.optimizers.schedules, self.schedule[0])(**self.schedule[1])
            options = {**options, "learning_rate": rate}
        loss, loss_options = self.loss
        model.compile(
            getattr(k.optimizers, name)(**options),
            getattr(k.losses, loss)(**loss_options),
            metrics=list(self.metrics),
            weighted_metrics=list(self.weighted_metrics) or None,
            run_eagerly=True,
        )
        return model

    def run(self, k: Any, dtype: str, weights: Any = None) -> dict[str, Any]:
        """Train, evaluate and predict; return all results that are visible to users."""
        model = self.model(k, dtype)
        if weights is not None:
            model.set_weights(weights)
        start = [np.array(w) for w in model.get_weights()]
        x, y, sample_weight = self.data()
        options = dict(self.fit)
        if self.validation == "data":
            options["validation_data"] = (x[:7], y[:7])
        elif self.validation == "split":
            options["validation_split"] = 0.2
        history = fit(model, x, y, sample_weight=sample_weight, **options)
        evaluated = model.evaluate(x, y, sample_weight=sample_weight, verbose=0, return_dict=True)
        return {
            "start": start,
            "history": history,
            "weights": [np.array(w) for w in model.get_weights()],
            "evaluate": evaluated,
            "predict": np.asarray(model.predict(x, verbose=0)),
            "model": model,
        }


def fit(model: Any, x: Any, y: Any, **options: Any) -> dict[str, Any]:
    """Train; return the history, or tinynet's error message if training diverges.

    About one in a thousand programs diverges, for example because two exponential activations are
    composed.
    """
    try:
        history = model.fit(x, y, shuffle=False, verbose=0, **options).history
    except FloatingPointError as error:
        return {"diverged": str(error)}
    return history  # type: ignore[no-any-return]


def _layer(k: Any, spec: Any, dtype: str) -> Any:
    """Build a layer from its name and options; a list is a nested model."""
    if isinstance(spec, list):
        return k.Sequential([_layer(k, inner, dtype) for inner in spec])
    name, options = spec
    made = {
        key: getattr(getattr(k, f"{key.split('_')[1]}s"), value[0])(**value[1])
        if key.endswith(("_regularizer", "_constraint"))
        else value
        for key, value in options.items()
    }
    return getattr(k.layers, name)(dtype=dtype, **made)


def draw(seed: int, dropout: bool = False) -> Program:
    """Draw a program.

    `dropout` allows a dropout layer, whose random numbers differ between libraries.
    """
    rng = np.random.default_rng([seed, 1])

    def one(choices: Any) -> Any:
        return choices[rng.integers(len(choices))]

    def dense(units: int, activation: str | None) -> Spec:
        options: dict[str, Any] = {"units": units, "activation": activation}
        options["use_bias"] = bool(rng.random() < 0.85)
        for key, choices in (
            ("kernel_regularizer", REGULARIZERS),
            ("bias_regularizer", REGULARIZERS),
            ("kernel_constraint", CONSTRAINTS),
        ):
            chosen = one(choices)
            if chosen is not None and rng.random() < 0.5:
                options[key] = chosen
        return "Dense", options

    shape = one([(5,), (1,), (9,), (3, 4), (2, 3, 2), (40,)])
    places = shape[:-1] if len(shape) == 2 and rng.random() < 0.5 else ()
    layers: list[Any] = []
    if rng.random() < 0.2:
        layers.append(("Rescaling", {"scale": 0.5, "offset": 0.1}))
    if not places and (len(shape) > 1 or rng.random() < 0.3):
        layers.append(("Flatten", {}))
    for _ in range(rng.integers(0, 4)):
        hidden: list[Any] = [dense(int(one([1, 3, 6, 17])), one(ACTIVATIONS))]
        extra = rng.integers(8)
        if extra == 0:
            hidden.append(
                ("BatchNormalization", {"momentum": 0.8, "scale": bool(rng.random() < 0.7)})
            )
        elif extra == 1:
            hidden.append(("LeakyReLU", {"negative_slope": 0.2}))
        elif extra == 2:
            hidden.append(("ReLU", {"negative_slope": 0.1, "threshold": 0.1, "max_value": 1.5}))
        elif extra == 3:
            hidden.append(("Dropout", {"rate": 0.4 if dropout else 0.0}))
        elif extra == 4:
            hidden.append(("Activation", {"activation": one(ACTIVATIONS)}))
        layers += [hidden] if rng.random() < 0.2 else hidden
    kind = one(list(LOSSES))
    loss, loss_options = one(LOSSES[kind])
    classes = kind in ("classes", "one-hot")
    output = (*places, CLASSES if classes else int(one([1, 3])))
    head = {"classes": "softmax", "one-hot": "softmax", "binary": "sigmoid", "numbers": None}[kind]
    loss_options = dict(loss_options)
    if loss.endswith("Crossentropy") and rng.random() < 0.4:
        head, loss_options["from_logits"] = None, True
    if rng.random() < 0.15:
        loss_options["reduction"] = "sum"
    spelled = rng.random() < 0.3 and head is not None
    layers.append(dense(output[-1], None if spelled else head))
    layers[-1][1].pop("kernel_constraint", None)
    if spelled:
        layers.append(("Activation", {"activation": head}))
    name, options = one(OPTIMIZERS)
    options = {**options, **one(COMMON)}
    if loss_options.get("reduction") == "sum":
        options["learning_rate"] *= 0.01
    rows, batch_size = int(rng.integers(8, 30)), int(one([4, 5, 8, 32]))
    # Keras' metrics do not support sample weights for targets with several positions.
    weighted = bool(rng.random() < 0.3) and not places
    metrics = METRICS[kind]
    return Program(
        seed=seed,
        shape=shape,
        layers=layers,
        loss=(loss, loss_options),
        optimizer=(name, options),
        schedule=one(SCHEDULES) if loss_options.get("reduction") != "sum" else None,
        metrics=[m for m in metrics if rng.random() < 0.5],
        weighted_metrics=[one(metrics)] if rng.random() < 0.2 else [],
        fit={"batch_size": batch_size, "epochs": int(one([1, 2, 3]))},
        kind=kind,
        rows=rows,
        output=output,
        weighted=weighted,
        validation=one(["none", "data", "split"]),
    )


# ------------------------------------------------------------ comparisons


def assert_close(found: Any, expected: Any, room: float, what: str) -> None:
    """Assert that all differences are at most `room` times the largest absolute value.

    The largest value is taken to be at least 0.05.

    Elements that are NaN or infinite must be equal in both arrays.
    """
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    assert found.shape == expected.shape, f"{what}: shapes {found.shape} and {expected.shape}"
    finite = np.isfinite(expected)
    np.testing.assert_array_equal(np.isfinite(found), finite, err_msg=what)
    np.testing.assert_array_equal(found[~finite], expected[~finite], err_msg=what)
    scale = max(np.abs(expected[finite]).max(initial=0), 0.05)
    worst = np.abs(found[finite] - expected[finite]).max(initial=0)
    assert worst <= room * scale, f"{what}: differ by {worst:.3g}, more than {room * scale:.3g}"


def assert_same_run(found: Any, expected: Any, room: float) -> None:
    """Assert that two runs have the same results, to within `room` of the largest values."""
    for part in ("history", "evaluate"):
        assert list(found[part]) == list(expected[part]), part
        for key, value in expected[part].items():
            assert_close(found[part][key], value, room, f"{part} {key}")
    assert_close(found["predict"], expected["predict"], room, "predict")
    pairs = zip(found["weights"], expected["weights"], strict=True)
    for i, (a, b) in enumerate(pairs):
        assert_close(a, b, room, f"weight {i}")


def is_chaotic(program: Program, run: dict[str, Any], size: float, room: float) -> bool:
    """Return whether a relative change of the initial weights by `size` changes results by `room`.

    Two correct implementations give different results for such a program. Example: a bias with
    an L1 penalty whose value is only a rounding error: the gradient of the penalty is the sign of
    the error.
    """
    signs = np.random.default_rng(program.seed)
    start = [w * (1 + size * signs.choice([-1, 1], w.shape)) for w in run["start"]]
    with floatx((tinynet,), "float64"):
        moved = program.run(tinynet, "float64", start)
    try:
        assert_same_run(moved, run, room)
    except AssertionError:
        return True
    return False


@contextmanager
def floatx(libraries: Any, dtype: str) -> Any:
    """Temporarily compute in another float dtype, including losses and metrics."""

    def change(name: str) -> None:
        for k in libraries:
            k.config.set_floatx(name)
            if k is not tinynet:  # Keras reads floatx only once for its policy
                k.config.set_dtype_policy(name)

    change(dtype)
    try:
        yield
    finally:
        change("float32")


@contextmanager
def setting(change: Callable[[Any], None], value: Any, back: Any) -> Any:
    """Temporarily change a setting."""
    change(value)
    try:
        yield
    finally:
        change(back)


def compare_with_keras(seed: int) -> None:
    """Compare with Keras in float64, where rounding errors cannot hide a different formula."""
    from reference.keras_net import keras

    program = draw(seed)
    # TensorFlow's top_k metrics do not support float64.
    for names in (program.metrics, program.weighted_metrics):
        names[:] = [name for name in names if "top_k" not in name]
    with floatx((keras, tinynet), "float64"):
        keras.utils.set_random_seed(seed % 2**32)
        expected = program.run(keras, "float64")
        found = program.run(tinynet, "float64", expected["start"])
    if "diverged" in found["history"]:  # Keras continues training
        numbers = [*expected["history"].values(), *map(np.ravel, expected["weights"])]
        assert not np.isfinite(np.concatenate(numbers)).all(), found["history"]
        return
    # tinynet computes Adam's bias correction with float32 powers, like Keras in float32: an error
    # of up to 1e-5 of a step. A wrong formula gives a hundred times as much.
    if not is_chaotic(program, found, 1e-5, 1e-4):
        assert_same_run(found, expected, 1e-4)


def compare_backends(seed: int) -> None:
    """Compare the kernels in float32 with the NumPy backend in float64."""
    program = draw(seed)
    # This metric divides outputs by their sum, which may be only a rounding error for logits.
    if program.loss[1].get("from_logits"):
        for names in (program.metrics, program.weighted_metrics):
            names[:] = [name for name in names if name != "categorical_crossentropy"]
    before = tinynet.config.backend()
    runs = []
    for backend, dtype in (("numpy", "float64"), ("numpy", "float32"), ("numba", "float32")):
        start = runs[0]["start"] if runs else None
        with setting(tinynet.config.set_backend, backend, before):
            tinynet.random.set_seed(seed % 2**32)
            runs.append(program.run(tinynet, dtype, start))
    exact, *rounded = runs
    diverged = ["diverged" in run["history"] for run in runs]
    assert diverged[1] == diverged[2], rounded
    if any(diverged) or is_chaotic(program, exact, 1e-6, 2e-3):
        return
    # Twenty steps with sums of at most 60 terms, forward and backward through four layers; if a
    # pre-activation lies on different sides of a kink in float32 and float64, the weights differ by
    # a fraction of a step.
    for run in rounded:
        assert_same_run(run, exact, 2e-3)


def compare_threads(seed: int) -> None:
    """Assert that results do not depend on the number of threads or on the fused training loop.

    They must be bit-identical. A callback that observes batches makes `fit` use single steps.
    """
    program = draw(seed, dropout=True)
    each = tinynet.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: None)
    rest = program.rows % program.fit["batch_size"]
    few = min(program.fit["batch_size"], program.rows) < 4 or 0 < rest < 4
    runs = []
    before, backend = tinynet.config.num_threads(), tinynet.config.backend()
    for threads, callbacks in ((1, []), (2, []), (3, []), (1, [each])):
        if callbacks and (few or program.validation == "split"):
            continue  # the fused loop rounds batches of one to three examples differently
        own = dataclasses.replace(program, fit={**program.fit, "callbacks": callbacks})
        with (
            setting(tinynet.config.set_backend, "numba", backend),
            setting(tinynet.config.set_num_threads, threads, before),
        ):
            tinynet.random.set_seed(seed % 2**32)
            runs.append(own.run(tinynet, "float32"))
    for run in runs[1:]:
        assert [w.tobytes() for w in run["weights"]] == [w.tobytes() for w in runs[0]["weights"]]
        assert run["predict"].tobytes() == runs[0]["predict"].tobytes()


def compare_files(seed: int) -> None:
    """Save and load between two epochs, and compare with uninterrupted training."""
    program = draw(seed, dropout=False)
    rng = np.random.default_rng([seed, 2])
    dtype = ["float32", "float64"][rng.integers(2)]
    suffix = [".tinynet", ".keras", ".h5"][rng.integers(3)]
    x, y, weights = program.data()
    options = {"batch_size": program.fit["batch_size"], "sample_weight": weights}
    tinynet.random.set_seed(seed % 2**32)
    model = program.model(tinynet, dtype)
    fit(model, x, y, **options)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"net{suffix}"
        model.save(path)
        loaded = tinynet.saving.load_model(path)
    assert loaded.to_json() == model.to_json()
    for _ in range(2):
        state, expected = ([*m.weights, *m.optimizer.variables] for m in (loaded, model))
        for a, b in zip(state, expected, strict=True):
            assert a.dtype == b.dtype, a.path
            assert a.numpy().tobytes() == b.numpy().tobytes(), a.path
        both = [m.predict(x, verbose=0) for m in (loaded, model)]
        assert both[0].tobytes() == both[1].tobytes()
        histories = [fit(m, x, y, **options) for m in (loaded, model)]
        np.testing.assert_equal(*histories)


KINDS: dict[str, Callable[[int], None]] = {
    "keras": compare_with_keras,
    "backends": compare_backends,
    "threads": compare_threads,
    "files": compare_files,
}


def check(kind: str, seed: int) -> None:
    """Compare one program; the error message of a failure contains the program."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            KINDS[kind](seed)
    except Exception as error:
        raise AssertionError(f"{kind}, seed {seed}: {error}\n{draw(seed)}") from error


def main(kinds: dict[str, Callable[[int], None]]) -> int:
    """Compare many programs; return 1 if a program fails."""
    parser = argparse.ArgumentParser(description="Compare random programs.")
    one = next(iter(kinds))
    parser.add_argument("--kind", choices=kinds, required=len(kinds) > 1, default=one)
    parser.add_argument("--programs", type=int, default=100)
    parser.add_argument("--seed", type=int, help="first seed (random by default)")
    options = parser.parse_args()
    first = secrets.randbelow(2**40) if options.seed is None else options.seed
    failed = 0
    for seed in range(first, first + options.programs):
        try:
            kinds[options.kind](seed)
        except Exception:
            failed += 1
            print(f"seed {seed}")
            traceback.print_exc(limit=-1)
    print(f"{options.kind}: {options.programs:,} programs from seed {first}, {failed:,} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    checks = {kind: functools.partial(check, kind) for kind in KINDS}
    raise SystemExit(main(checks))
