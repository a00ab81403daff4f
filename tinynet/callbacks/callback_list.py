"""Container that calls the callbacks of a run in order."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

from tinynet._core import checks
from tinynet.callbacks.callback import HOOKS, Callback, Logs
from tinynet.callbacks.history import History
from tinynet.callbacks.progbar_logger import ProgbarLogger

__all__ = ["as_callbacks", "CallbackList"]


class CallbackList:
    """Container for the callbacks of a run.

    The hooks that each callback defines are determined once, when the container is created. For use
    in custom training loops, every hook is also a method of the container, as in Keras.

    Parameters
    ----------
    callbacks : iterable of Callback, optional
        Callbacks in the order in which they are called.
    model : Model, optional
        Model that is trained or evaluated.
    params : dict, optional
        Argument of `Callback.set_params`.
    add_history, add_progbar : bool
        If True, add a `History`, which becomes ``model.history``, or a `ProgbarLogger`, unless
        `callbacks` already contains one.
    **more : object
        Additional entries of `params`.

    Examples
    --------
    >>> CallbackList([History()], None, {}).defines("on_epoch_end")
    True
    >>> loop = CallbackList(add_history=True, epochs=2)
    >>> loop.on_epoch_end(0, {"loss": 0.5})
    >>> loop.callbacks[0].history
    {'loss': [0.5]}
    """

    def __init__(
        self,
        callbacks: Iterable[Any] | None = None,
        model: Any = None,
        params: dict[str, Any] | None = None,
        add_history: bool = False,
        add_progbar: bool = False,
        **more: Any,
    ) -> None:
        self.callbacks = list(callbacks or [])
        for wanted, kind in ((add_history, History), (add_progbar, ProgbarLogger)):
            if wanted and not any(isinstance(c, kind) for c in self.callbacks):
                self.callbacks.append(kind())
                if kind is History and model is not None:
                    model.history = self.callbacks[-1]
        self.params = {**(params or {}), **more}
        self.terminates_on_nan = any(getattr(c, "terminates_on_nan", False) for c in self.callbacks)
        self._hooks: dict[str, list[Callable[..., None]]] = {hook: [] for hook in HOOKS}
        for callback in self.callbacks:
            callback.set_params(self.params)
            callback.set_model(model)
            for hook in filter(functools.partial(_defines, callback), HOOKS):
                self._hooks[hook].append(getattr(callback, hook))
        for callback in self.callbacks:
            if hasattr(callback, "after_epoch_end"):  # called after the hooks of all others
                callback.others = [other for other in self.callbacks if other is not callback]
                self._hooks["on_train_begin"].append(callback.after_train_begin)
                self._hooks["on_epoch_end"].append(callback.after_epoch_end)

    def defines(self, hook: str) -> bool:
        """Return whether any callback defines a hook.

        Parameters
        ----------
        hook : str
            Name of the hook.

        Returns
        -------
        bool
            True if at least one callback defines the hook.
        """
        return bool(self._hooks[hook])

    def check(self, names: Iterable[str]) -> None:
        """Raise the errors that callbacks can detect before training.

        Parameters
        ----------
        names : iterable of str
            Names of metrics in the logs of an epoch. Custom metrics and callbacks may add others.
        """
        known = set(names)
        metrics = getattr(self.callbacks[-1].model, "metrics", [])
        closed = all(type(metric).__module__.startswith("tinynet.") for metric in metrics)
        for callback in self.callbacks:
            if hasattr(callback, "_before_training"):
                callback._before_training(known, closed)
            known |= {*getattr(callback, "adds", ())}
            own = type(callback).__module__.startswith("tinynet.callbacks.")
            closed = closed and own and type(callback).__name__ != "LambdaCallback"

    def call(self, hook: str, *args: Any) -> None:
        """Call a hook of all callbacks that define it.

        Parameters
        ----------
        hook : str
            Name of the hook.
        *args : object
            Arguments of the hook.
        """
        for function in self._hooks[hook]:
            function(*args)

    def __getattr__(self, name: str) -> Any:
        hook = name.replace("on_batch", "on_train_batch")
        if hook not in HOOKS:
            raise AttributeError(f"CallbackList has no attribute {name!r}")
        numbered = "epoch" in hook or "batch" in hook

        def call(*args: Any, logs: Logs | None = None) -> None:
            number, given = args[:numbered], args[numbered:]
            self.call(hook, *number, (given[0] if given else logs) or {})

        return call


def _defines(callback: Any, hook: str) -> bool:
    """Return whether a callback defines a hook, or the alias that the hook calls."""
    idle = getattr(callback, "idle_hooks", ())
    return any(
        getattr(getattr(callback, name), "__func__", None) not in (getattr(Callback, name), *idle)
        for name in {hook, hook.replace("train_batch", "batch")}
        if hasattr(callback, name)
    )


def as_callbacks(callbacks: Any) -> list[Any]:
    """Validate the argument `callbacks`.

    Parameters
    ----------
    callbacks : None, Callback, list of Callback or CallbackList
        Argument to validate.

    Returns
    -------
    list of Callback
        Callbacks without `ProgbarLogger`, since `fit` and the other loops draw the bar themselves.

    Raises
    ------
    TypeError
        If an element is not a callback, i.e. does not have the method `set_model`.

    Examples
    --------
    >>> as_callbacks(None)
    []
    """
    if callbacks is None:
        return []
    if isinstance(callbacks, CallbackList):
        callbacks = callbacks.callbacks
    listed = list(callbacks) if isinstance(callbacks, list | tuple) else [callbacks]
    for callback in listed:
        known = not isinstance(callback, type) and hasattr(callback, "set_model")
        expected = "callbacks must be a list of callbacks.Callback objects"
        checks.require(known, expected, checks.shorten(callback), TypeError)
    return [callback for callback in listed if type(callback) is not ProgbarLogger]
