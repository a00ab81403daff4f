"""Callback that evaluates with the moving averages of the weights."""

from __future__ import annotations

from typing import Any

from tinynet._core import argument, checks, declared
from tinynet.callbacks.callback import Callback, Logs

__all__ = ["SwapEMAWeights"]


@declared()
class SwapEMAWeights(Callback):
    """Evaluate with the exponential moving averages of the weights, and train without them.

    The optimizer must have ``use_ema=True``. Before an evaluation or a prediction, the model's
    weights are replaced with their averages; afterwards, the training weights are restored.

    Parameters
    ----------
    swap_on_epoch : bool
        If True, also use the averages from the end of an epoch to the beginning of the next one, so
        that a `ModelCheckpoint` after this callback saves them.

    Raises
    ------
    ValueError
        If the optimizer has no moving averages.

    Examples
    --------
    The optimizer minimizes ``w**2``, whose gradient is ``2 w``, so each step with the learning rate
    0.25 halves ``w``: from 4 to 2, and then to 1. The averages are 2 and ``(2 + 1) / 2 = 1.5``:

    >>> import tinynet as keras
    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    >>> model.set_weights([[[4.0]]])
    >>> optimizer = keras.optimizers.SGD(0.25, use_ema=True, ema_momentum=0.5)
    >>> model.compile(optimizer, "mse")
    >>> swap = SwapEMAWeights()
    >>> show = keras.callbacks.LambdaCallback(
    ...     on_test_begin=lambda logs: print(model.get_weights()[0]),
    ...     on_epoch_end=lambda epoch, logs: print(model.get_weights()[0]),
    ... )
    >>> data = [[1.0]], [[0.0]]
    >>> _ = model.fit(*data, epochs=2, verbose=0, validation_data=data, callbacks=[swap, show])
    [[2.]]
    [[2.]]
    [[1.5]]
    [[1.]]
    """

    resumes = ("training_weights",)

    swap_on_epoch: bool = argument(False, checks.flag)
    #: Training weights, while the model has the averages.
    training_weights: Any = None

    def _before_training(self, *_: Any) -> None:
        """Check that the optimizer has moving averages."""
        optimizer = self.model.optimizer
        expected = "optimizer must be built and have use_ema=True to use SwapEMAWeights"
        received = f"use_ema={optimizer.use_ema}, built={optimizer.built}"
        checks.require(optimizer.use_ema and optimizer.built, expected, received)

    def _swap(self) -> None:
        """Replace the weights with their moving averages."""
        self._before_training()
        if self.training_weights is None:
            self.training_weights = self.model.get_weights()
            self.model.optimizer.finalize_variable_values(self.model.trainable_weights)

    def _swap_back(self) -> None:
        """Restore the training weights."""
        if self.training_weights is not None:
            self.model.set_weights(self.training_weights)
            self.training_weights = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Discard training weights of an earlier run."""
        self.training_weights = None

    on_train_end = on_train_begin  # `fit` replaces the weights with the averages at the end

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Restore the training weights."""
        self._swap_back()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Replace the weights with their moving averages if `swap_on_epoch` is True."""
        if self.swap_on_epoch:
            self._swap()

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Replace the weights with their moving averages."""
        self._swap()

    def on_test_end(self, logs: Logs | None = None) -> None:
        """Restore the training weights."""
        self._swap_back()

    on_predict_begin, on_predict_end = on_test_begin, on_test_end
