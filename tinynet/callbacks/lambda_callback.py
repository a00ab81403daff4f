"""Callback constructed from functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tinynet._core import suggestions
from tinynet.callbacks.callback import HOOKS, Callback
from tinynet.callbacks.learning_rate_scheduler import _function

__all__ = ["LambdaCallback"]


class LambdaCallback(Callback):
    """Callback constructed from functions.

    Parameters
    ----------
    on_epoch_begin, on_epoch_end, on_train_begin, on_train_end : callable, optional
        Hooks, called as ``f(epoch, logs)`` or ``f(logs)``.
    on_train_batch_begin, on_train_batch_end : callable, optional
        Hooks, called as ``f(batch, logs)``.
    **hooks : callable
        Any other hooks of `Callback`, by name.

    Raises
    ------
    ValueError
        If a hook with the given name does not exist.

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
        # HOOKS begins with these hooks, in the same order.
        usual = [on_train_begin, on_train_end, on_epoch_begin, on_epoch_end]
        usual += [on_train_batch_begin, on_train_batch_end]
        hooks.update({name: f for name, f in zip(HOOKS, usual, strict=False) if f is not None})
        known = dict.fromkeys((*HOOKS, "on_batch_begin", "on_batch_end"))
        for name, function in hooks.items():
            suggestions.known("hook", name, known)
            setattr(self, name, _function(name, function))
