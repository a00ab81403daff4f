"""The built-in losses as functions, with all aliases."""

from __future__ import annotations

from tinynet.losses import focal_losses, hinge_losses, probabilistic_losses, regression_losses
from tinynet.losses.function_loss import LossFunction
from tinynet.losses.loss import _registry

# Not in `__all__`, because `metrics` re-exports `__all__`.
from tinynet.losses.regression_losses import cosine_similarity  # noqa: F401  # re-exported

__all__ = ["BCE", "bce", "binary_crossentropy", "binary_focal_crossentropy"]
__all__ += ["categorical_crossentropy", "categorical_focal_crossentropy", "categorical_hinge"]
__all__ += ["hinge", "huber", "kl_divergence", "KLD", "kld"]
__all__ += ["kullback_leibler_divergence", "log_cosh", "logcosh", "MAE", "mae", "MAPE", "mape"]
__all__ += ["mean_absolute_error", "mean_absolute_percentage_error", "mean_squared_error"]
__all__ += ["mean_squared_logarithmic_error", "MSE", "mse", "MSLE", "msle", "poisson"]
__all__ += ["sparse_categorical_crossentropy", "squared_hinge"]

binary_crossentropy = bce = BCE = LossFunction(probabilistic_losses.BinaryCrossentropy)
categorical_crossentropy = LossFunction(probabilistic_losses.CategoricalCrossentropy)
sparse_categorical_crossentropy = LossFunction(probabilistic_losses.SparseCategoricalCrossentropy)
binary_focal_crossentropy = LossFunction(focal_losses.BinaryFocalCrossentropy)
categorical_focal_crossentropy = LossFunction(focal_losses.CategoricalFocalCrossentropy)
mean_squared_error = mse = MSE = LossFunction(regression_losses.MeanSquaredError)
mean_absolute_error = mae = MAE = LossFunction(regression_losses.MeanAbsoluteError)
mean_absolute_percentage_error = LossFunction(regression_losses.MeanAbsolutePercentageError)
mape = MAPE = mean_absolute_percentage_error
mean_squared_logarithmic_error = LossFunction(regression_losses.MeanSquaredLogarithmicError)
msle = MSLE = mean_squared_logarithmic_error
log_cosh = logcosh = LossFunction(regression_losses.LogCosh)
huber = LossFunction(regression_losses.Huber)
poisson = LossFunction(regression_losses.Poisson)
kl_divergence = kld = KLD = LossFunction(regression_losses.KLDivergence)
kullback_leibler_divergence = kl_divergence
hinge = LossFunction(hinge_losses.Hinge)
squared_hinge = LossFunction(hinge_losses.SquaredHinge)
categorical_hinge = LossFunction(hinge_losses.CategoricalHinge)

_registry.names.update({n: f for n, f in vars().items() if isinstance(f, LossFunction)})
