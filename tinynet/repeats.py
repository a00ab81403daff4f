"""Repeated training with different random seeds, and statistics of the results.

A difference between two models is meaningful only if it is large compared to the standard deviation
over seeds. `repeat` runs sequentially or, if joblib is installed, in parallel on the processors of
a machine or the workers of a cluster.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from tinynet import random, visualize
from tinynet._core import checks, suggestions
from tinynet._core.text_tables import Table, Tables
from tinynet.program.variable import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Repeats", "repeat"]


def __dir__() -> list[str]:
    return __all__


class Repeats(Tables):
    """Results of runs that differ only in their random seed.

    Parameters
    ----------
    seeds : list of int
        Seed of each run.
    runs : list of dict
        Loss and metrics of each run, such as ``{"loss": 0.1, "accuracy": 0.97}``.

    Attributes
    ----------
    seeds, runs : list
        Values of the parameters.

    Examples
    --------
    >>> Repeats([0, 1, 2], [{"accuracy": 0.96}, {"accuracy": 0.97}, {"accuracy": 0.98}])
    3 runs
      metric    mean  std. dev.   min   max
      accuracy  0.97       0.01  0.96  0.98
    <BLANKLINE>
      seed  accuracy
      0         0.96
      1         0.97
      2         0.98
    """

    def __init__(self, seeds: list[int], runs: list[dict[str, float]]) -> None:
        received = f"{len(seeds)} seeds, {len(runs)} runs"
        expected = "seeds and runs must have the same length, with at least one run"
        checks.require(runs and len(seeds) == len(runs), expected, received)
        self.seeds, self.runs = seeds, runs

    def values(self, name: str) -> Array:
        """Return the values of a metric in all runs.

        Parameters
        ----------
        name : str
            Name of the metric, or ``"loss"``.

        Returns
        -------
        ndarray, shape (runs,)
            Values in the order of the seeds.

        Raises
        ------
        ValueError
            If the metric does not exist.
        """
        suggestions.known("metric", name, self.runs[0])
        return np.array([run[name] for run in self.runs])

    def mean(self, name: str) -> float:
        """Return the mean of a metric.

        Parameters
        ----------
        name : str
            Name of the metric, or ``"loss"``.

        Returns
        -------
        float
            Mean over all runs.
        """
        return float(self.values(name).mean())

    def std(self, name: str) -> float:
        """Return the standard deviation of a metric.

        Parameters
        ----------
        name : str
            Name of the metric, or ``"loss"``.

        Returns
        -------
        float
            Sample standard deviation over all runs; NaN for a single run.
        """
        values = self.values(name)
        return float(values.std(ddof=1)) if len(values) > 1 else float("nan")

    def tables(self) -> list[Table]:
        """Return a table of statistics, and a table of all runs."""
        rows = []
        for name in (names := list(self.runs[0])):
            values = self.values(name)
            rows.append([name, values.mean(), self.std(name), values.min(), values.max()])
        runs = [[str(s), *run.values()] for s, run in zip(self.seeds, self.runs, strict=True)]
        header = ["metric", "mean", "std. dev.", "min", "max"]
        title = f"{len(runs)} run{'s' if len(runs) > 1 else ''}"
        return [Table(title, header, rows), Table("", ["seed", *names], runs)]

    def plot(self, name: str | None = None, ax: Axes | None = None) -> Figure:
        """Plot the values of a metric, with mean and standard deviation.

        Parameters
        ----------
        name : str, optional
            Name of the metric, or ``"loss"``; by default, the last metric.
        ax : Axes, optional
            Axes to draw the plot in; by default, the Axes of a new figure.

        Returns
        -------
        Figure
            Figure that contains the plot.

        Raises
        ------
        ValueError
            If the metric does not exist.
        """
        name = list(self.runs[0])[-1] if name is None else name
        return visualize.plot_runs({name: self.values(name)}, ax=ax)


def repeat(
    build: Callable[[], Any],
    data: Any,
    seeds: int | Iterable[int] = 5,
    n_jobs: int | None = None,
    **options: Any,
) -> Repeats:
    """Train and evaluate a model with several random seeds.

    The seed determines initial weights, shuffling and dropout. The results of a seed do not depend
    on the number of parallel runs.

    Parameters
    ----------
    build : callable
        Function that returns a new, compiled model: ``build() -> model``.
    data : tuple
        ``(x_train, y_train), (x_test, y_test)``, as returned by ``load_data``.
    seeds : int or iterable of int
        Seeds, or an integer n for the seeds 0, ..., n - 1.
    n_jobs : int, optional
        Number of parallel runs, each in a separate process; -1 for the number of processors.
        Requires joblib. By default, the value of ``joblib.parallel_config``, or 1.
    **options : object
        Keyword arguments of `fit`, such as ``epochs=5``.

    Returns
    -------
    Repeats
        Loss and metrics on the test data of each run, which can be printed and plotted.

    Raises
    ------
    ImportError
        If `n_jobs` is greater than 1 and joblib is not installed.
    ValueError, TypeError
        If an argument is invalid.

    Examples
    --------
    >>> from tinynet import Sequential, layers
    >>> def build():
    ...     model = Sequential([layers.Input((1,)), layers.Dense(1)])
    ...     model.compile("sgd", "mse")
    ...     return model
    >>> line = [[0.0], [1.0]], [[0.0], [2.0]]
    >>> runs = repeat(build, (line, line), seeds=[3, 4], epochs=500)
    >>> runs.seeds, bool(runs.mean("loss") < 0.1)
    ([3, 4], True)
    """
    if isinstance(seeds, int | np.integer):
        seeds = range(checks.whole("seeds", seeds))
    listed = [checks.whole(f"seeds[{i}]", seed, 0) for i, seed in enumerate(seeds)]
    expected = "build must be a function that returns a compiled model"
    checks.require(callable(build), expected, checks.shorten(build), TypeError)
    expected = "data must be (x_train, y_train), (x_test, y_test)"
    fits = len(data) == 2 and all(len(part) == 2 for part in data)
    checks.require(fits, expected, checks.shorten(data))
    options = {"verbose": 0, **options}
    if importlib.util.find_spec("joblib") is None:
        expected = "n_jobs must be None or 1 unless joblib is installed; run pip install joblib"
        checks.require(n_jobs in (None, 1), expected, f"n_jobs={n_jobs}", ImportError)
        return Repeats(listed, [_run(build, data, seed, options) for seed in listed])
    import joblib

    jobs = (joblib.delayed(_run)(build, data, seed, options) for seed in listed)
    return Repeats(listed, joblib.Parallel(n_jobs=n_jobs)(jobs))


def _run(build: Callable[[], Any], data: Any, seed: int, options: dict[str, Any]) -> Any:
    """Train and evaluate a model with a seed, and restore the caller's random state."""
    (x, y), (x_test, y_test) = data
    after = random.draw_seed()
    random.set_seed(seed)
    try:
        model = build()
        model.fit(x, y, **options)
    finally:
        random.set_seed(after)
    return model.evaluate(x_test, y_test, verbose=0, return_dict=True)
