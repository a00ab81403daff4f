"""Plugin for pytest: scikit-learn's own tests of its networks, run on the estimators of tinynet.

``python -m pytest -p tests.sklearn_mlp --pyargs sklearn.neural_network.tests.test_mlp``
"""

from __future__ import annotations

import numpy as np
import sklearn.neural_network

from tinynet.sklearn import TinyNetClassifier, TinyNetRegressor


def pytest_configure():
    """Replace the classes before the tests import them; importing this file changes nothing."""
    sklearn.neural_network.MLPClassifier = TinyNetClassifier
    sklearn.neural_network.MLPRegressor = TinyNetRegressor


def pytest_runtest_setup():
    """Seed what a test without a seed draws from."""
    np.random.seed(0)  # noqa: NPY002  # scikit-learn draws from the global generator
