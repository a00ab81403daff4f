"""Callbacks: code that is run at fixed points of the training loop."""

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
