"""Knowledge distillation: a student learns from a frozen teacher, with its own compile."""

import keras
import tensorflow as tf
from keras import layers, ops

from tests.custom_programs import common

data, train = common.classes, common.fit


class Distiller(keras.Model):
    def __init__(self, student, teacher):
        super().__init__()
        self.teacher = teacher
        self.student = student

    def compile(self, optimizer, metrics, student_loss_fn, distillation_loss_fn, temperature=3):
        super().compile(optimizer=optimizer, metrics=metrics)
        self.student_loss_fn = student_loss_fn
        self.distillation_loss_fn = distillation_loss_fn
        self.temperature = temperature

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, allow_empty=False, training=None
    ):
        teacher_pred = self.teacher(x, training=False)
        distillation_loss = self.distillation_loss_fn(
            ops.softmax(teacher_pred / self.temperature, axis=1),
            ops.softmax(y_pred / self.temperature, axis=1),
        ) * (self.temperature**2)
        return 0.1 * self.student_loss_fn(y, y_pred) + 0.9 * distillation_loss

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            y_pred = self.student(x, training=True)
            loss = self.compute_loss(x=x, y=y, y_pred=y_pred)
        variables = self.student.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables))
        logs = self.compute_metrics(x, y, y_pred)
        logs["student_loss"] = loss
        return logs

    def call(self, x):
        return self.student(x)


def make():
    teacher = keras.Sequential([keras.Input((12,)), layers.Dense(32, "relu"), layers.Dense(4)])
    student = keras.Sequential([keras.Input((12,)), layers.Dense(8, "relu"), layers.Dense(4)])
    distiller = Distiller(student=student, teacher=teacher)
    distiller.compile(
        optimizer=keras.optimizers.Adam(0.01),
        metrics=[keras.metrics.SparseCategoricalAccuracy()],
        student_loss_fn=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        distillation_loss_fn=keras.losses.KLDivergence(),
        temperature=4,
    )
    distiller.build((None, 12))
    return distiller
