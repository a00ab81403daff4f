"""Callbacks: code at fixed points of the training loop, yours and the usual ones.

`base` holds what a callback is, `monitoring` those that watch a figure, `steering` those that set
the learning rate or end training, `records` those that write metrics down, and `backup` the one
that goes on after an interruption.
"""

from tinynet.callbacks.backup import BackupAndRestore
from tinynet.callbacks.base import (
    HOOKS,
    Callback,
    CallbackList,
    History,
    Logs,
    ProgbarLogger,
    as_callbacks,
)
from tinynet.callbacks.monitoring import EarlyStopping, ModelCheckpoint, Monitor, ReduceLROnPlateau
from tinynet.callbacks.records import CSVLogger, TensorBoard
from tinynet.callbacks.steering import (
    LambdaCallback,
    LearningRateScheduler,
    SwapEMAWeights,
    TerminateOnNaN,
)

__all__ = [
    "HOOKS",
    "BackupAndRestore",
    "CSVLogger",
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "History",
    "LambdaCallback",
    "LearningRateScheduler",
    "Logs",
    "ModelCheckpoint",
    "Monitor",
    "ProgbarLogger",
    "ReduceLROnPlateau",
    "SwapEMAWeights",
    "TensorBoard",
    "TerminateOnNaN",
    "as_callbacks",
]
