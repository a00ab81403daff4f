"""Metrics: values computed over all batches of an epoch.

A metric adds up what it sees (`update_state`) until it is asked (`result`) or starts again
(`reset_state`). Most are a `Mean` of one value for each example; a custom function,
``fn(y_true, y_pred)``, is converted to one.
"""

from tinynet.losses import (
    BCE,
    KLD,
    MAE,
    MAPE,
    MSE,
    MSLE,
    bce,
    binary_crossentropy,
    binary_focal_crossentropy,
    categorical_crossentropy,
    categorical_focal_crossentropy,
    categorical_hinge,
    hinge,
    huber,
    kl_divergence,
    kld,
    kullback_leibler_divergence,
    log_cosh,
    logcosh,
    mae,
    mape,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    mean_squared_logarithmic_error,
    mse,
    msle,
    poisson,
    sparse_categorical_crossentropy,
    squared_hinge,
)
from tinynet.losses import (
    cosine_similarity as cosine_similarity,
)
from tinynet.metrics import (
    accuracy_metrics,
    confusion_metrics,
    f_score_metrics,
    hinge_metrics,
    lookup,
    loss_metric,
    metric,
    probabilistic_metrics,
    reduction_metrics,
    regression_metrics,
)
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

__all__ = ["BCE", "KLD", "MAE", "MSE", "bce", "kld", "mae", "mse"]
__all__ += ["MAPE", "MSLE", "hinge", "huber", "log_cosh", "logcosh", "mape", "msle", "poisson"]
__all__ += ["binary_crossentropy", "mean_absolute_error", "mean_squared_error", "squared_hinge"]
__all__ += ["binary_focal_crossentropy", "categorical_crossentropy", "kullback_leibler_divergence"]
__all__ += ["categorical_focal_crossentropy", "kl_divergence", "sparse_categorical_crossentropy"]
__all__ += ["categorical_hinge", "mean_absolute_percentage_error", "mean_squared_logarithmic_error"]
__all__ += [
    *accuracy_metrics.__all__,
    *confusion_metrics.__all__,
    *f_score_metrics.__all__,
    *hinge_metrics.__all__,
    *lookup.__all__,
    *loss_metric.__all__,
    *metric.__all__,
    *probabilistic_metrics.__all__,
    *reduction_metrics.__all__,
    *regression_metrics.__all__,
]
