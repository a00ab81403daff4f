"""Learning rate schedules: the learning rate as a function of the step."""

from tinynet.optimizers.schedules import learning_rate_schedule
from tinynet.optimizers.schedules.learning_rate_schedule import *

__all__ = [*learning_rate_schedule.__all__]
