"""Continue training in Keras on JAX, on several devices, if tinynet does not support a model.

tinynet is designed for small dense networks on one machine. If a model needs convolutions, a GPU or
more than one device, continue in Keras on JAX without losing progress: a ``.keras`` file saved by
tinynet contains the exact weights and optimizer state.

This example trains a network in tinynet, saves it, and then continues twice: in tinynet, and in
Keras with every batch divided between two devices. Both runs give the same losses and weights, to
within float32 rounding error. The two devices are virtual CPU devices, so that the example runs on
any machine. On GPUs, only the three lines that refer to the CPU are different.
"""

import importlib.util
import os
import sys
import tempfile

import numpy as np

import tinynet

missing = [name for name in ("jax", "keras") if importlib.util.find_spec(name) is None]
if missing:
    print(f"Skipped: requires {', '.join(missing)} (pip install {' '.join(missing)})")
    sys.exit()

# Set before importing keras: use JAX, with two virtual CPU devices.
os.environ["KERAS_BACKEND"] = "jax"
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2"

import keras

(x, y), _ = tinynet.datasets.drawn_digits.load_data(2048, 1)
x = x.astype("float32") / 255

# ---- in tinynet
tinynet.utils.set_random_seed(0)
model = tinynet.Sequential(
    [
        tinynet.Input((28, 28)),
        tinynet.layers.Flatten(),
        tinynet.layers.Dense(64, activation="relu"),
        tinynet.layers.Dense(10, activation="softmax"),
    ]
)
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
first = model.fit(x, y, epochs=2, batch_size=64, verbose=0).history["loss"]
print(f"tinynet, 2 epochs:                        loss {first[-1]:.6f}")

with tempfile.TemporaryDirectory() as folder:
    model.save(f"{folder}/net.keras")

    # ---- continue in Keras, with each batch divided between the devices
    devices = keras.distribution.list_devices("cpu")
    keras.distribution.set_distribution(keras.distribution.DataParallel(devices=devices))
    onward = keras.models.load_model(f"{folder}/net.keras")

assert len(onward.weights[0].value.sharding.device_set) == len(devices) == 2
theirs = onward.fit(x, y, epochs=2, batch_size=64, shuffle=False, verbose=0).history["loss"]
print(f"Keras on JAX, {len(devices)} devices, 2 more epochs:   loss {theirs[-1]:.6f}")

# ---- continue in tinynet, for comparison
ours = model.fit(x, y, epochs=2, batch_size=64, shuffle=False, verbose=0).history["loss"]
print(f"tinynet, 2 more epochs:                   loss {ours[-1]:.6f}")

pairs = zip(model.weights, onward.weights, strict=True)
largest = max(np.abs(a.numpy() - keras.ops.convert_to_numpy(b.value)).max() for a, b in pairs)
print(f"Largest difference between losses:        {np.abs(np.subtract(ours, theirs)).max():.1e}")
print(f"Largest difference between weights:       {largest:.1e}")
# The order of summation differs, so gradients have a relative error of about 1e-7, and more if they
# are close to 0. Adam divides by their magnitude, so these errors affect its steps of up to 1e-3.
# After 64 steps, the differences are still far below the bounds.
np.testing.assert_allclose(ours, theirs, rtol=1e-4)
assert largest < 1e-4
