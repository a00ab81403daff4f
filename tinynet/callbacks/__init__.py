"""Callbacks: code that is run at fixed points of the training loop.

`base` defines the interface, `monitoring` has the callbacks that monitor a metric, `steering` those
that set the learning rate or stop training, `records` those that write metrics to files, and
`backup` the one that resumes after an interruption.
"""

from tinynet.callbacks import backup, base, monitoring, records, steering
from tinynet.callbacks.backup import *
from tinynet.callbacks.base import *
from tinynet.callbacks.monitoring import *
from tinynet.callbacks.records import *
from tinynet.callbacks.steering import *

__all__ = [n for m in (backup, base, monitoring, records, steering) for n in m.__all__]
