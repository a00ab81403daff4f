"""Estimators for scikit-learn: `TinyNetClassifier` and `TinyNetRegressor`.

They are drop-in replacements for ``MLPClassifier`` and ``MLPRegressor``: arguments, attributes,
loss values, stopping criteria, warnings and errors are the same, except that ``solver="lbfgs"`` is
not supported. ``docs/sklearn.md`` lists the differences. `fit` uses a single thread, so that joblib
can fit many estimators in parallel.

This module requires scikit-learn, unlike the rest of tinynet.
"""

from __future__ import annotations

import copy
import inspect
import itertools
from collections.abc import Iterable
from dataclasses import KW_ONLY, dataclass, field, make_dataclass
from typing import Any

import numpy as np

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
except ImportError as error:
    raise ImportError(
        "scikit-learn is not installed; run pip install -e '.[sklearn]' in tinynet's source folder"
    ) from error
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.utils import check_random_state, column_or_1d, compute_class_weight, validation
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets, type_of_target, unique_labels

from tinynet import callbacks, losses, optimizers
from tinynet._core import checks, suggestions
from tinynet.layers import Dense, Dropout, Input
from tinynet.models.sequential import Sequential
from tinynet.program.variable import Array, Variable
from tinynet.regularizers import L2

__all__ = ["TinyNetClassifier", "TinyNetRegressor"]


def __dir__() -> list[str]:
    return __all__


# Activations with different names in scikit-learn and tinynet.
_ACTIVATIONS = {"identity": "linear", "logistic": "sigmoid", "exp": "exponential"}
# Loss for each output activation, and the factors of loss and gradient for k outputs. As in
# scikit-learn, the squared error is a mean over the outputs, but its gradient is the gradient of
# the sum over the outputs. Keras' Poisson loss is different, so a network trained with
# loss="poisson" is saved without a loss.
_LOSSES: dict[str, Any] = {
    "softmax": ("sparse_categorical_crossentropy", lambda k: (1.0, 1.0)),
    "logistic": ("binary_crossentropy", lambda k: (k, k)),
    "identity": ("mean_squared_error", lambda k: (0.5, 0.5 * k)),
    "exp": (None, lambda k: (1.0, 1.0)),
}
# Parameters whose change requires a new optimizer.
_SGD = ("learning_rate", "learning_rate_init", "momentum", "nesterovs_momentum")
_OPTIMIZER = ("solver", *_SGD, "beta_1", "beta_2", "epsilon")
# Learning rate below which "adaptive" stops training, as in scikit-learn.
_SMALLEST_RATE = 1e-6


class _Parameters(list[Array]):
    """List of the arrays of the network's weights; item assignment updates the network."""

    def __init__(self, variables: Iterable[Variable]) -> None:
        self._variables = list(variables)
        super().__init__(variable.array for variable in self._variables)

    def __setitem__(self, index: Any, value: Any) -> None:
        """Copy values of the same shape into the network."""
        variables: Any = self._variables[index]
        if not isinstance(index, slice):
            variables, value = [variables], [value]
        for variable, array in zip(variables, value, strict=True):
            variable.assign(array)


def _weights(attribute: str, what: str) -> Any:
    """Return a property for a list of weights, one for each dense layer."""

    def read(estimator: _TinyNet) -> list[Array]:
        return _Parameters(getattr(layer, attribute) for layer in estimator._dense_layers())

    def assign(estimator: _TinyNet, values: Any) -> None:
        read(estimator)[:] = values

    doc = f"{what} of each layer; assignment updates the network."
    return property(read, assign, doc=doc)


class _PoissonDeviance(losses.Loss):
    """Half of the Poisson deviance, summed over the outputs."""

    def call(self, y_true: Array, y_pred: Array) -> Array:
        """Compute ``y log(y / p) - y + p``; the first term is 0 if ``y = 0``."""
        ratio = np.where(y_true > 0, y_true / y_pred, 1.0)
        return (y_true * np.log(ratio) - y_true + y_pred).sum(axis=-1)

    def backward(self, d_values: Array, y_true: Array, y_pred: Array) -> Array:
        """Compute the gradient with respect to the predictions, ``1 - y / p``."""
        return (1 - y_true / y_pred) * d_values[..., None]


def _has_partial_fit(estimator: Any) -> bool:
    only = "partial_fit is only available for stochastic optimizers"
    checks.require(estimator.solver != "lbfgs", only, "solver='lbfgs'", AttributeError)
    return True


# Both estimators have the parameters and defaults of scikit-learn.
_THEIRS = inspect.signature(MLPClassifier).parameters
_FIELDS = [
    (name, Any, field(default=p.default, kw_only=p.kind is p.KEYWORD_ONLY))
    for name, p in _THEIRS.items()
]
_Settings: Any = make_dataclass("_Settings", _FIELDS, eq=False, repr=False)


@dataclass(eq=False, repr=False)
class _TinyNet(_Settings, BaseEstimator):
    """Base class with the parameters and training of both estimators."""

    _: KW_ONLY
    dropout: float = 0.0

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    coefs_ = _weights("kernel", "Weight matrix")
    intercepts_ = _weights("bias", "Bias vector")

    def _dense_layers(self) -> list[Any]:
        validation.check_is_fitted(self, "model_")
        return [layer for layer in self.model_.layers if isinstance(layer, Dense)]

    # ------------------------------------------------------------ checks

    def _check_parameters(self) -> None:
        """Validate the parameters, before the estimator is modified."""
        for units in self._sizes():
            checks.whole("hidden_layer_sizes", units)
        for name in ("learning_rate_init", "epsilon", "alpha", "power_t", "tol"):
            positive = name in ("learning_rate_init", "epsilon")
            checks.number(name, getattr(self, name), 0, open_low=positive)
        for name in ("momentum", "validation_fraction", "beta_1", "beta_2", "dropout"):
            value = checks.number(name, getattr(self, name), 0, 1)
            fits = value < 1 or name == "momentum"
            checks.require(fits, f"{name} must be less than 1", f"{name}={value}")
        for name in ("shuffle", "warm_start", "nesterovs_momentum", "early_stopping"):
            checks.flag(name, getattr(self, name))
        if not isinstance(self.verbose, bool):
            checks.whole("verbose", self.verbose, 0)
        checks.choice("learning_rate", self.learning_rate, ("constant", "invscaling", "adaptive"))
        words = {"max_iter": None, "n_iter_no_change": np.inf, "batch_size": "auto"}
        for name, word in words.items():
            if (value := getattr(self, name)) != word:
                checks.whole(name, value)
        known = "'adam', 'sgd' or the name of another optimizer of tinynet"
        expected = f"solver must be {known}; 'lbfgs' is not supported"
        checks.require(self.solver != "lbfgs", expected, "solver='lbfgs'")
        default = _THEIRS["max_fun"].default
        expected = f"max_fun must be {default}, its default; it applies to solver='lbfgs', which"
        received = f"max_fun={checks.shorten(self.max_fun)}"
        checks.require(self.max_fun == default, f"{expected} is not supported", received)

    def _sizes(self) -> list[Any]:
        sizes = self.hidden_layer_sizes
        return list(sizes) if np.ndim(sizes) else [sizes]

    def _current_structure(self) -> dict[str, Any]:
        names = ("activation", "dropout", "loss")
        return {"hidden_layer_sizes": self._sizes(), **{n: getattr(self, n) for n in names}}

    def _strata(self, targets: Array) -> Array | None:
        """Return the class labels for a stratified validation split, or None."""
        return None

    def _class_weights(self, targets: Array) -> Array | None:
        """Return the class weight of each sample, or None."""
        return None

    def _labels(self, outputs: Array) -> Array:
        """Convert outputs to the format of the targets, for the validation score."""
        return outputs

    # ------------------------------------------------------------ network

    def _initialize(self, X: Any, targets: Array) -> None:
        """Build a network with the same initial weights as scikit-learn for the same seed."""
        random = check_random_state(self.random_state)
        self.n_outputs_, self.out_activation_ = self._head(targets)
        units = [X.shape[1], *self._sizes(), self.n_outputs_]
        initial: list[Array] = []
        for fan_in, fan_out in itertools.pairwise(units):
            bound = np.sqrt((2 if self.activation == "logistic" else 6) / (fan_in + fan_out))
            initial += (random.uniform(-bound, bound, s) for s in ((fan_in, fan_out), fan_out))
        self._split_state = copy.deepcopy(random)
        seeds = random.randint(np.iinfo(np.int32).max, size=len(units)).tolist()
        model = Sequential([Input((X.shape[1],), name="input")], name="net")
        model.dtype = dtype = X.dtype.name
        names = [*[self.activation] * (len(units) - 2), self.out_activation_]
        titles = [*(f"hidden_{i}" for i in range(1, len(units) - 1)), "output"]
        for size, title, name, seed in zip(units[1:], titles, names, seeds[1:], strict=True):
            kind = _ACTIVATIONS.get(name, name)
            model.add(Dense(size, kind, kernel_initializer="zeros", name=title, dtype=dtype))
            if self.dropout and title != "output":
                title = title.replace("hidden", "dropout")
                model.add(Dropout(self.dropout, None, seed, name=title, dtype=dtype))
        model._random = np.random.Generator(np.random.PCG64(seeds[0]))
        self.model_, self.n_layers_ = model, len(units)
        self.coefs_, self.intercepts_ = initial[::2], initial[1::2]
        self._structure = self._current_structure()
        self._compiled: Any = {}
        self.t_ = self.n_iter_ = 0
        self.loss_curve_: list[float] = []
        self.validation_scores_: list[float] | None = None

    def _compile(self, incremental: bool) -> None:
        """Compile the network if a parameter has changed since the last call."""
        settings = {name: getattr(self, name) for name in (*_OPTIMIZER, "alpha")}
        if settings != self._compiled:
            if any(settings[name] != self._compiled.get(name) for name in _OPTIMIZER):
                self._optimizer = self._new_optimizer()
            name, factors_of = _LOSSES[self.out_activation_]
            factors = factors_of(float(self.n_outputs_))
            loss: Any = losses.as_loss(name) if name else _PoissonDeviance()
            # The loss of a batch is a weighted mean, and the penalty is divided by the sum of the
            # sample weights. The regularizer belongs to the variables and not to the layers, so
            # that a saved network does not have one.
            loss.dtype, loss.reduction = self.model_.dtype, "mean_with_sample_weight"
            for layer in self._dense_layers():
                layer.kernel.regularizer = L2(self.alpha / 2) if self.alpha else None
            self.model_.compile(self._optimizer, name, loss_weights=factors[0])
            self.model_._objective.divides_penalties = True
            for output in self.model_._objective.outputs:
                output.loss, (output.weight, output.gradient_weight) = loss, factors
            self._compiled = settings
        elif self.solver == "sgd" and self.learning_rate != "constant" and not incremental:
            self._optimizer.learning_rate = float(self.learning_rate_init)

    def _new_optimizer(self) -> Any:
        rate = float(self.learning_rate_init)
        if self.solver == "adam":
            return optimizers.Adam(rate, self.beta_1, self.beta_2, self.epsilon)
        if self.solver == "sgd":
            return optimizers.SGD(rate, self.momentum, bool(self.nesterovs_momentum))
        optimizer = optimizers.get(self.solver)
        optimizer.learning_rate = rate
        return optimizer

    # ------------------------------------------------------------ training

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """Train the network.

        Parameters
        ----------
        X : array_like or sparse matrix, shape (N, D)
            Training samples.
        y : array_like, shape (N,) or (N, K)
            Class labels or a label indicator matrix for a classifier, real numbers for a regressor.
        sample_weight : array_like, shape (N,), optional
            Weight of each sample in the loss and in the validation score.

        Returns
        -------
        TinyNetClassifier or TinyNetRegressor
            The fitted estimator.

        Raises
        ------
        ValueError, TypeError
            If the data or a parameter is invalid, in which case a fitted estimator is unchanged; or
            if the loss diverges.

        Warns
        -----
        ConvergenceWarning
            If training has not converged after `max_iter` epochs.
        UserWarning
            If training is interrupted by Ctrl-C. The estimator keeps the current weights.
        """
        return self._fit(X, y, sample_weight, False)

    def _fit(self, X: Any, y: Any, sample_weight: Any, incremental: bool, **known: Any) -> Any:
        """Train until convergence or, if incremental, for one epoch."""
        before = self.__dict__.copy()
        try:
            train, held = self._prepare(X, y, sample_weight, incremental, **known)
        except BaseException:
            self.__dict__ = before
            raise
        inputs, targets, weights = train
        n = len(targets)
        size = min(200, n) if self.batch_size == "auto" else self.batch_size
        if size > n:
            reason = "batch_size is larger than the number of samples. It is going to be clipped"
            checks.warn(f"{reason}. Received: batch_size={self.batch_size}, {n} samples")
        self.n_iter_ = 0
        epochs = 1 if incremental else self.max_iter
        monitor = _Monitor(self, n, held)
        interrupted = False
        failure: Any = None
        try:
            options = {"shuffle": bool(self.shuffle), "sample_weight": weights}
            self.model_.fit(inputs, targets, min(size, n), epochs, 0, [monitor], **options)
        except (ValueError, TypeError):  # invalid arguments
            self.__dict__ = before
            raise
        except KeyboardInterrupt:
            interrupted = True
            checks.warn("Training interrupted by user.")
        except FloatingPointError as error:
            failure = error
            monitor.record(float("nan"))
        finite = all(np.isfinite(w).all() for w in self.model_.get_weights())
        if self._best_weights is not None:
            self.model_.set_weights(self._best_weights)
        elif failure or (self.early_stopping and not interrupted) or not finite:
            raise ValueError(
                "Solver produced non-finite parameter weights. The input data may contain large "
                f"values and need to be preprocessed. Received: loss={self.loss_}"
            ) from failure
        if not (monitor.converged or interrupted or incremental):
            why = f"Maximum iterations ({epochs}) reached and the optimization hasn't converged yet"
            if failure is not None:
                why = "The loss diverged; the weights with the best validation score are kept"
            message = f"Stochastic Optimizer: {why}. Received: max_iter={epochs}"
            checks.warn(message, ConvergenceWarning)
        return self

    def _prepare(
        self, X: Any, y: Any, sample_weight: Any, incremental: bool, **known: Any
    ) -> tuple[Any, Any]:
        """Validate the arguments and build the network; return training and validation data."""
        self._check_parameters()
        expected = "partial_fit does not support early_stopping=True"
        checks.require(not (incremental and self.early_stopping), expected, "early_stopping=True")
        first = not hasattr(self, "model_") or not (self.warm_start or incremental)
        X, targets = self._validate(X, y, first, incremental, **known)
        weights = self._class_weights(targets)
        if sample_weight is not None:
            checks.not_masked("sample_weight", sample_weight)
            given = validation._check_sample_weight(
                sample_weight, X, dtype=X.dtype, ensure_non_negative=True
            )
            weights = given if weights is None else weights * given
        total = 1 if weights is None else weights.sum()
        expected = "sample_weight, multiplied by class weights, must have a positive sum"
        checks.require(total > 0, expected, f"sum={total}")
        if first:
            self._initialize(X, targets)
        for name, value in self._current_structure().items():
            own = self._structure[name]
            expected = f"{name} must stay {own!r} while training continues; call fit with"
            fix = "warm_start=False to start again"
            checks.require(value == own, f"{expected} {fix}", f"{name}={value!r}")
        if first or self.early_stopping != (self.validation_scores_ is not None):
            self._no_improvement_count = 0
            self._best_weights: Any = None
            scores: Any = ([], -np.inf, None) if self.early_stopping else (None, None, np.inf)
            self.validation_scores_, self.best_validation_score_, self.best_loss_ = scores
        parts = [X, targets] if weights is None else [X, targets, weights]
        held = None
        if self.early_stopping:
            n, size = len(targets), self._held(len(targets))
            received = f"{n} samples, validation_fraction={self.validation_fraction}"
            fix = "Increase 'validation_fraction' or the size of your dataset"
            expected = f"The validation set is too small. {fix}"
            checks.require(n > size and self.validation_fraction, expected, received)
            state = copy.deepcopy(self._split_state)
            parts = train_test_split(
                *parts, test_size=size, random_state=state, stratify=self._strata(targets)
            )
            parts, held = parts[::2], parts[1::2]
            if size > np.ceil(self.validation_fraction * n):
                expected = "The validation score requires at least 2 samples, so 2 are held out"
                checks.warn(f"{expected}. {fix}. Received: {received}")
        self._compile(incremental)
        return (*parts, None)[:3], held and (*held, None)[:3]

    def _held(self, n: int) -> int:
        """Return the size of the validation set: at least 2, as R^2 of one sample is undefined."""
        return max(int(np.ceil(self.validation_fraction * n)), 2)

    def _predict(self, X: Any) -> Array:
        """Compute the outputs of the network."""
        validation.check_is_fitted(self, "model_")
        X = _validated(self, X, reset=False)
        return self.model_.predict(X, verbose=0)


class _Monitor(callbacks.Callback):
    """Callback for the learning curves and stopping criteria of scikit-learn."""

    def __init__(self, owner: Any, n: int, held: Any) -> None:
        super().__init__()
        self._owner, self._n, self._held, self.converged = owner, n, held, False

    def record(self, loss: float) -> None:
        """Record the loss of an epoch and, for early stopping, the validation score."""
        owner = self._owner
        owner.n_iter_ += 1
        owner.t_ += self._n
        owner.loss_ = loss
        owner.loss_curve_.append(loss)
        if owner.verbose:
            print(f"Iteration {owner.n_iter_}, loss = {loss:.8f}")
        if self._held is None:
            improved = loss <= owner.best_loss_ - owner.tol
            owner.best_loss_ = min(owner.best_loss_, loss)
        else:
            x, targets, weights = self._held
            outputs = self.model.predict(x, verbose=0)
            score = float("nan")
            if np.isfinite(loss) and np.isfinite(outputs).all():
                predicted = owner._labels(outputs)
                score = float(owner._metric(targets, predicted, sample_weight=weights))
            owner.validation_scores_.append(score)
            if owner.verbose:
                print(f"Validation score: {score:f}")
            improved = score >= owner.best_validation_score_ + owner.tol
            if score > owner.best_validation_score_:
                owner.best_validation_score_ = score
                owner._best_weights = self.model.get_weights()
        owner._no_improvement_count = 0 if improved else owner._no_improvement_count + 1

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Stop training or reduce the learning rate after too many epochs without improvement."""
        owner, optimizer = self._owner, self.model.optimizer
        self.record(float(logs["loss"]))
        schedule = owner.learning_rate if owner.solver == "sgd" else "constant"
        if schedule == "invscaling":
            optimizer.learning_rate = owner.learning_rate_init / (owner.t_ + 1) ** owner.power_t
        if owner._no_improvement_count <= owner.n_iter_no_change:
            return
        rate, action = float(optimizer.learning_rate), "Stopping."
        what = "Training loss" if self._held is None else "Validation score"
        if schedule == "adaptive":
            action = "Learning rate too small. Stopping."
        if schedule == "adaptive" and rate > _SMALLEST_RATE:
            optimizer.learning_rate, owner._no_improvement_count = rate / 5, 0
            action = f"Setting learning rate to {rate / 5:f}"
        else:
            self.converged = self.model.stop_training = True
        what += f" did not improve more than tol={owner.tol:f} for {owner.n_iter_no_change}"
        if owner.verbose:
            print(f"{what} consecutive epochs. {action}")


@dataclass(eq=False, repr=False)
class TinyNetClassifier(ClassifierMixin, _TinyNet):
    """Multi-layer perceptron classifier, a replacement for scikit-learn's ``MLPClassifier``.

    The computation is in float32 if the inputs are float32, which is faster, and in float64
    otherwise. Sparse matrices are not converted to dense arrays.

    Parameters
    ----------
    hidden_layer_sizes : int or sequence of int
        Number of units of each hidden layer.
    activation : str
        Activation of the hidden layers: ``"identity"``, ``"logistic"``, ``"tanh"``, ``"relu"``,
        or another name in `tinynet.activations`.
    solver : str
        Optimizer: ``"adam"``, ``"sgd"``, or another name in `tinynet.optimizers`.
        ``"lbfgs"`` is not supported.
    alpha : float
        Strength of the L2 regularization, divided by the number of samples in a batch.
    batch_size : int or "auto"
        Number of samples in a batch; ``"auto"`` is 200, or all samples if there are fewer.
    learning_rate : {"constant", "invscaling", "adaptive"}
        Learning rate schedule of ``"sgd"``: constant; ``learning_rate_init / (t_ + 1)**power_t``;
        or divided by 5 after each `n_iter_no_change` epochs without improvement.
    learning_rate_init : float
        Initial learning rate.
    power_t : float
        Exponent of ``"invscaling"``.
    max_iter : int
        Maximum number of epochs.
    shuffle : bool
        If True, shuffle the samples in each epoch.
    random_state : int, RandomState or None
        Random state of initial weights, validation split, shuffling and dropout. For the same seed,
        initial weights and split are the same as in scikit-learn.
    tol : float
        Minimum improvement of the loss or the validation score.
    verbose : bool or int
        If True, print the loss and validation score of each epoch.
    warm_start : bool
        If True, `fit` continues from the weights of the previous call.
    momentum : float
        Momentum of ``"sgd"``.
    nesterovs_momentum : bool
        If True, use Nesterov's momentum.
    early_stopping : bool
        If True, hold out a fraction of the samples for validation, stop when the validation score
        does not improve, and restore the weights with the best score.
    validation_fraction : float
        Fraction of the samples to hold out.
    beta_1, beta_2, epsilon : float
        Decay rates of the moment estimates and constant for numerical stability of ``"adam"``.
    n_iter_no_change : int or inf
        Maximum number of epochs without an improvement of at least `tol`.
    max_fun : int
        Parameter of ``solver="lbfgs"``, which is not supported; must have its default value.
    dropout : float
        Dropout rate of the hidden layers: fraction of units to drop in training.
    class_weight : dict, "balanced" or None
        Weight of each class in the loss, multiplied by the sample weights. ``"balanced"`` weights
        are inversely proportional to class frequencies. Multilabel targets are not supported.

    Attributes
    ----------
    classes_ : ndarray, shape (C,)
        Class labels.
    coefs_, intercepts_ : list of ndarray
        Weight matrix, shape (D, U), and bias vector of each layer. Assignment updates the network.
    loss_, loss_curve_ : float, list of float
        Mean loss of the last epoch, and of each epoch.
    best_loss_ : float or None
        Smallest loss; None with early stopping.
    validation_scores_, best_validation_score_ : list of float, float
        Score on the validation set in each epoch, and best score; None without early stopping.
    n_iter_, t_ : int
        Number of epochs of the last call, and number of training samples processed in all calls.
    n_layers_, n_outputs_, out_activation_ : int, int, str
        Number of layers including the input, number of outputs, and output activation.
    n_features_in_ : int
        Number of input features.
    feature_names_in_ : ndarray of str
        Feature names of the inputs, if all are strings.
    model_ : Sequential
        Underlying network, which can be saved, plotted or exported.

    Examples
    --------
    >>> X, y = [[0.0], [0.1], [0.9], [1.0]], ["low", "low", "high", "high"]
    >>> net = TinyNetClassifier((8,), learning_rate_init=0.1, random_state=0).fit(X, y)
    >>> net.predict([[0.2], [0.8]]).tolist()
    ['low', 'high']
    """

    _: KW_ONLY
    class_weight: Any = None

    loss = "log_loss"
    _metric = staticmethod(accuracy_score)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    @available_if(_has_partial_fit)
    def partial_fit(
        self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None
    ) -> TinyNetClassifier:
        """Train for one epoch on the given samples.

        Parameters
        ----------
        X : array_like or sparse matrix, shape (N, D)
            Training samples.
        y : array_like, shape (N,) or (N, C)
            Class labels, or a label indicator matrix.
        sample_weight : array_like, shape (N,), optional
            Weight of each sample.
        classes : array_like, shape (C,), optional
            Class labels across all calls to `partial_fit`; required in the first call.

        Returns
        -------
        TinyNetClassifier
            The fitted estimator.

        Raises
        ------
        ValueError, TypeError
            If the data or a parameter is invalid; the estimator is then unchanged.
        """
        known = getattr(self, "classes_", None)
        expected = "classes must be passed on the first call to partial_fit"
        checks.require(classes is not None or known is not None, expected, "classes=None")
        reason = "since the proportions of the classes in later calls are unknown"
        expected = f"class_weight must be a dict or None for partial_fit, {reason}"
        checks.require(self.class_weight != "balanced", expected, "class_weight='balanced'")
        if classes is not None and known is not None:
            was = "classes is not the same as on last call to partial_fit, was: "
            fits = np.array_equal(known, unique_labels(classes))
            was += checks.shorten(known.tolist())
            checks.require(fits, was, f"classes={checks.shorten(classes)}")
        return self._fit(X, y, sample_weight, True, classes=classes)

    def predict(self, X: Any) -> Array:
        """Predict class labels.

        Parameters
        ----------
        X : array_like or sparse matrix, shape (N, D)
            Inputs.

        Returns
        -------
        ndarray, shape (N,) or (N, C)
            Most probable classes, or a label indicator matrix.
        """
        labels = self._labels(self._predict(X))
        return labels if self._multilabel else self.classes_[labels]

    def predict_proba(self, X: Any) -> Array:
        """Predict class probabilities.

        Parameters
        ----------
        X : array_like or sparse matrix, shape (N, D)
            Inputs.

        Returns
        -------
        ndarray, shape (N, C)
            Probabilities, in the order of `classes_`. With multilabel targets,
            rows need not sum to 1.
        """
        outputs = self._predict(X)
        if self._multilabel or self.n_outputs_ > 1:
            return outputs
        return np.hstack([1 - outputs, outputs]) if len(self.classes_) > 1 else outputs**0

    def predict_log_proba(self, X: Any) -> Array:
        """Predict the logarithms of the class probabilities.

        Parameters
        ----------
        X : array_like or sparse matrix, shape (N, D)
            Inputs.

        Returns
        -------
        ndarray, shape (N, C)
            Log-probabilities, in the order of `classes_`.
        """
        with np.errstate(divide="ignore"):  # a probability may be 0
            return np.log(self.predict_proba(X))

    def _validate(
        self, X: Any, y: Any, first: bool, incremental: bool, classes: Any = None
    ) -> tuple[Any, Array]:
        X, y = _validated(self, X, y, reset=first)
        check_classification_targets(y)
        kind = type_of_target(y)
        if first:
            self._multilabel = kind == "multilabel-indicator"
        fits = self._multilabel == (kind == "multilabel-indicator")
        fits = fits and not kind.endswith("-multioutput")
        kinds = "a label indicator matrix" if self._multilabel else "one class label per sample"
        checks.require(fits, f"y must be {kinds}", f"a {kind} target of shape {y.shape}")
        labels = unique_labels(y)
        if first:
            self.classes_ = labels if classes is None else unique_labels(classes)
        if self._multilabel:
            y = y.toarray() if hasattr(y, "toarray") else y
            expected = f"y must be a matrix of 0 and 1 with {len(self.classes_)} columns"
            fits = y.shape[1] == len(self.classes_) and np.isin(y, (0, 1)).all()
            received = f"shape {y.shape}, values from {y.min()} to {y.max()}"
            checks.require(fits, expected, received)
            return X, y.astype(X.dtype)
        received = f"y={checks.shorten(y)}"
        expected = (
            "warm_start can only be used where `y` has the same classes as in the previous "
            f"call to fit. Previously got {self.classes_}, `y` has {labels}"
        )
        fits = first or incremental or set(labels) == set(self.classes_)
        checks.require(fits, expected, received)
        expected = f"`y` has classes not in `self.classes_`. `self.classes_` has {self.classes_}"
        fits = np.isin(labels, self.classes_).all()
        checks.require(fits, f"{expected}. 'y' has {labels}", received)
        return X, np.searchsorted(self.classes_, y)

    def _head(self, targets: Array) -> tuple[int, str]:
        count = len(self.classes_)
        if self._multilabel:
            return count, "logistic"
        return (count, "softmax") if count > 2 else (1, "logistic")

    def _strata(self, targets: Array) -> Array | None:
        if self._multilabel:
            return None
        if self.n_outputs_ == 1:
            return targets.astype(bool)[:, None]
        counts, held = np.bincount(targets), self._held(len(targets))
        fits = np.count_nonzero(counts) <= min(held, len(targets) - held)
        return targets if fits and 1 not in counts else None

    def _class_weights(self, targets: Array) -> Array | None:
        if self.class_weight is None:
            return None
        expected = "class_weight must be None for multilabel targets"
        received = f"class_weight={checks.shorten(self.class_weight)}"
        checks.require(not self._multilabel, expected, received)
        present, index = np.unique(targets, return_inverse=True)
        labels = {"classes": self.classes_[present], "y": self.classes_[targets]}
        return compute_class_weight(self.class_weight, **labels)[index]

    def _labels(self, outputs: Array) -> Array:
        """Convert outputs to class indices, or to a label indicator matrix."""
        if self.out_activation_ == "softmax":
            return outputs.argmax(axis=1)
        labels = (outputs > 0.5).astype(int)
        return labels if self._multilabel else np.minimum(labels[:, 0], len(self.classes_) - 1)


@dataclass(eq=False, repr=False)
class _WithLoss:
    """First argument of the regressor; a dataclass orders fields starting with the last base."""

    loss: str = "squared_error"


@dataclass(eq=False, repr=False)
class TinyNetRegressor(RegressorMixin, _TinyNet, _WithLoss):
    """Multi-layer perceptron regressor, a replacement for scikit-learn's ``MLPRegressor``.

    The computation is in float32 if the inputs are float32, which is faster, and in float64
    otherwise. Sparse matrices are not converted to dense arrays.

    Parameters
    ----------
    loss : {"squared_error", "poisson"}
        Loss function: half of the squared error; or half of the Poisson deviance, with an
        exponential output activation and non-negative targets.
    hidden_layer_sizes : int or sequence of int
        Number of units of each hidden layer.
    activation : str
        Activation of the hidden layers: ``"identity"``, ``"logistic"``, ``"tanh"``, ``"relu"``,
        or another name in `tinynet.activations`.
    solver : str
        Optimizer: ``"adam"``, ``"sgd"``, or another name in `tinynet.optimizers`.
        ``"lbfgs"`` is not supported.
    alpha : float
        Strength of the L2 regularization, divided by the number of samples in a batch.
    batch_size : int or "auto"
        Number of samples in a batch; ``"auto"`` is 200, or all samples if there are fewer.
    learning_rate : {"constant", "invscaling", "adaptive"}
        Learning rate schedule of ``"sgd"``: constant; ``learning_rate_init / (t_ + 1)**power_t``;
        or divided by 5 after each `n_iter_no_change` epochs without improvement.
    learning_rate_init : float
        Initial learning rate.
    power_t : float
        Exponent of ``"invscaling"``.
    max_iter : int
        Maximum number of epochs.
    shuffle : bool
        If True, shuffle the samples in each epoch.
    random_state : int, RandomState or None
        Random state of initial weights, validation split, shuffling and dropout. For the same seed,
        initial weights and split are the same as in scikit-learn.
    tol : float
        Minimum improvement of the loss or the validation score.
    verbose : bool or int
        If True, print the loss and validation score of each epoch.
    warm_start : bool
        If True, `fit` continues from the weights of the previous call.
    momentum : float
        Momentum of ``"sgd"``.
    nesterovs_momentum : bool
        If True, use Nesterov's momentum.
    early_stopping : bool
        If True, hold out a fraction of the samples for validation, stop when the validation score
        does not improve, and restore the weights with the best score.
    validation_fraction : float
        Fraction of the samples to hold out.
    beta_1, beta_2, epsilon : float
        Decay rates of the moment estimates and constant for numerical stability of ``"adam"``.
    n_iter_no_change : int or inf
        Maximum number of epochs without an improvement of at least `tol`.
    max_fun : int
        Parameter of ``solver="lbfgs"``, which is not supported; must have its default value.
    dropout : float
        Dropout rate of the hidden layers: fraction of units to drop in training.

    Attributes
    ----------
    coefs_, intercepts_ : list of ndarray
        Weight matrix, shape (D, U), and bias vector of each layer. Assignment updates the network.
    loss_, loss_curve_ : float, list of float
        Mean loss of the last epoch, and of each epoch.
    best_loss_ : float or None
        Smallest loss; None with early stopping.
    validation_scores_, best_validation_score_ : list of float, float
        Score on the validation set in each epoch, and best score; None without early stopping.
    n_iter_, t_ : int
        Number of epochs of the last call, and number of training samples processed in all calls.
    n_layers_, n_outputs_, out_activation_ : int, int, str
        Number of layers including the input, number of outputs, and output activation.
    n_features_in_ : int
        Number of input features.
    feature_names_in_ : ndarray of str
        Feature names of the inputs, if all are strings.
    model_ : Sequential
        Underlying network, which can be saved, plotted or exported.

    Examples
    --------
    >>> X = np.linspace(-1, 1, 50)[:, None]
    >>> net = TinyNetRegressor(learning_rate_init=0.01, max_iter=1000, random_state=0)
    >>> bool(net.fit(X, X[:, 0] ** 2).score(X, X[:, 0] ** 2) > 0.9)
    True
    """

    _metric = staticmethod(r2_score)

    @available_if(_has_partial_fit)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> TinyNetRegressor:
        """Train for one epoch on the given samples.

        Parameters
        ----------
        X : array_like or sparse matrix, shape (N, D)
            Training samples.
        y : array_like, shape (N,) or (N, K)
            Targets.
        sample_weight : array_like, shape (N,), optional
            Weight of each sample.

        Returns
        -------
        TinyNetRegressor
            The fitted estimator.

        Raises
        ------
        ValueError, TypeError
            If the data or a parameter is invalid; the estimator is then unchanged.
        """
        return self._fit(X, y, sample_weight, True)

    def predict(self, X: Any) -> Array:
        """Predict targets.

        Parameters
        ----------
        X : array_like or sparse matrix, shape (N, D)
            Inputs.

        Returns
        -------
        ndarray, shape (N,) or (N, K)
            Predicted values.
        """
        outputs = self._predict(X)
        return outputs[:, 0] if self.n_outputs_ == 1 else outputs

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _check_parameters(self) -> None:
        checks.choice("loss", self.loss, ("squared_error", "poisson"))
        super()._check_parameters()

    def _validate(self, X: Any, y: Any, first: bool, incremental: bool) -> tuple[Any, Array]:
        X, y = _validated(self, X, y, reset=first, y_numeric=True)
        targets = y.reshape(len(y), -1)
        count = targets.shape[1] if first else self.n_outputs_
        expected = f"y must have {count} columns, as in the first call to fit"
        checks.require(targets.shape[1] == count, expected, f"shape {y.shape}")
        expected = "y must be non-negative for loss='poisson'"
        least = targets.min() if self.loss == "poisson" else 0
        checks.require(not least < 0, expected, f"y with a minimum of {least}")
        return X, targets

    def _head(self, targets: Array) -> tuple[int, str]:
        return int(targets.shape[1]), "exp" if self.loss == "poisson" else "identity"


def _validated(estimator: Any, X: Any, *y: Any, **options: Any) -> Any:
    """Validate data as in scikit-learn, but also reject masked arrays."""
    for name, value in zip(("X", "y"), (X, *y), strict=False):
        checks.not_masked(name, value)
    if y:
        options |= {"multi_output": True, "dtype": (np.float64, np.float32)}
    data = validation.validate_data(estimator, X, *y, accept_sparse="csr", **options)
    if y and data[1].ndim == 2 and data[1].shape[1] == 1:
        return data[0], column_or_1d(data[1], warn=True)
    return data


suggestions.suggest_keywords([TinyNetClassifier, TinyNetRegressor])
