"""Callbacks: code at fixed points of the training loop, yours and the usual ones.

`base` holds what a callback is, `monitoring` those that watch a figure, `steering` those that set
the learning rate or end training, `records` those that write metrics down, and `backup` the one
that goes on after an interruption.
"""

from tinynet.callbacks import backup, base, monitoring, records, steering
from tinynet.callbacks.backup import *
from tinynet.callbacks.base import *
from tinynet.callbacks.monitoring import *
from tinynet.callbacks.records import *
from tinynet.callbacks.steering import *

__all__: list[str] = []
__all__ += backup.__all__
__all__ += base.__all__
__all__ += monitoring.__all__
__all__ += records.__all__
__all__ += steering.__all__
