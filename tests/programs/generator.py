"""Noisy batches from a generator, and a learning rate schedule."""

import keras
import numpy as np

(x_train, y_train), (x_test, y_test) = keras.datasets.mnist.load_data()


def batches(x, y, size=32, seed=0):
    rng = np.random.default_rng(seed)
    while True:
        rows = rng.integers(0, len(x), size)
        noise = rng.normal(0, 0.05, (size, 28, 28))
        yield (x[rows] / 255 + noise).astype("float32"), y[rows]


model = keras.Sequential()
model.add(keras.layers.Flatten(input_shape=(28, 28)))
model.add(keras.layers.Dense(64, activation="relu"))
model.add(keras.layers.Dense(10))
rate = keras.optimizers.schedules.ExponentialDecay(0.003, decay_steps=40, decay_rate=0.9)
model.compile(
    optimizer=keras.optimizers.AdamW(rate, weight_decay=1e-4, clipnorm=1.0),
    loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=["accuracy"],
)
history = model.fit(
    batches(x_train, y_train),
    steps_per_epoch=30,
    epochs=3,
    verbose=0,
    validation_data=(x_test / 255, y_test),
)
print(sorted(history.history), history.params["steps"])
print("steps:", int(model.optimizer.iterations))
print("accuracy:", history.history["val_accuracy"][-1])
