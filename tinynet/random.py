"""Random number generation, with the names and arguments of `keras.random`.

If no seed is given, models, initializers and random functions draw a seed from a global random
number generator, which `set_seed` seeds. Initially, it is seeded with entropy from the operating
system. NumPy's global random state is neither read nor modified.

The main thread seeds the generator of the process. Any other thread that calls `set_seed` has its
own generator from then on, so that experiments in several threads are deterministic.
"""

from __future__ import annotations

import contextlib
import copy
import operator
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tinynet import config
from tinynet._core import Configurable, checks
from tinynet._core.registry import unique_name
from tinynet.program import TABLE, Array, Operation, apply
from tinynet.program.tensor import to_array

_lock = threading.Lock()


class _Seeds:
    """Random number generator of seeds, and the generators that `_sequence` returned since."""

    def __init__(self, seed: int | None = None) -> None:
        self.generator = np.random.default_rng(seed)
        self.drawn = 0
        self.sequences: dict[int, SeedGenerator] = {}


class _OfThread(threading.local):
    """Generator of a thread that called `set_seed`, and the number of seeds that it has drawn."""

    seeds: _Seeds | None = None
    drawn = 0


_process = _Seeds()
_thread = _OfThread()


def _current() -> _Seeds:
    return _thread.seeds or _process


def set_seed(seed: int) -> None:
    """Set the global random seed; in a thread other than the main thread, of this thread only.

    Parameters
    ----------
    seed : int
        Non-negative integer. The same seed produces the same sequence of random numbers.

    Examples
    --------
    >>> set_seed(1)
    >>> first = draw_seed()
    >>> set_seed(1)
    >>> draw_seed() == first
    True
    """
    global _process
    if isinstance(seed, bool) or not hasattr(seed, "__index__"):
        raise TypeError(f"seed must be a non-negative integer. Received: seed={seed!r:.60}")
    if operator.index(seed) < 0:
        raise ValueError(f"seed must be a non-negative integer. Received: seed={seed!r:.60}")
    if threading.current_thread() is threading.main_thread():
        _process, _thread.seeds = _Seeds(seed), None
    else:
        _thread.seeds = _Seeds(seed)


def draw_seed() -> int:
    """Draw the next seed from the global random number generator.

    Returns
    -------
    int
        Seed, from 0 to 2**63 - 1.

    Examples
    --------
    >>> draw_seed() >= 0
    True
    """
    seeds = _current()
    with _lock:
        seeds.drawn += 1
        _thread.drawn += 1
        return int(seeds.generator.integers(2**63))


@contextlib.contextmanager
def _undone_on_error() -> Iterator[None]:
    """Restore the random state if an error is raised, unless another thread has drawn a seed."""
    seeds = _current()
    with _lock:
        state, others = copy.deepcopy(seeds.generator.bit_generator.state), _drawn_by_others(seeds)
    try:
        yield
    except BaseException:
        with _lock:
            if _drawn_by_others(seeds) == others:
                seeds.generator.bit_generator.state = state
        raise


def _drawn_by_others(seeds: _Seeds) -> int:
    """Return a number that changes whenever another thread draws a seed."""
    return seeds.drawn - _thread.drawn


def _renew() -> None:
    """Replace the lock in a forked child process, where the thread that held it does not exist."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)


def _bits(seed: int | None) -> np.random.PCG64:
    return np.random.PCG64(draw_seed() if seed is None else seed % 2**64)


class SeedGenerator(Configurable, np.random.Generator):
    """Random number generator that can be passed as the argument `seed`.

    Its state advances with every call. If it is an attribute of a layer, its state is saved and
    restored with the training state.

    Parameters
    ----------
    seed : int, optional
        Random seed. By default, it is drawn from the global random number generator.
    name : str, optional
        Name; by default ``"seed_generator"`` with a numeric suffix.

    Examples
    --------
    >>> generator = SeedGenerator(7)
    >>> a, b = normal((2,), seed=generator), normal((2,), seed=generator)
    >>> bool((a == b).any())
    False
    """

    _arguments = ("seed", "name")

    def __init__(self, seed: int | None = None, name: str | None = None) -> None:
        self.seed = checks.optional(checks.whole, "seed", seed, -(2**63), ValueError)
        self.name = name or unique_name("SeedGenerator")
        super().__init__(_bits(self.seed))

    def next(self, ordered: bool = True) -> Any:
        """Draw the next seed.

        Parameters
        ----------
        ordered : bool
            Ignored; for compatibility with Keras.

        Returns
        -------
        Tensor of int64, shape (2,)
            Seed.
        """
        return randint((2,), 0, 2**31, "int64", self)

    def __reduce__(self) -> Any:
        """Preserve the class and the state in copies."""
        return type(self), (0, self.name), (self.seed, self.bit_generator.state)

    def __setstate__(self, state: Any) -> None:
        self.seed, self.bit_generator.state = state


def _sequence(seed: int) -> SeedGenerator:
    """Return the generator for a seed: the same object on every call until `set_seed` is called."""
    sequences = _current().sequences
    with _lock:
        if seed not in sequences:
            sequences[seed] = SeedGenerator(seed)
    return sequences[seed]


# ------------------------------------------------------------ operations


class _Draw(Operation):
    """Operation that draws new random numbers whenever it is executed."""

    stateful = True

    def __init__(self, name: str, sample: Callable[..., Any]) -> None:
        def forward(shape: Any, dtype: str, seed: Any, **parameters: Any) -> Array:
            if not isinstance(seed, np.random.Generator):
                seed = np.random.Generator(_bits(seed))
            return np.asarray(sample(seed, shape, dtype, **parameters)).astype(dtype, copy=False)

        super().__init__(name, forward, inputs=0)

    def infer(self, arrays: list[Any], options: dict[str, Any]) -> Array:
        """Return an array with the shape and dtype of the result, without drawing."""
        return np.zeros(options["shape"], options["dtype"])

    def draw(self, shape: Any, dtype: Any, seed: Any, kinds: str = "f", **parameters: Any) -> Any:
        """Validate the common arguments, and draw random numbers."""
        sizes = [checks.whole("shape", n, 0, ValueError) for n in np.atleast_1d(shape).tolist()]
        dtype = checks.type_name(dtype, config.floatx())
        if np.dtype(dtype).kind not in kinds:
            needed = "a float type" if kinds == "f" else "an integer type"
            raise ValueError(f"dtype must be {needed}. Received: dtype={dtype}")
        if not (seed is None or isinstance(seed, np.random.Generator)):
            seed = checks.whole("seed", seed, -(2**63), ValueError)
        parameters = {"shape": tuple(sizes), "dtype": dtype, "seed": seed, **parameters}
        return apply(self, [], parameters)


def _precise(dtype: str) -> Any:
    """Return the dtype in which NumPy generates random floats for a requested dtype."""
    return np.float32 if dtype == "float32" else np.float64


def _truncated_normal(generator: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Draw from the standard normal distribution, redrawing values outside [-2, 2]."""
    values = generator.standard_normal(shape)
    while (outside := np.abs(values) > 2).any():
        values[outside] = generator.standard_normal(np.count_nonzero(outside))
    return values


_NORMAL = _Draw("normal", lambda g, shape, dtype: g.standard_normal(shape, _precise(dtype)))
_UNIFORM = _Draw("uniform", lambda g, shape, dtype: g.random(shape, _precise(dtype)))
_TRUNCATED = _Draw("truncated_normal", lambda g, shape, dtype: _truncated_normal(g, shape))
_GUMBEL = _Draw("gumbel", lambda g, shape, dtype: g.gumbel(size=shape))
_RANDINT = _Draw(
    "randint", lambda g, shape, dtype, minval, maxval: g.integers(minval, maxval, shape)
)
_GAMMA = _Draw("gamma", lambda g, shape, dtype, alpha: g.standard_gamma(alpha, shape))
_BETA = _Draw("beta", lambda g, shape, dtype, alpha, beta: g.beta(alpha, beta, shape))
_BINOMIAL = _Draw("binomial", lambda g, shape, dtype, n, p: g.binomial(n, p, shape))


def normal(
    shape: Any, mean: Any = 0.0, stddev: Any = 1.0, dtype: Any = None, seed: Any = None
) -> Any:
    """Draw from a normal distribution.

    Parameters
    ----------
    shape : tuple of int
        Shape of the result.
    mean, stddev : float or Tensor
        Mean and standard deviation. If they are tensors, the result is differentiable with respect
        to them.
    dtype : str, optional
        Float dtype of the result; by default `config.floatx()`.
    seed : int or SeedGenerator, optional
        An integer gives the same numbers on every call; a generator or None gives new numbers.

    Returns
    -------
    Tensor
        Random numbers.

    Examples
    --------
    >>> bool((normal((3,), seed=1) == normal((3,), seed=1)).all())
    True
    """
    return _NORMAL.draw(shape, dtype, seed) * stddev + mean


def truncated_normal(
    shape: Any, mean: Any = 0.0, stddev: Any = 1.0, dtype: Any = None, seed: Any = None
) -> Any:
    """Draw from a normal distribution truncated at two standard deviations from the mean.

    Parameters
    ----------
    shape : tuple of int
        Shape of the result.
    mean, stddev : float or Tensor
        Mean and standard deviation before truncation.
    dtype : str, optional
        Float dtype of the result; by default `config.floatx()`.
    seed : int or SeedGenerator, optional
        Random seed; see `normal`.

    Returns
    -------
    Tensor
        Random numbers.

    Examples
    --------
    >>> bool((abs(truncated_normal((1000,), stddev=0.5)) <= 1).all())
    True
    """
    return _TRUNCATED.draw(shape, dtype, seed) * stddev + mean


def uniform(
    shape: Any, minval: Any = 0.0, maxval: Any = 1.0, dtype: Any = None, seed: Any = None
) -> Any:
    """Draw from a uniform distribution.

    Parameters
    ----------
    shape : tuple of int
        Shape of the result.
    minval, maxval : float or Tensor
        Bounds; `maxval` is excluded.
    dtype : str, optional
        Float dtype of the result; by default `config.floatx()`.
    seed : int or SeedGenerator, optional
        Random seed; see `normal`.

    Returns
    -------
    Tensor
        Random numbers.

    Examples
    --------
    >>> float(uniform((100,), 3.0, 4.0, seed=1).min()) >= 3.0
    True
    """
    x = _UNIFORM.draw(shape, dtype, seed)
    return x * maxval + (1 - x) * minval


def randint(shape: Any, minval: int, maxval: int, dtype: Any = "int32", seed: Any = None) -> Any:
    """Draw integers from a uniform distribution.

    Parameters
    ----------
    shape : tuple of int
        Shape of the result.
    minval, maxval : int
        Bounds; `maxval` is excluded.
    dtype : str
        Integer dtype of the result.
    seed : int or SeedGenerator, optional
        Random seed; see `normal`.

    Returns
    -------
    Tensor
        Random integers.

    Examples
    --------
    >>> sorted(set(randint((100,), 0, 3, seed=1).tolist()))
    [0, 1, 2]
    """
    low, high = (
        checks.whole(name, np.asarray(value)[()], -(2**63))
        for name, value in (("minval", minval), ("maxval", maxval))
    )
    if low >= high:
        raise ValueError(
            f"maxval must be greater than minval. Received: minval={low}, maxval={high}"
        )
    dtype = checks.type_name(dtype, "int32")
    return _RANDINT.draw(shape, dtype, seed, "iu", minval=low, maxval=high)


def categorical(logits: Any, num_samples: int, dtype: Any = "int32", seed: Any = None) -> Any:
    """Draw class labels from categorical distributions, given by logits.

    Parameters
    ----------
    logits : array_like, shape (N, C)
        Unnormalized log-probabilities of the classes, one distribution in each row.
    num_samples : int
        Number of samples to draw from each row.
    dtype : str
        Integer dtype of the result.
    seed : int or SeedGenerator, optional
        Random seed; see `normal`.

    Returns
    -------
    Tensor, shape (N, num_samples)
        Class labels.

    Examples
    --------
    >>> categorical([[-100.0, 0.0], [0.0, -100.0]], 3)
    Tensor([[1, 1, 1],
            [0, 0, 0]], dtype=int32)
    """
    logits = TABLE["identity_of"](logits)
    expected = "logits must have the shape (batch_size, num_classes)"
    checks.require(logits.ndim == 2, expected, f"shape {tuple(logits.shape)}")
    rows, classes = np.shape(logits)
    # Gumbel-max trick: the argmax of logits plus Gumbel noise is a sample of the distribution.
    noise = _GUMBEL.draw((rows, num_samples, classes), None, seed)
    drawn = TABLE["argmax"](TABLE["expand_dims"](logits, 1) + noise, axis=-1)
    return TABLE["cast"](drawn, dtype)


def dropout(inputs: Any, rate: float, noise_shape: Any = None, seed: Any = None) -> Any:
    """Set a random fraction of the inputs to 0, and scale the others by ``1 / (1 - rate)``.

    The scaling preserves the expected value.

    Parameters
    ----------
    inputs : array_like
        Inputs.
    rate : float
        Fraction of the inputs to drop, from 0 to 1.
    noise_shape : tuple of (int or None), optional
        Shape of the random mask, which is broadcast to the inputs. An entry of None means the
        size of the inputs along that axis.
    seed : int or SeedGenerator, optional
        Random seed; see `normal`.

    Returns
    -------
    Tensor
        Outputs.

    Examples
    --------
    >>> sorted(set(dropout([1.0] * 100, 0.5, seed=1).tolist()))
    [0.0, 2.0]
    """
    rate = checks.number("rate", rate, 0, 1, wrong_type=ValueError)
    x = TABLE["identity_of"](inputs)
    if rate == 0:
        return x
    shape = np.shape(x)
    if noise_shape is not None:
        expected = f"noise_shape must have {len(shape)} entries, one for each axis of the inputs"
        checks.require(len(noise_shape) == len(shape), expected, f"noise_shape={noise_shape}")
        shape = [n if size is None else size for size, n in zip(noise_shape, shape, strict=True)]
    kept = _UNIFORM.draw(shape, None, seed) >= rate
    return TABLE["where"](kept, x * (1 / (1 - rate) if rate < 1 else 1.0), 0.0)


def shuffle(x: Any, axis: int = 0, seed: Any = None) -> Any:
    """Shuffle an array along an axis.

    Parameters
    ----------
    x : array_like
        Array.
    axis : int
        Axis along which slices are shuffled.
    seed : int or SeedGenerator, optional
        Random seed; see `normal`.

    Returns
    -------
    Tensor
        Shuffled array.

    Examples
    --------
    >>> sorted(shuffle([3, 1, 2]).tolist())
    [1, 2, 3]
    """
    x = TABLE["identity_of"](x)
    order = TABLE["argsort"](_UNIFORM.draw((np.shape(x)[axis],), None, seed))
    return TABLE["take"](x, order, axis=axis)


def gamma(shape: Any, alpha: Any, dtype: Any = None, seed: Any = None) -> Any:
    """Draw from a gamma distribution with scale 1.

    Parameters
    ----------
    shape : tuple of int
        Shape of the result.
    alpha : float or array_like
        Shape parameter, greater than 0.
    dtype : str, optional
        Float dtype of the result; by default `config.floatx()`.
    seed : int or SeedGenerator, optional
        Random seed; see `normal`.

    Returns
    -------
    Tensor
        Random numbers.

    Examples
    --------
    >>> bool((gamma((100,), 2.0) > 0).all())
    True
    """
    return _GAMMA.draw(shape, dtype, seed, alpha=to_array(alpha))


def beta(shape: Any, alpha: Any, beta: Any, dtype: Any = None, seed: Any = None) -> Any:
    """Draw from a beta distribution.

    Parameters
    ----------
    shape : tuple of int
        Shape of the result.
    alpha, beta : float or array_like
        Shape parameters, greater than 0.
    dtype : str, optional
        Float dtype of the result; by default `config.floatx()`.
    seed : int or SeedGenerator, optional
        Random seed; see `normal`.

    Returns
    -------
    Tensor
        Random numbers, from 0 to 1.

    Examples
    --------
    >>> bool((beta((100,), 2.0, 3.0) < 1).all())
    True
    """
    return _BETA.draw(shape, dtype, seed, alpha=to_array(alpha), beta=to_array(beta))


def binomial(
    shape: Any, counts: Any, probabilities: Any, dtype: Any = None, seed: Any = None
) -> Any:
    """Draw from a binomial distribution: the number of successes in independent trials.

    Parameters
    ----------
    shape : tuple of int
        Shape of the result.
    counts : int or array_like
        Number of trials.
    probabilities : float or array_like
        Probability of success.
    dtype : str, optional
        Float dtype of the result; by default `config.floatx()`.
    seed : int or SeedGenerator, optional
        Random seed; see `normal`.

    Returns
    -------
    Tensor
        Number of successes.

    Examples
    --------
    >>> binomial((3,), 10, [0.0, 1.0, 1.0])
    Tensor([ 0., 10., 10.], dtype=float32)
    """
    n, p = to_array(counts), to_array(probabilities)
    return _BINOMIAL.draw(shape, dtype, seed, n=np.asarray(n).astype(np.int64), p=p)
