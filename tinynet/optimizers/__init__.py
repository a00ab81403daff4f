"""Optimizers: how a gradient changes the weights."""

from tinynet.optimizers import (
    adadelta,
    adagrad,
    adam,
    adamax,
    adamw,
    ftrl,
    lion,
    lookup,
    nadam,
    optimizer,
    plan,
    rmsprop,
    sgd,
)
from tinynet.optimizers.adadelta import *
from tinynet.optimizers.adagrad import *
from tinynet.optimizers.adam import *
from tinynet.optimizers.adamax import *
from tinynet.optimizers.adamw import *
from tinynet.optimizers.ftrl import *
from tinynet.optimizers.lion import *
from tinynet.optimizers.lookup import *
from tinynet.optimizers.nadam import *
from tinynet.optimizers.optimizer import *
from tinynet.optimizers.plan import *
from tinynet.optimizers.rmsprop import *
from tinynet.optimizers.sgd import *

__all__ = ["schedules"]
__all__ += [
    *adadelta.__all__,
    *adagrad.__all__,
    *adam.__all__,
    *adamax.__all__,
    *adamw.__all__,
    *ftrl.__all__,
    *lion.__all__,
    *lookup.__all__,
    *nadam.__all__,
    *optimizer.__all__,
    *plan.__all__,
    *rmsprop.__all__,
    *sgd.__all__,
]
