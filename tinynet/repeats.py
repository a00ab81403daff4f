"""One accuracy is an anecdote: the same net from many seeds, with the spread that chance makes.

Two nets whose figures differ by less than their seeds' spread have not been told apart. `repeat`
trains a net from several seeds, one after the other or, through joblib where it is installed,
several at once: on a machine's cores, or on the workers of a cluster.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from tinynet import checks, random
from tinynet.tables import Table, Tables, number
from tinynet.variable import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Repeats", "repeat"]


class Repeats(Tables):
    """The figures of runs that differ in nothing but their seed.

    Parameters
    ----------
    seeds : list of int
        The seed of each run.
    runs : list of dict
        The figures of each run by name, such as ``{"loss": 0.1, "accuracy": 0.97}``.

    Attributes
    ----------
    seeds, runs : list
        What was passed.

    Examples
    --------
    >>> Repeats([0, 1, 2], [{"accuracy": 0.96}, {"accuracy": 0.97}, {"accuracy": 0.98}])
    3 runs
      figure    mean  std. dev.  smallest  largest
      accuracy  0.97       0.01      0.96     0.98
    <BLANKLINE>
      seed  accuracy
      0         0.96
      1         0.97
      2         0.98
    """

    def __init__(self, seeds: list[int], runs: list[dict[str, float]]) -> None:
        if not runs or len(seeds) != len(runs):
            expected = "There must be at least one run, and as many as seeds"
            raise ValueError(f"{expected}. Received: {len(seeds)} seeds, {len(runs)} runs")
        self.seeds, self.runs = seeds, runs

    def values(self, name: str) -> Array:
        """Return one figure of all runs.

        Parameters
        ----------
        name : str
            Its name.

        Returns
        -------
        ndarray, shape (runs,)
            Its values, in the order of the seeds.

        Raises
        ------
        ValueError
            If there is no such figure.
        """
        checks.known("figure", name, self.runs[0])
        return np.array([run[name] for run in self.runs])

    def mean(self, name: str) -> float:
        """Return a figure's mean.

        Parameters
        ----------
        name : str
            Its name.

        Returns
        -------
        float
            The mean over all runs.
        """
        return float(self.values(name).mean())

    def std(self, name: str) -> float:
        """Return a figure's spread from seed to seed.

        Parameters
        ----------
        name : str
            Its name.

        Returns
        -------
        float
            The standard deviation, estimated from the runs; not a number if there is but one.
        """
        values = self.values(name)
        return float(values.std(ddof=1)) if len(values) > 1 else float("nan")

    def tables(self) -> list[Table]:
        """Return mean and spread of each figure, then the runs.

        Returns
        -------
        list of Table
            The two tables.
        """
        names = list(self.runs[0])
        figures = [
            (self.mean(n), self.std(n), self.values(n).min(), self.values(n).max()) for n in names
        ]
        header = ["figure", "mean", "std. dev.", "smallest", "largest"]
        rows = [[n, *map(number, row)] for n, row in zip(names, figures, strict=True)]
        runs = [
            [str(seed), *(number(run[name]) for name in names)]
            for seed, run in zip(self.seeds, self.runs, strict=True)
        ]
        title = f"{len(runs)} run{'s' if len(runs) > 1 else ''}"
        return [Table(title, header, rows), Table("", ["seed", *names], runs)]

    def plot(self, name: str | None = None, ax: Axes | None = None) -> Figure:
        """Draw a figure of all runs, and their mean with one standard deviation on both sides.

        Parameters
        ----------
        name : str, optional
            The figure; by default the last, which is the last metric.
        ax : Axes, optional
            Where to draw; by default on a new figure.

        Returns
        -------
        Figure
            The figure drawn in.

        Raises
        ------
        ValueError
            If there is no such figure.
        """
        from tinynet import visualize

        name = list(self.runs[0])[-1] if name is None else name
        return visualize.plot_runs({name: self.values(name)}, ax=ax)


def repeat(
    build: Callable[[], Any],
    data: Any,
    seeds: int | Iterable[int] = 5,
    n_jobs: int | None = None,
    **options: Any,
) -> Repeats:
    """Train a net from several seeds, and gather what it comes to each time.

    A seed decides the first weights, the orders and dropout. The same seed gives the same
    figures, wherever and however many at once they are computed.

    Parameters
    ----------
    build : callable
        Makes a new, compiled model: ``build() -> model``.
    data : tuple
        ``(x_train, y_train), (x_test, y_test)``, as ``load_data`` returns it.
    seeds : int or iterable of int
        The seeds, or how many: 0, 1, 2, ...
    n_jobs : int, optional
        How many runs at a time, each in a process of its own; -1 for as many as there are
        processors. Needs joblib. By default what ``joblib.parallel_config`` says, else one.
    **options : object
        For `fit`, such as ``epochs=5``.

    Returns
    -------
    Repeats
        What `evaluate` gives on the test data after each run, to be printed and drawn.

    Raises
    ------
    ImportError
        If `n_jobs` asks for more than one, and joblib is not installed.
    ValueError, TypeError
        If an argument can't be what was meant.

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
    listed = [checks.whole("a seed", seed, 0) for seed in seeds]
    if not callable(build):
        raise TypeError(
            f"build must be a function that makes a model. Received: {checks.shorten(build)}"
        )
    if len(data) != 2 or any(len(part) != 2 for part in data):
        raise ValueError(
            f"data must be (x_train, y_train), (x_test, y_test). Received: {checks.shorten(data)}"
        )
    options = {"verbose": 0, **options}
    if importlib.util.find_spec("joblib") is None:
        if n_jobs not in (None, 1):
            raise ImportError(
                f"Several runs at a time need the package joblib. Received: n_jobs={n_jobs}"
            )
        return Repeats(listed, [_run(build, data, seed, options) for seed in listed])
    import joblib

    jobs = (joblib.delayed(_run)(build, data, seed, options) for seed in listed)
    return Repeats(listed, joblib.Parallel(n_jobs=n_jobs)(jobs))


def _run(build: Callable[[], Any], data: Any, seed: int, options: dict[str, Any]) -> Any:
    """Train and evaluate once; the caller's stream of seeds goes on from where it was."""
    (x, y), (x_test, y_test) = data
    after = random.draw_seed()
    random.set_seed(seed)
    try:
        model = build()
        model.fit(x, y, **options)
    finally:
        random.set_seed(after)
    return model.evaluate(x_test, y_test, verbose=0, return_dict=True)
