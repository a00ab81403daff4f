"""Callbacks: code that is run at fixed points of the training loop."""

from tinynet.callbacks import (
    backup_and_restore,
    callback,
    callback_list,
    csv_logger,
    early_stopping,
    history,
    lambda_callback,
    learning_rate_scheduler,
    model_checkpoint,
    monitor_callback,
    progbar_logger,
    reduce_lr_on_plateau,
    swap_ema_weights,
    tensorboard,
    terminate_on_nan,
)
from tinynet.callbacks.backup_and_restore import *
from tinynet.callbacks.callback import *
from tinynet.callbacks.callback_list import *
from tinynet.callbacks.csv_logger import *
from tinynet.callbacks.early_stopping import *
from tinynet.callbacks.history import *
from tinynet.callbacks.lambda_callback import *
from tinynet.callbacks.learning_rate_scheduler import *
from tinynet.callbacks.model_checkpoint import *
from tinynet.callbacks.monitor_callback import *
from tinynet.callbacks.progbar_logger import *
from tinynet.callbacks.reduce_lr_on_plateau import *
from tinynet.callbacks.swap_ema_weights import *
from tinynet.callbacks.tensorboard import *
from tinynet.callbacks.terminate_on_nan import *

__all__ = [
    *backup_and_restore.__all__,
    *callback.__all__,
    *callback_list.__all__,
    *csv_logger.__all__,
    *early_stopping.__all__,
    *history.__all__,
    *lambda_callback.__all__,
    *learning_rate_scheduler.__all__,
    *model_checkpoint.__all__,
    *monitor_callback.__all__,
    *progbar_logger.__all__,
    *reduce_lr_on_plateau.__all__,
    *swap_ema_weights.__all__,
    *tensorboard.__all__,
    *terminate_on_nan.__all__,
]
