"""The net as scikit-learn knows nets: for its grids, its pipelines, and whole clusters.

`TinyNetClassifier` and `TinyNetRegressor` take the place of ``MLPClassifier`` and
``MLPRegressor``: what has the same name means the same, down to the loss and to when training
ends. One fit computes on one thread, so many of them share a machine, or through joblib several
machines, without being in each other's way.

This module needs scikit-learn (``pip install -e '.[sklearn]'`` in tinynet's folder). The rest of
tinynet does not.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
except ImportError as error:
    raise ImportError(
        "tinynet.sklearn needs scikit-learn: pip install -e '.[sklearn]' in tinynet's folder"
    ) from error
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state, compute_class_weight
from sklearn.utils.multiclass import check_classification_targets, unique_labels
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from tinynet import checks, optimizers
from tinynet.callbacks import Callback
from tinynet.initializers import GlorotUniform
from tinynet.layers import Dense, Dropout, Input
from tinynet.regularizers import L2
from tinynet.sequential import Sequential
from tinynet.sparse import CompressedRows
from tinynet.variable import Array

__all__ = ["TinyNetClassifier", "TinyNetRegressor"]


def __dir__() -> list[str]:
    return __all__


# scikit-learn's names for what has another one here.
_ACTIVATIONS = {"identity": "linear", "logistic": "sigmoid"}
_RATES = ("constant", "invscaling", "adaptive")
# scikit-learn ends training where "adaptive" has made the learning rate so small.
_SMALLEST_RATE = 1e-6


class _TinyNet(BaseEstimator):
    """What both estimators share: a net that is made for its data, and when training ends."""

    _loss: str
    _loss_weight = 1.0
    _head: str

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: str = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: Any = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: Any = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: int = 10,
        dropout: float = 0.0,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.dropout = dropout

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    # ------------------------------------------------------------ the net

    def _begin(self, x: Any, outputs: int) -> None:
        """Make a new net, and forget all courses."""
        random = check_random_state(self.random_state)
        seeds = iter(random.randint(np.iinfo(np.int32).max, size=1000).tolist())
        sizes = self.hidden_layer_sizes
        sizes = list(sizes) if np.ndim(sizes) else [sizes]
        dtype = "float64" if x.dtype == np.float64 else "float32"
        activation = _ACTIVATIONS.get(self.activation, self.activation)
        alpha = checks.number("alpha", self.alpha, 0)

        def dense(units: int, activation: Any, name: str) -> Dense:
            return Dense(
                units,
                activation,
                kernel_initializer=GlorotUniform(next(seeds)),
                # There it costs alpha / 2 in the sum over a batch, here in the mean.
                kernel_regularizer=L2(alpha / 2 / self._batch(x)) if alpha else None,
                name=name,
                dtype=dtype,
            )

        row: list[Any] = [Input((x.shape[1],), name="input")]
        for i, units in enumerate(sizes, 1):
            row.append(dense(units, activation, f"hidden_{i}"))
            if self.dropout:
                row.append(
                    Dropout(self.dropout, None, next(seeds), name=f"dropout_{i}", dtype=dtype)
                )
        row.append(dense(outputs, self._head, "output"))
        model = Sequential(row, name="net")
        model.dtype = dtype
        model._random = np.random.Generator(np.random.PCG64(next(seeds)))
        model.compile(self._optimizer(), self._loss, loss_weights=self._loss_weight)
        self.model_ = model
        self._split_seed = next(seeds)
        self.t_ = 0
        self.loss_curve_: list[float] = []
        self.best_loss_: float | None = None
        self.validation_scores_: list[float] | None = [] if self.early_stopping else None
        self.best_validation_score_: float | None = -np.inf if self.early_stopping else None

    def _batch(self, x: Any) -> int:
        if self.batch_size == "auto":
            return min(200, int(x.shape[0]))
        return min(checks.whole("batch_size", self.batch_size), int(x.shape[0]))

    def _optimizer(self) -> Any:
        if self.solver == "lbfgs":
            raise ValueError(
                "solver must be 'adam', 'sgd' or another optimizer of tinynet, which all train "
                "batch by batch. Received: solver='lbfgs'"
            )
        rate = checks.number("learning_rate_init", self.learning_rate_init, 0, open_low=True)
        if self.solver == "adam":
            return optimizers.Adam(rate, self.beta_1, self.beta_2, self.epsilon)
        if self.solver == "sgd":
            return optimizers.SGD(rate, self.momentum, bool(self.nesterovs_momentum))
        optimizer = optimizers.get(self.solver)
        optimizer.learning_rate = rate
        return optimizer

    # ------------------------------------------------------------ training

    def _fit(self, X: Any, y: Any) -> Any:
        """Train until there is no more progress."""
        checks.choice("learning_rate", self.learning_rate, _RATES)
        checks.whole("n_iter_no_change", self.n_iter_no_change)
        epochs = checks.whole("max_iter", self.max_iter)
        again = self.warm_start and hasattr(self, "model_")
        X, targets = self._validate(X, y, not again, again)
        if not again:
            self._begin(X, self._outputs(targets))
        held = None
        if self.early_stopping:
            X, x_held, targets, y_held = train_test_split(
                X,
                targets,
                test_size=self.validation_fraction,
                random_state=self._split_seed,
                stratify=self._strata(targets),
            )
            held = _inputs(x_held, self.model_), y_held
        self.n_iter_ = 0
        course = _Course(self, X.shape[0], held)
        self._run(X, targets, epochs, course)
        if course.best_weights is not None:
            self.model_.set_weights(course.best_weights)
        if not course.converged:
            warnings.warn(
                f"Training ended after max_iter={epochs} epochs, and still made progress.",
                ConvergenceWarning,
                stacklevel=3,
            )
        return self

    def _partial_fit(self, X: Any, y: Any, first: bool) -> Any:
        """Train one epoch more."""
        if self.early_stopping:
            raise ValueError("partial_fit knows no early stopping. Received: early_stopping=True")
        X, targets = self._validate(X, y, first, True)
        if first:
            self._begin(X, self._outputs(targets))
            self.n_iter_ = 0
        self._run(X, targets, 1, _Course(self, X.shape[0], None))
        return self

    def _run(self, X: Any, targets: Array, epochs: int, course: _Course) -> None:
        self.model_.fit(
            _inputs(X, self.model_),
            targets,
            self._batch(X),
            epochs,
            2 if self.verbose is True else int(self.verbose),
            [course],
            shuffle=bool(self.shuffle),
            class_weight=self._class_weight(targets),
        )
        self.loss_ = self.loss_curve_[-1]

    def _predict(self, X: Any) -> Array:
        """Compute the net's outputs."""
        check_is_fitted(self, "model_")
        X = _validated(self, X, accept_sparse="csr", reset=False)
        return self.model_.predict(_inputs(X, self.model_), verbose=0)

    # ------------------------------------------------------------ to be defined by each

    def _validate(self, X: Any, y: Any, reset: bool, known: bool) -> tuple[Any, Array]:
        """Check the data, whose classes may be known; return what the net is trained on."""
        raise NotImplementedError

    def _outputs(self, targets: Array) -> int:
        """Return how many outputs the net has."""
        raise NotImplementedError

    def _strata(self, targets: Array) -> Array | None:
        """Return what a split must keep the shares of."""
        return None

    def _class_weight(self, targets: Array) -> dict[int, float] | None:
        """Return what each class counts, if anything is said of it."""
        return None

    def _score(self, outputs: Array, targets: Array) -> float:
        """Say how good outputs are; larger is better."""
        raise NotImplementedError


class _Course(Callback):
    """Keeps the curves of an estimator, and ends its training as scikit-learn does."""

    def __init__(self, owner: _TinyNet, n: int, held: tuple[Any, Array] | None) -> None:
        super().__init__()
        self._owner, self._n, self._held = owner, n, held
        self._without_progress = 0
        self.converged = False
        self.best_weights: list[Array] | None = None

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Note the figures; end where they don't get better, or go on with smaller steps."""
        owner = self._owner
        owner.n_iter_ += 1
        owner.t_ += self._n
        loss = float(logs["loss"])
        owner.loss_curve_.append(loss)
        if self._held is None or owner.validation_scores_ is None:
            best = np.inf if owner.best_loss_ is None else owner.best_loss_
            gain, owner.best_loss_ = best - loss, min(loss, best)
        else:
            outputs = self.model.predict(self._held[0], verbose=0)
            score = owner._score(outputs, self._held[1])
            owner.validation_scores_.append(score)
            best = max([-np.inf, *owner.validation_scores_[:-1]])
            gain = score - best
            if gain > 0:
                owner.best_validation_score_ = score
                self.best_weights = self.model.get_weights()
        self._without_progress = 0 if gain >= owner.tol else self._without_progress + 1
        optimizer, steps = self.model.optimizer, owner.solver == "sgd"
        if self._without_progress > owner.n_iter_no_change:
            rate = float(optimizer.learning_rate)
            if steps and owner.learning_rate == "adaptive" and rate > _SMALLEST_RATE:
                optimizer.learning_rate = rate / 5
                self._without_progress = 0
            else:
                self.converged = self.model.stop_training = True
        if steps and owner.learning_rate == "invscaling":
            optimizer.learning_rate = owner.learning_rate_init / (owner.t_ + 1) ** owner.power_t


def _validated(estimator: Any, X: Any, *y: Any, **options: Any) -> Any:
    """Validate data as scikit-learn does, which uses the masked entries of masked arrays."""
    for name, value in zip(("X", "y"), (X, *y), strict=False):
        checks.not_masked(name, value)
    return validate_data(estimator, X, *y, **options)


def _inputs(X: Any, model: Sequential) -> Any:
    """Bring checked inputs into the form that the net takes; zeros left out stay out."""
    if not hasattr(X, "indptr"):
        return X
    if not X.has_canonical_format:
        X = X.copy()
        X.sum_duplicates()
    return CompressedRows.from_csr(X.indptr, X.indices, X.data, X.shape, model.dtype)


class TinyNetClassifier(ClassifierMixin, _TinyNet):
    """A net for classes, in place of scikit-learn's ``MLPClassifier``.

    It computes in float64 if the inputs it is fitted to are float64, else in float32, which is
    faster. Sparse matrices stay sparse.

    Parameters
    ----------
    hidden_layer_sizes : int or sequence of int
        The numbers of units of the hidden layers.
    activation : str
        Of the hidden layers: ``"identity"``, ``"logistic"``, ``"tanh"``, ``"relu"``, or another
        name in `tinynet.activations`.
    solver : str
        ``"adam"``, ``"sgd"``, or another name in `tinynet.optimizers`.
    alpha : float
        What the squares of the weights cost in the loss.
    batch_size : int or "auto"
        How many examples make a step; ``"auto"`` is 200, or all where there are fewer.
    learning_rate : {"constant", "invscaling", "adaptive"}
        How the learning rate of ``"sgd"`` goes on: as it is; falling with a power of the number
        of examples seen; or a fifth whenever there is no more progress.
    learning_rate_init : float
        The learning rate, at first.
    power_t : float
        The power of ``"invscaling"``.
    max_iter : int
        The greatest number of epochs.
    shuffle : bool
        Whether each epoch goes through the examples in a new order.
    random_state : int, RandomState or None
        Where first weights, orders, dropout and the validation part come from.
    tol : float
        What counts as progress in loss or score.
    verbose : bool or {0, 1, 2}
        Whether each epoch is reported; 1 is a progress bar.
    warm_start : bool
        Whether `fit` goes on from where it was.
    momentum : float
        What ``"sgd"`` keeps of its last direction.
    nesterovs_momentum : bool
        Whether it looks ahead along it.
    early_stopping : bool
        Whether progress is that of the score on a part that is held out, rather than of the
        loss; the weights of the best score are kept.
    validation_fraction : float
        The share of that part.
    beta_1, beta_2, epsilon : float
        What ``"adam"`` keeps of its running means, and what it adds to their root.
    n_iter_no_change : int
        How many epochs without progress are borne.
    dropout : float
        The share of each hidden layer's outputs that is dropped in training.
    class_weight : dict, "balanced" or None
        What an example of each class counts in the loss; ``"balanced"`` makes up for classes
        with few examples.

    Attributes
    ----------
    classes_ : ndarray, shape (C,)
        The classes.
    model_ : Sequential
        The net, to be saved, drawn or taken elsewhere.
    n_features_in_ : int
        The number of inputs.
    feature_names_in_ : ndarray of str
        Their names, where the inputs had names.
    n_iter_, t_ : int
        How many epochs the last `fit` took, and how many examples have been seen in all.
    loss_, loss_curve_ : float, list of float
        The last epoch's mean loss, and all of them.
    best_loss_ : float or None
        The smallest of them; None with early stopping.
    validation_scores_, best_validation_score_ : list of float, float
        The scores on the part held out, and the best; None without early stopping.

    Examples
    --------
    >>> X, y = [[0.0], [0.1], [0.9], [1.0]], ["low", "low", "high", "high"]
    >>> net = TinyNetClassifier((8,), learning_rate_init=0.1, random_state=0).fit(X, y)
    >>> net.predict([[0.2], [0.8]]).tolist()
    ['low', 'high']
    """

    _loss = "sparse_categorical_crossentropy"
    _head = "softmax"

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: str = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: Any = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: Any = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: int = 10,
        dropout: float = 0.0,
        class_weight: Any = None,
    ) -> None:
        super().__init__(
            hidden_layer_sizes,
            activation,
            solver=solver,
            alpha=alpha,
            batch_size=batch_size,
            learning_rate=learning_rate,
            learning_rate_init=learning_rate_init,
            power_t=power_t,
            max_iter=max_iter,
            shuffle=shuffle,
            random_state=random_state,
            tol=tol,
            verbose=verbose,
            warm_start=warm_start,
            momentum=momentum,
            nesterovs_momentum=nesterovs_momentum,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            beta_1=beta_1,
            beta_2=beta_2,
            epsilon=epsilon,
            n_iter_no_change=n_iter_no_change,
            dropout=dropout,
        )
        self.class_weight = class_weight

    def fit(self, X: Any, y: Any) -> TinyNetClassifier:
        """Train.

        Parameters
        ----------
        X : array_like or sparse matrix, shape (N, D)
            The inputs.
        y : array_like, shape (N,)
            The classes.

        Returns
        -------
        TinyNetClassifier
            Itself.

        Raises
        ------
        ValueError, TypeError
            If the data or a parameter can't be what was meant.
        """
        self._fit(X, y)
        return self

    def partial_fit(self, X: Any, y: Any, classes: Any = None) -> TinyNetClassifier:
        """Train one epoch more, on these data.

        Parameters
        ----------
        X : array_like or sparse matrix, shape (N, D)
            The inputs.
        y : array_like, shape (N,)
            The classes.
        classes : array_like, shape (C,), optional
            All classes that there will ever be; needed the first time.

        Returns
        -------
        TinyNetClassifier
            Itself.

        Raises
        ------
        ValueError, TypeError
            If the data or a parameter can't be what was meant.
        """
        first = not hasattr(self, "model_")
        if first and classes is None:
            raise ValueError(
                "classes must be given on the first call to partial_fit. Received: classes=None"
            )
        if self.class_weight == "balanced":
            raise ValueError(
                "partial_fit can't know the balance of classes it has not seen: class_weight must "
                "be a dict. Received: class_weight='balanced'"
            )
        if first:
            self.classes_ = unique_labels(classes)
        elif classes is not None and not np.array_equal(self.classes_, unique_labels(classes)):
            raise ValueError(
                f"classes must be those of the first call, "
                f"{checks.shorten(self.classes_.tolist())}. "
                f"Received: classes={checks.shorten(classes)}"
            )
        self._partial_fit(X, y, first)
        return self

    def predict(self, X: Any) -> Array:
        """Predict classes.

        Parameters
        ----------
        X : array_like or sparse matrix, shape (N, D)
            The inputs.

        Returns
        -------
        ndarray, shape (N,)
            The most probable classes.
        """
        outputs = self._predict(X)
        classes: Array = self.classes_[outputs.argmax(axis=1)]
        return classes

    def predict_proba(self, X: Any) -> Array:
        """Predict how probable each class is.

        Parameters
        ----------
        X : array_like or sparse matrix, shape (N, D)
            The inputs.

        Returns
        -------
        ndarray, shape (N, C)
            The probabilities, in the order of `classes_`.
        """
        return self._predict(X)

    def predict_log_proba(self, X: Any) -> Array:
        """Predict the logarithms of the probabilities.

        Parameters
        ----------
        X : array_like or sparse matrix, shape (N, D)
            The inputs.

        Returns
        -------
        ndarray, shape (N, C)
            The logarithms.
        """
        with np.errstate(divide="ignore"):  # a probability may be 0
            logarithms: Array = np.log(self._predict(X))
        return logarithms

    def _validate(self, X: Any, y: Any, reset: bool, known: bool) -> tuple[Any, Array]:
        X, y = _validated(self, X, y, accept_sparse="csr", reset=reset)
        check_classification_targets(y)
        y = column_or_1d(y, warn=True)
        present = unique_labels(y)
        if not known:
            if len(present) < 2:
                raise ValueError(f"y must hold at least 2 classes. Received: {len(present)} class")
            self.classes_ = present
        elif not np.isin(present, self.classes_).all():
            raise ValueError(
                f"y must hold only the classes {checks.shorten(self.classes_.tolist())}. "
                f"Received: {checks.shorten(present.tolist())}"
            )
        return X, np.searchsorted(self.classes_, y)

    def _outputs(self, targets: Array) -> int:
        return len(self.classes_)

    def _strata(self, targets: Array) -> Array | None:
        return targets

    def _class_weight(self, targets: Array) -> dict[int, float] | None:
        if self.class_weight is None:
            return None
        present = np.unique(targets)
        weights = compute_class_weight(
            self.class_weight, classes=self.classes_[present], y=self.classes_[targets]
        )
        return dict(zip(present.tolist(), weights.tolist(), strict=True))

    def _score(self, outputs: Array, targets: Array) -> float:
        return float(accuracy_score(targets, outputs.argmax(axis=1)))


class TinyNetRegressor(RegressorMixin, _TinyNet):
    """A net for numbers, in place of scikit-learn's ``MLPRegressor``.

    It computes in float64 if the inputs it is fitted to are float64, else in float32, which is
    faster. Sparse matrices stay sparse.

    Parameters
    ----------
    hidden_layer_sizes : int or sequence of int
        The numbers of units of the hidden layers.
    activation : str
        Of the hidden layers: ``"identity"``, ``"logistic"``, ``"tanh"``, ``"relu"``, or another
        name in `tinynet.activations`.
    solver : str
        ``"adam"``, ``"sgd"``, or another name in `tinynet.optimizers`.
    alpha : float
        What the squares of the weights cost in the loss.
    batch_size : int or "auto"
        How many examples make a step; ``"auto"`` is 200, or all where there are fewer.
    learning_rate : {"constant", "invscaling", "adaptive"}
        How the learning rate of ``"sgd"`` goes on: as it is; falling with a power of the number
        of examples seen; or a fifth whenever there is no more progress.
    learning_rate_init : float
        The learning rate, at first.
    power_t : float
        The power of ``"invscaling"``.
    max_iter : int
        The greatest number of epochs.
    shuffle : bool
        Whether each epoch goes through the examples in a new order.
    random_state : int, RandomState or None
        Where first weights, orders, dropout and the validation part come from.
    tol : float
        What counts as progress in loss or score.
    verbose : bool or {0, 1, 2}
        Whether each epoch is reported; 1 is a progress bar.
    warm_start : bool
        Whether `fit` goes on from where it was.
    momentum : float
        What ``"sgd"`` keeps of its last direction.
    nesterovs_momentum : bool
        Whether it looks ahead along it.
    early_stopping : bool
        Whether progress is that of the score on a part that is held out, rather than of the
        loss; the weights of the best score are kept.
    validation_fraction : float
        The share of that part.
    beta_1, beta_2, epsilon : float
        What ``"adam"`` keeps of its running means, and what it adds to their root.
    n_iter_no_change : int
        How many epochs without progress are borne.
    dropout : float
        The share of each hidden layer's outputs that is dropped in training.

    Attributes
    ----------
    model_ : Sequential
        The net, to be saved, drawn or taken elsewhere.
    n_features_in_ : int
        The number of inputs.
    feature_names_in_ : ndarray of str
        Their names, where the inputs had names.
    n_iter_, t_ : int
        How many epochs the last `fit` took, and how many examples have been seen in all.
    loss_, loss_curve_ : float, list of float
        The last epoch's mean loss, and all of them.
    best_loss_ : float or None
        The smallest of them; None with early stopping.
    validation_scores_, best_validation_score_ : list of float, float
        The scores on the part held out, and the best; None without early stopping.

    Examples
    --------
    >>> X = np.linspace(-1, 1, 50)[:, None]
    >>> net = TinyNetRegressor(learning_rate_init=0.01, max_iter=1000, random_state=0)
    >>> bool(net.fit(X, X[:, 0] ** 2).score(X, X[:, 0] ** 2) > 0.9)
    True
    """

    _loss = "mean_squared_error"
    _loss_weight = 0.5  # scikit-learn halves the squares
    _head = "linear"

    def fit(self, X: Any, y: Any) -> TinyNetRegressor:
        """Train.

        Parameters
        ----------
        X : array_like or sparse matrix, shape (N, D)
            The inputs.
        y : array_like, shape (N,) or (N, K)
            The numbers.

        Returns
        -------
        TinyNetRegressor
            Itself.

        Raises
        ------
        ValueError, TypeError
            If the data or a parameter can't be what was meant.
        """
        self._fit(X, y)
        return self

    def partial_fit(self, X: Any, y: Any) -> TinyNetRegressor:
        """Train one epoch more, on these data.

        Parameters
        ----------
        X : array_like or sparse matrix, shape (N, D)
            The inputs.
        y : array_like, shape (N,) or (N, K)
            The numbers.

        Returns
        -------
        TinyNetRegressor
            Itself.

        Raises
        ------
        ValueError, TypeError
            If the data or a parameter can't be what was meant.
        """
        self._partial_fit(X, y, not hasattr(self, "model_"))
        return self

    def predict(self, X: Any) -> Array:
        """Predict numbers.

        Parameters
        ----------
        X : array_like or sparse matrix, shape (N, D)
            The inputs.

        Returns
        -------
        ndarray, shape (N,) or (N, K)
            The numbers.
        """
        outputs = self._predict(X)
        return outputs[:, 0] if self._flat else outputs

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _validate(self, X: Any, y: Any, reset: bool, known: bool) -> tuple[Any, Array]:
        X, y = _validated(
            self, X, y, accept_sparse="csr", multi_output=True, y_numeric=True, reset=reset
        )
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        self._flat = y.ndim == 1
        return X, y.reshape(len(y), -1)

    def _outputs(self, targets: Array) -> int:
        return int(targets.shape[1])

    def _score(self, outputs: Array, targets: Array) -> float:
        return float(r2_score(targets, outputs))
