"""An optimizer, a constraint, an initializer and a schedule, each written as a class."""

import keras
from keras import ops


def data(rng):
    x = rng.standard_normal((96, 12)).astype("float32")
    return x, (x @ rng.standard_normal((12, 4))).argmax(axis=1)


class SignMomentum(keras.optimizers.Optimizer):
    def __init__(self, learning_rate=0.01, momentum=0.9, name="sign_momentum", **kwargs):
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        self.momentum = momentum

    def build(self, variables):
        super().build(variables)
        self.velocities = [
            self.add_variable_from_reference(reference_variable=v, name="velocity")
            for v in variables
        ]

    def update_step(self, gradient, variable, learning_rate):
        velocity = self.velocities[self._get_variable_index(variable)]
        self.assign(velocity, self.momentum * velocity + (1 - self.momentum) * gradient)
        self.assign_sub(variable, learning_rate * ops.tanh(10.0 * velocity))

    def get_config(self):
        return {**super().get_config(), "momentum": self.momentum}


class CenterAround(keras.constraints.Constraint):
    def __init__(self, value):
        self.value = value

    def __call__(self, w):
        return w - ops.mean(w) + self.value


class Ramp(keras.initializers.Initializer):
    def __call__(self, shape, dtype=None):
        return ops.reshape(ops.linspace(-0.5, 0.5, shape[0] * shape[1], dtype="float32"), shape)


class Warmup(keras.optimizers.schedules.LearningRateSchedule):
    def __init__(self, rate, steps):
        self.rate, self.steps = rate, steps

    def __call__(self, step):
        step = ops.cast(step, "float32")
        return self.rate * ops.minimum(1.0, (step + 1.0) / self.steps)

    def get_config(self):
        return {"rate": self.rate, "steps": self.steps}


def make():
    model = keras.Sequential(
        [
            keras.Input((12,)),
            keras.layers.Dense(
                16,
                activation="elu",
                kernel_initializer=Ramp(),
                kernel_constraint=CenterAround(0.01),
            ),
            keras.layers.Dense(4, activation="softmax", bias_regularizer="l2"),
        ]
    )
    model.compile(SignMomentum(Warmup(0.02, 20)), "sparse_categorical_crossentropy")
    return model


def train(model, x, y):
    return model.fit(
        x,
        y,
        batch_size=16,
        epochs=8,
        shuffle=False,
        verbose=0,
        class_weight={0: 1.0, 1: 2.0, 2: 0.5, 3: 1.0},
    ).history["loss"]
