"""Write results of Keras to golden files: ``python -m reference.golden``.

With these files, parity can be tested without Keras. Each file contains inputs and expected
results. ``README.md`` describes their contents.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from itertools import pairwise
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from reference import keras_net
from reference.weights import get_weights

FOLDER = Path(__file__).with_name("golden")
SEED = 20240229
SIZES = (12, 7, 5, 3)
BATCH_SIZE = 6
BATCHES = 8
RECORD = (1, 10, 200)

Named = dict[str, npt.NDArray[Any]]

ADAMS: dict[str, dict[str, Any]] = {
    "default": {},
    "other": {"learning_rate": 0.01, "beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-3},
    "amsgrad": {"amsgrad": True},
}
ACTIVATIONS = (
    "linear",
    "relu",
    "relu6",
    "leaky_relu",
    "elu",
    "selu",
    "softplus",
    "softsign",
    "sigmoid",
    "hard_sigmoid",
    "silu",
    "hard_silu",
    "tanh",
    "gelu",
    "exponential",
    "mish",
)
INITIALIZERS = (
    "glorot_uniform",
    "glorot_normal",
    "he_uniform",
    "he_normal",
    "lecun_uniform",
    "lecun_normal",
    "random_uniform",
    "random_normal",
    "truncated_normal",
    "zeros",
    "ones",
)
FITS: dict[str, dict[str, Any]] = {
    "plain": {},
    "sample_weight": {"sample_weight": True},
    "class_weight": {"class_weight": {0: 1.0, 1: 2.5}},  # the other class has weight 1
}


def numbered(prefix: str, arrays: Sequence[npt.ArrayLike]) -> Named:
    """Return a dict that maps ``prefix0``, ``prefix1``, ... to the arrays."""
    return {f"{prefix}{i}": np.asarray(array) for i, array in enumerate(arrays)}


def start_weights(rng: np.random.Generator) -> list[npt.NDArray[np.float32]]:
    """Return initial weights: Glorot uniform kernels, and biases of 0."""
    weights = []
    for fan_in, fan_out in pairwise(SIZES):
        limit = np.sqrt(6 / (fan_in + fan_out))
        weights += [rng.uniform(-limit, limit, (fan_in, fan_out)), np.zeros(fan_out)]
    return [weight.astype(np.float32) for weight in weights]


def features(rng: np.random.Generator, *shape: int) -> npt.NDArray[np.float32]:
    """Return random inputs between 0 and 1, half of which are exactly 0."""
    x = rng.random((*shape, SIZES[0])) * (rng.random((*shape, SIZES[0])) < 0.5)
    return x.astype(np.float32)


def small_net(rng: np.random.Generator) -> Named:
    """Compute the output, the loss, the gradients, and the state after 1, 10 and 200 steps."""
    weights = start_weights(rng)
    x = features(rng, BATCHES, BATCH_SIZE)
    x[0, 0] = 0  # all pre-activations of this row are exactly 0, the kink of relu
    y = rng.integers(0, SIZES[-1], (BATCHES, BATCH_SIZE))
    sample_weight = np.array([0, 0.5, 1, 1, 2, 4], dtype=np.float32)

    model = keras_net.build_model(weights, sizes=SIZES, jit_compile=False)
    loss, gradients = keras_net.loss_and_gradients(model, x[0], y[0])
    weighted_loss, weighted = keras_net.loss_and_gradients(model, x[0], y[0], sample_weight)
    named: Named = {
        **numbered("weight", weights),
        "x": x,
        "y": y,
        "sample_weight": sample_weight,
        "output": keras_net.forward(model, x[0]),
        "loss": np.asarray(loss, np.float32),
        **numbered("gradient", gradients),
        "weighted_loss": np.asarray(weighted_loss, np.float32),
        **numbered("weighted_gradient", weighted),
    }
    batches = ((x[i % BATCHES], y[i % BATCHES]) for i in range(max(RECORD)))
    for number, step in keras_net.train_steps(model, batches, RECORD).items():
        named[f"step{number}_loss"] = np.asarray(step.loss, np.float32)
        named |= numbered(f"step{number}_weight", step.weights)
        named |= numbered(f"step{number}_state", step.optimizer_state)
    return named


def losses() -> Named:
    """Compute sparse categorical cross-entropy from logits, softmax models and probabilities."""
    logits = [[100, 0, 0], [0, 100, 0], [1, 2, 3], [0, -1, 4], [1e4, 0, -1e4], [0, 0, 0]]
    logits_y = [1, 1, 2, 0, 2, 0]
    probabilities = [
        [0.2, 0.3, 0.5],
        [0.6, 0.3, 0.3],  # not normalized
        [1, 0, 0],  # certain and wrong
        [1, 0, 0],  # certain and correct
        [0, 0, 0],
        [1, 1e-8, 0],  # the probability of the label is below 1e-7, the clipping threshold
    ]
    probabilities_y = [2, 0, 1, 0, 0, 1]
    sample_weight = [2, 0.5, 1, 0, 1, 3]
    named: Named = {
        "logits": np.array(logits, dtype=np.float32),
        "logits_y": np.array(logits_y),
        "probabilities": np.array(probabilities, dtype=np.float32),
        "probabilities_y": np.array(probabilities_y),
        "sample_weight": np.array(sample_weight, dtype=np.float32),
    }

    # An identity dense layer, so that its bias gradient is the gradient with respect to the logits.
    model = keras_net.build_model([np.eye(3), np.zeros(3)], sizes=(3, 3), jit_compile=False)
    rows = [
        keras_net.loss_and_gradients(model, row[None], label[None])
        for row, label in zip(named["logits"], named["logits_y"], strict=True)
    ]
    named["softmax_model_loss"] = np.array([loss for loss, _ in rows], dtype=np.float32)
    named["softmax_model_gradient"] = np.stack([gradients[1] for _, gradients in rows])

    for form, from_logits in (("logits", True), ("probabilities", False)):
        y_true, y_pred = named[f"{form}_y"], tf.Variable(named[form])
        for reduction in ("none", "sum", "sum_over_batch_size"):
            loss = keras.losses.SparseCategoricalCrossentropy(from_logits, reduction=reduction)
            named[f"{form}_loss_{reduction}"] = loss(y_true, y_pred).numpy()
            weighted = loss(y_true, y_pred, named["sample_weight"])
            named[f"{form}_weighted_loss_{reduction}"] = weighted.numpy()
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits)
        with tf.GradientTape() as tape:
            mean = loss(y_true, y_pred)
        named[f"{form}_gradient"] = tape.gradient(mean, y_pred).numpy()
    return named


def adam(rng: np.random.Generator) -> Named:
    """Apply 20 steps of Adam to variables, with gradients of various magnitudes.

    The gradients vary from step to step: with constant gradients, errors of the decay rates would
    cancel, since the step size would always be the learning rate.
    """
    size = np.array([0, 1e-8, 1e-7, 1e-6, 1, 1e3], dtype=np.float32)
    sign = rng.choice([-1, 1], (20, 2, size.size))
    gradient = (rng.uniform(0.2, 2, (20, 2, size.size)) * sign * size).astype(np.float32)
    start = [np.zeros(size.size, np.float32), np.ones(size.size, np.float32)]
    named = {"size": size, "gradient": gradient, **numbered("start", start)}
    for name, options in ADAMS.items():
        steps = keras_net.optimizer_steps(keras.optimizers.Adam(**options), start, list(gradient))
        for prefix, series in (("value", 0), ("state", 1)):
            arrays = zip(*(step[series] for step in steps), strict=True)
            named |= numbered(f"{name}_{prefix}", [np.stack(array) for array in arrays])
    return named


def activations(rng: np.random.Generator) -> Named:
    """Compute elementwise activations and their derivatives on a grid, and softmax on rows.

    ``d_x`` is the gradient with respect to ``x``, for the upstream gradient ``upstream``.
    """
    grid = np.concatenate([[-20, -1e-4], np.linspace(-6.5, 6.5, 53), [1e-4, 20]])
    rows = rng.uniform(-4, 4, (5, 4))
    rows[1] = [100, 0, -100, 100]
    rows[2] = 0
    upstream = rng.uniform(-1, 1, rows.shape)
    named = {
        name: array.astype(np.float32)
        for name, array in {"grid": grid, "rows": rows, "upstream": upstream}.items()
    }
    functions = {name: keras.activations.get(name) for name in ACTIVATIONS}
    functions["relu_options"] = lambda x: keras.activations.relu(x, 0.1, 4.0, 1.0)
    for name, function in functions.items():
        named[name], named[f"{name}_derivative"] = value_and_gradient(function, named["grid"])
    for name in ("softmax", "log_softmax"):
        function = keras.activations.get(name)
        named[name], named[f"{name}_d_x"] = value_and_gradient(
            function, named["rows"], named["upstream"]
        )
    return named


def value_and_gradient(
    function: Any, x: npt.NDArray[Any], upstream: npt.NDArray[Any] | None = None
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Return ``function(x)``, and the gradient with respect to `x` for an upstream gradient."""
    variable = tf.Variable(x)
    with tf.GradientTape() as tape:
        value = function(tf.convert_to_tensor(variable))
    gradient = tape.gradient(value, variable, output_gradients=upstream)
    return value.numpy(), gradient.numpy()


def initializers() -> dict[str, Any]:
    """Compute the minimum, maximum, mean and standard deviation of each initializer's values."""
    report: dict[str, Any] = {}
    for name in INITIALIZERS:
        report[name] = []
        for shape in ((784, 128), (128, 10), (3000,)):
            initializer = keras.initializers.get(name)
            if hasattr(initializer, "seed"):
                initializer = type(initializer)(seed=SEED)
            drawn = np.array(initializer(shape).numpy(), dtype=np.float64)
            report[name].append(
                {
                    "shape": list(shape),
                    "min": drawn.min(),
                    "max": drawn.max(),
                    "mean": drawn.mean(),
                    "std": drawn.std(),
                }
            )
    return report


def fit(rng: np.random.Generator) -> tuple[Named, dict[str, Any]]:
    """Train on a small data set, and return the arrays and the report.

    The arrays are the data and the final weights; the report has options, history and evaluation.
    The last 11 of 53 rows are used for validation; the other 42 form five batches of 8 and a final
    partial batch of 2.
    """
    options: dict[str, Any] = {
        "epochs": 3,
        "batch_size": 8,
        "validation_split": 0.2,
        "shuffle": False,
    }
    weights = start_weights(rng)
    x, y = features(rng, 53), rng.integers(0, SIZES[-1], 53)
    sample_weight = rng.uniform(0.1, 3, 53).astype(np.float32)
    named = {**numbered("weight", weights), "x": x, "y": y, "sample_weight": sample_weight}
    report: dict[str, Any] = {"sizes": SIZES, "learning_rate": 0.01, "options": options, "fits": {}}
    for name, extra in FITS.items():
        model = keras_net.build_model(
            weights,
            sizes=SIZES,
            optimizer=keras.optimizers.Adam(report["learning_rate"]),
            jit_compile=False,
        )
        given = {"sample_weight": sample_weight} if "sample_weight" in extra else extra
        history = keras_net.fit_epoch(model, x, y, **options, **given)
        evaluated = model.evaluate(x, y, batch_size=options["batch_size"], verbose=0)
        report["fits"][name] = {"extra": extra, "history": history, "evaluate": evaluated}
        named |= numbered(f"{name}_weight", get_weights(model))
    return named, report


def write(folder: Path) -> None:
    """Compute all results, and write them to `folder`, with the provenance file last."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []

    def write_arrays(name: str, arrays: Mapping[str, npt.ArrayLike]) -> None:
        np.savez_compressed(folder / name, allow_pickle=False, **arrays)
        written.append(name)

    def write_json(name: str, report: Mapping[str, Any]) -> None:
        (folder / name).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        written.append(name)

    # Each file has a separate random generator, so that files can change independently.
    write_arrays("small_net.npz", small_net(np.random.default_rng([SEED, 0])))
    write_arrays("adam.npz", adam(np.random.default_rng([SEED, 1])))
    write_arrays("activations.npz", activations(np.random.default_rng([SEED, 2])))
    write_arrays("losses.npz", losses())
    fit_arrays, fit_report = fit(np.random.default_rng([SEED, 3]))
    write_arrays("fit.npz", fit_arrays)
    write_json("fit.json", fit_report)
    write_json("initializers.json", initializers())
    provenance = {
        "command": "python -m reference.golden",
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "seed": SEED,
        "versions": keras_net.versions(),
        "adams": ADAMS,
        "sha256": {
            name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in written
        },
    }
    write_json("provenance.json", provenance)


def main(argv: list[str] | None = None) -> None:
    """Write the golden files."""
    parser = argparse.ArgumentParser(prog="python -m reference.golden", description=main.__doc__)
    parser.add_argument("--out", type=Path, default=FOLDER, help="output folder")
    args = parser.parse_args(argv)
    write(args.out)
    print(f"golden files of {keras_net.describe_versions()} are in {args.out}")


if __name__ == "__main__":
    main()
