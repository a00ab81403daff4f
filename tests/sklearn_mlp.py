"""Pytest plugin that runs scikit-learn's tests of its networks with the estimators of tinynet.

``python -m pytest -p tests.sklearn_mlp --pyargs sklearn.neural_network.tests.test_mlp``
"""

from __future__ import annotations

import numpy as np
import sklearn.neural_network

from tinynet.sklearn import TinyNetClassifier, TinyNetRegressor


def pytest_configure():
    """Replace the classes before the tests import them; importing this file has no effect."""
    sklearn.neural_network.MLPClassifier = TinyNetClassifier
    sklearn.neural_network.MLPRegressor = TinyNetRegressor


def pytest_runtest_setup():
    """Set NumPy's global seed, for tests without a seed."""
    np.random.seed(0)  # noqa: NPY002  # scikit-learn draws from the global generator
