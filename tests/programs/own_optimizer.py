"""An optimizer of one's own, saved with its model, and then a loop with clipped gradients."""

import keras
import numpy as np
import tensorflow as tf


@keras.saving.register_keras_serializable(package="own")
class SignMomentum(keras.optimizers.Optimizer):
    """Move by the sign of a running mean of the gradients."""

    def __init__(self, learning_rate=0.001, momentum=0.9, name="sign_momentum", **kwargs):
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        self.momentum = momentum

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self.means = self.add_optimizer_variables(variables, "mean")

    def update_step(self, gradient, variable, learning_rate):
        mean = self.means[self._get_variable_index(variable)]
        self.assign(mean, self.momentum * mean + (1 - self.momentum) * gradient)
        step = keras.ops.cast(learning_rate, variable.dtype) * keras.ops.sign(mean)
        self.assign_sub(variable, step)

    def get_config(self):
        config = super().get_config()
        config.update({"momentum": self.momentum})
        return config


keras.utils.set_random_seed(5)
(x_train, y_train), (x_test, y_test) = keras.datasets.mnist.load_data()
x_train, x_test = x_train.astype("float32") / 255, x_test.astype("float32") / 255

model = keras.Sequential(
    [
        keras.layers.Input((28, 28)),
        keras.layers.Flatten(),
        keras.layers.Dense(32, activation="relu"),
        keras.layers.Dense(10, activation="softmax"),
    ]
)
model.compile(
    optimizer=SignMomentum(0.002, momentum=0.8, weight_decay=0.01, use_ema=True, ema_momentum=0.9),
    loss="sparse_categorical_crossentropy",
    metrics=["accuracy"],
)
history = model.fit(
    x_train,
    y_train,
    epochs=4,
    verbose=0,
    validation_data=(x_test, y_test),
    callbacks=[keras.callbacks.SwapEMAWeights()],
)
print("loss falls:", history.history["loss"][-1] < history.history["loss"][0] / 2)
print("accuracy:", history.history["val_accuracy"][-1])

model.save("own_optimizer.keras")
model = keras.models.load_model("own_optimizer.keras")
print(type(model.optimizer).__name__, model.optimizer.momentum, len(model.optimizer.variables))
print("steps:", int(model.optimizer.iterations))

loss_function = keras.losses.SparseCategoricalCrossentropy()
losses = []
for start in range(0, 640, 32):
    rows = slice(start, start + 32)
    with tf.GradientTape() as tape:
        loss = loss_function(y_train[rows], model(x_train[rows], training=True))
    gradients = tape.gradient(loss, model.trainable_variables)
    gradients, norm = tf.clip_by_global_norm(gradients, 1.0)
    model.optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
    losses.append(float(loss))
print("finite:", bool(np.isfinite(losses).all()), "steps:", int(model.optimizer.iterations))
print("accuracy:", model.evaluate(x_test, y_test, verbose=0)[1])
