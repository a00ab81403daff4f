"""Callbacks that control training without monitoring a metric."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinynet import checks
from tinynet.arguments import argument, declared, required
from tinynet.callbacks.base import HOOKS, Callback, Logs, RateSetter, level
from tinynet.progress import write

__all__ = ["LambdaCallback", "LearningRateScheduler", "SwapEMAWeights", "TerminateOnNaN"]


def _function(name: str, value: Any) -> Any:
    if not callable(value):
        raise TypeError(f"{name} must be a function. Received: {name}={checks.shorten(value)}")
    return value


@declared()
class LearningRateScheduler(RateSetter):
    """Set the learning rate before each epoch.

    The rate is added to the metrics of the epoch as ``"learning_rate"``.

    Parameters
    ----------
    schedule : callable
        ``schedule(epoch, learning_rate)``, or ``schedule(epoch)``, returns the learning rate, a
        float; epochs count from 0.
    verbose : int
        1 to print a message.

    Examples
    --------
    >>> import tinynet as keras
    >>> model = keras.Sequential([keras.layers.Dense(2, activation="softmax")])
    >>> model.compile("adam", "sparse_categorical_crossentropy")
    >>> halve = LearningRateScheduler(lambda epoch, rate: rate / 2 if epoch else 0.5)
    >>> history = model.fit([[0.0]], [0], epochs=3, verbose=0, callbacks=[halve])
    >>> history.history["learning_rate"]
    [0.5, 0.25, 0.125]
    """

    schedule: Any = required(_function)
    verbose: int = argument(0, level)

    def __complete(self) -> None:
        try:
            inspect.signature(self.schedule).bind(0, 0.0)
            self._takes_rate = True
        except (TypeError, ValueError) as error:
            # A ValueError: it is written in C, without a signature.
            self._takes_rate = isinstance(error, ValueError)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Set the learning rate."""
        optimizer = self.model.optimizer
        old = (float(optimizer.learning_rate),) if self._takes_rate else ()
        rate = self.schedule(epoch, *old)
        received = f"{checks.shorten(rate)} for epoch {epoch}"
        is_float = isinstance(rate, float | np.float32)
        checks.require(is_float, "schedule must return a float", received)
        optimizer.learning_rate = rate
        if self.verbose:
            write(f"\nEpoch {epoch + 1}: LearningRateScheduler setting learning rate to {rate}.\n")


@declared()
class SwapEMAWeights(Callback):
    """Evaluate with the moving average of the weights, and continue training without it.

    The optimizer must have ``use_ema=True``. Before an evaluation or a prediction, the model gets
    the averages of its weights; afterwards, the weights of training again.

    Parameters
    ----------
    swap_on_epoch : bool
        If True, the model has the averages also from the end of an epoch to the beginning of the
        next, so that a `ModelCheckpoint` after this callback saves them.

    Raises
    ------
    ValueError
        If the optimizer has no averages.

    Examples
    --------
    >>> import tinynet as keras
    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    >>> model.set_weights([[[4.0]]])
    >>> optimizer = keras.optimizers.SGD(0.25, use_ema=True, ema_momentum=0.5)
    >>> model.compile(optimizer, "mse")  # of w and 0, so each step halves w: 2, then 1
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
    #: The weights of training, while the model has the averages.
    training_weights: Any = None

    def _before_training(self, *_: Any) -> None:
        """Check that there are averages."""
        optimizer = self.model.optimizer
        expected = "SwapEMAWeights needs an optimizer with use_ema=True that has been trained with"
        received = f"use_ema={optimizer.use_ema}, built={optimizer.built}"
        checks.require(optimizer.use_ema and optimizer.built, expected, received)

    def _swap(self) -> None:
        """Replace the weights by their averages."""
        self._before_training()
        if self.training_weights is None:
            self.training_weights = self.model.get_weights()
            self.model.optimizer.finalize_variable_values(self.model.trainable_weights)

    def _swap_back(self) -> None:
        """Restore the weights of training."""
        if self.training_weights is not None:
            self.model.set_weights(self.training_weights)
            self.training_weights = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Start with the weights as they are."""
        self.training_weights = None

    on_train_end = on_train_begin  # `fit` has replaced the weights by the averages

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Restore the weights of training."""
        self._swap_back()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Replace the weights by their averages, with `swap_on_epoch`."""
        if self.swap_on_epoch:
            self._swap()

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Replace the weights by their averages."""
        self._swap()

    def on_test_end(self, logs: Logs | None = None) -> None:
        """Restore the weights of training."""
        self._swap_back()

    on_predict_begin, on_predict_end = on_test_begin, on_test_end


@declared()
class TerminateOnNaN(Callback):
    """Stop training when the loss is not a finite number.

    `fit` does not check the loss itself if this is among the callbacks.

    Parameters
    ----------
    raise_error : bool
        Whether to raise an error; otherwise, training stops after the batch.

    Examples
    --------
    >>> TerminateOnNaN(raise_error=True).on_batch_end(3, {"loss": math.nan})
    Traceback (most recent call last):
        ...
    RuntimeError: Loss must be a finite number. Received: nan at batch 3
    """

    raise_error: bool = argument(False, checks.flag)
    terminates_on_nan = True

    def on_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Check the loss of the epoch so far."""
        loss = (logs or {}).get("loss")
        if loss is None or math.isfinite(loss):
            return
        if self.raise_error:
            raise RuntimeError(f"Loss must be a finite number. Received: {loss} at batch {batch}")
        write(f"Batch {batch}: Invalid loss, terminating training\n")
        self.model.stop_training = True


class LambdaCallback(Callback):
    """Callback made of functions.

    Parameters
    ----------
    on_epoch_begin, on_epoch_end, on_train_begin, on_train_end : callable, optional
        Called as the hooks are: ``f(epoch, logs)`` or ``f(logs)``.
    on_train_batch_begin, on_train_batch_end : callable, optional
        Called as ``f(batch, logs)``.
    **hooks : callable
        Any other hook of `Callback`.

    Raises
    ------
    ValueError
        If there is no such hook.

    Examples
    --------
    >>> import tinynet as keras
    >>> model = keras.Sequential([keras.layers.Dense(2, activation="softmax")])
    >>> model.compile("adam", "sparse_categorical_crossentropy")
    >>> count = LambdaCallback(on_epoch_begin=lambda epoch, logs: print(epoch))
    >>> _ = model.fit([[0.0]], [0], epochs=2, verbose=0, callbacks=[count])
    0
    1
    """

    def __init__(
        self,
        on_epoch_begin: Callable[..., Any] | None = None,
        on_epoch_end: Callable[..., Any] | None = None,
        on_train_begin: Callable[..., Any] | None = None,
        on_train_end: Callable[..., Any] | None = None,
        on_train_batch_begin: Callable[..., Any] | None = None,
        on_train_batch_end: Callable[..., Any] | None = None,
        **hooks: Callable[..., Any],
    ) -> None:
        super().__init__()
        # The first of HOOKS are these, in the same order.
        usual = [on_train_begin, on_train_end, on_epoch_begin, on_epoch_end]
        usual += [on_train_batch_begin, on_train_batch_end]
        hooks.update({name: f for name, f in zip(HOOKS, usual, strict=False) if f is not None})
        known = dict.fromkeys((*HOOKS, "on_batch_begin", "on_batch_end"))
        for name, function in hooks.items():
            checks.known("hook", name, known)
            setattr(self, name, _function(name, function))
