"""Custom classes: a loss, an optimizer, a constraint, an initializer and a schedule."""

import keras
from keras import layers, ops

from tests.custom_programs import common

data = common.classes


class FocalLoss(keras.losses.Loss):
    def __init__(self, gamma=2.0, name="focal"):
        super().__init__(name=name)
        self.gamma = gamma

    def call(self, y_true, y_pred):
        hot = ops.one_hot(ops.cast(y_true, "int32"), 4)
        p = ops.clip(ops.sum(hot * y_pred, axis=-1), 1e-6, 1.0)
        return -ops.power(1.0 - p, self.gamma) * ops.log(p)


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
        return self.rate * ops.minimum(1.0, (ops.cast(step, "float32") + 1.0) / self.steps)


def make():
    ramp = layers.Dense(16, "elu", kernel_initializer=Ramp(), kernel_constraint=CenterAround(0.01))
    model = keras.Sequential([keras.Input((12,)), ramp, layers.LeakyReLU(0.2)])
    model.add(layers.Dense(4, bias_regularizer="l2"))
    model.add(layers.Softmax())
    model.compile(SignMomentum(Warmup(0.02, 20)), FocalLoss(1.5))
    return model


def train(model, x, y):
    return common.fit(model, x, y, class_weight={0: 1.0, 1: 2.0, 2: 0.5, 3: 1.0})
