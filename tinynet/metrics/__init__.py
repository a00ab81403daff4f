"""Metrics: values computed over all batches of an epoch.

`update_state` adds a batch to the state of a metric, `result` computes the metric from the state,
and `reset_state` resets the state. Most metrics are the `Mean` of one value for each example; a
custom function ``fn(y_true, y_pred)`` is wrapped in a `MeanMetricWrapper`.
"""

from tinynet.losses.loss_functions import *
from tinynet.metrics.accuracy_metrics import *
from tinynet.metrics.confusion_metrics import *
from tinynet.metrics.f_score_metrics import *
from tinynet.metrics.hinge_metrics import *
from tinynet.metrics.lookup import *
from tinynet.metrics.loss_metric import *
from tinynet.metrics.metric import *
from tinynet.metrics.probabilistic_metrics import *
from tinynet.metrics.reduction_metrics import *
from tinynet.metrics.regression_metrics import *
