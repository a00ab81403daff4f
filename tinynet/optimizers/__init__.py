"""Optimizers: algorithms that update the weights from their gradients."""

from tinynet.optimizers import schedules as schedules
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
