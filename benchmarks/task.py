"""Task of a benchmark: a network, its data and its training."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

EPOCH = 60_000  # images


@dataclass(frozen=True)
class Task:
    """A network of dense layers; by default 784-128-10 with relu and softmax, on MNIST.

    If `inputs` is not 784, the data are a random table with that number of columns. The optimizers
    have Keras' default parameters, except for the learning rate.
    """

    hidden: tuple[int, ...] = (128,)
    batch: int = 32
    images: int = EPOCH  # or rows of the table
    test_images: int = 10_000
    dense: bool = False  # noise on every pixel, so that no pixel is 0
    data: str = "MNIST"
    name: str = ""
    inputs: int = 784
    outputs: int = 10
    activation: str = "relu"  # of the hidden layers: relu, tanh, sigmoid
    head: str = "softmax"  # activation of the last layer: softmax, sigmoid, linear
    loss: str = "sparse_categorical_crossentropy"
    optimizer: str = "adam"  # adam, adamw, rmsprop, sgd
    learning_rate: float = 1e-3
    dropout: float = 0.0  # after each hidden layer
    batch_norm: bool = False  # between each hidden layer and its activation
    l2: float = 0.0  # penalty on the kernels
    standardized: bool = False  # pixels of mean 0 and standard deviation 1: no pixel is 0
    epochs: int = 5  # in a round

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of inputs, and number of units of each layer."""
        return (self.inputs, *self.hidden, self.outputs)

    @property
    def classifies(self) -> bool:
        """Whether the task is classification with integer labels, which have an accuracy."""
        return self.loss == "sparse_categorical_crossentropy"

    def fields(self) -> dict[str, Any]:
        """Convert the task to the JSON format."""
        return {**asdict(self), "hidden": list(self.hidden)}

    @classmethod
    def of(cls, fields: dict[str, Any]) -> Task:
        """Create a task from the JSON format, in which newer fields may be missing."""
        return cls(**{**fields, "hidden": tuple(fields["hidden"])})


def _table(name: str, *sizes: int, **options: Any) -> Task:
    inputs, *hidden, outputs = sizes
    task = Task(tuple(hidden), 32, 20_000, 1_000, name=name, epochs=10)
    return replace(task, inputs=inputs, outputs=outputs, **options)


#: The networks of the suite ``nets``.
NETWORKS = (
    Task(name="main"),
    Task(name="logits", head="linear"),
    Task(name="one-hot labels", loss="categorical_crossentropy"),
    Task(name="dropout", dropout=0.2),
    Task(name="tanh", activation="tanh"),
    Task(name="AdamW", optimizer="adamw"),
    Task(name="SGD", optimizer="sgd", learning_rate=0.01),
    Task(name="L2", l2=1e-4),
    Task((256, 128, 64), name="256-128-64", epochs=3),
    Task((512,), 128, name="512, RMSprop", optimizer="rmsprop", epochs=3),
    Task((256, 128), 64, name="batch normalization", batch_norm=True, epochs=3),
    Task(name="standardized", standardized=True, epochs=3),
    Task(
        (512, 512), 128, name="512-512, RMSprop, dropout", optimizer="rmsprop", dropout=0.2,
        epochs=2,
    ),
    Task(
        (32,), 256, name="autoencoder", outputs=784, head="sigmoid", loss="binary_crossentropy",
        epochs=3,
    ),
    _table("8-64-64-1, mse", 8, 64, 64, 1, head="linear", loss="mse"),
    _table("30-16-8-1, binary", 30, 16, 8, 1, head="sigmoid", loss="binary_crossentropy"),
    Task(
        (30,), 10, name="784-30-10, sigmoid, mse, SGD", activation="sigmoid", head="sigmoid",
        loss="mse", optimizer="sgd", learning_rate=1.0,
    ),
    _table(
        "4-32-16-4, tanh, full batch", 4, 32, 16, 4, activation="tanh", batch=10_000,
        images=10_000, epochs=100,
    ),
)  # fmt: skip
#: Task for `predict`, `evaluate` and calls of the model.
PREDICTION = Task(name="prediction")
