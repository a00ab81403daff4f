"""Grid search with scikit-learn, in one process, on several cores, or on a cluster.

A single small network can be trained on any machine, but a grid search trains many of them.
`TinyNetClassifier` is a drop-in replacement for scikit-learn's ``MLPClassifier``, so it works in
grid searches, pipelines and cross-validation. Each fit uses one thread, and joblib runs the fits in
this process, in one process per core, or on the workers of a Dask cluster.
"""

import time

import joblib
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from tinynet.sklearn import TinyNetClassifier


def main() -> None:
    x, y = load_digits(return_X_y=True)
    x, x_test, y, y_test = train_test_split(x, y, random_state=0, stratify=y)

    net = TinyNetClassifier(tol=0.01, n_iter_no_change=3, random_state=0)
    grid = {
        "tinynetclassifier__hidden_layer_sizes": [(16,), (64,)],
        "tinynetclassifier__learning_rate_init": [0.003, 0.01],
        "tinynetclassifier__dropout": [0.0, 0.2],
    }
    search = GridSearchCV(make_pipeline(MinMaxScaler(), net), grid, cv=3)

    start = time.perf_counter()
    search.fit(x, y)
    print(f"One process:    {time.perf_counter() - start:5.1f} s")
    best = {name.partition("__")[2]: value for name, value in search.best_params_.items()}
    print(f"Best: {best}, {search.best_score_:.3f} in cross-validation")
    print(f"Test accuracy: {search.score(x_test, y_test):.3f}")
    expected = search.cv_results_["mean_test_score"]

    # Run the same search on two cores of this machine. The time includes starting the processes.
    start = time.perf_counter()
    with joblib.parallel_config("loky", n_jobs=2):
        search.fit(x, y)
    print(f"Two processes:  {time.perf_counter() - start:5.1f} s")
    print("Scores are identical:", np.array_equal(search.cv_results_["mean_test_score"], expected))

    # Run the same search on a local Dask cluster with two workers. For a remote cluster, pass the
    # address of its scheduler to Client, and install tinynet and scikit-learn on its machines.
    try:
        from distributed import Client, LocalCluster
    except ImportError:
        print("Dask cluster:   skipped; requires distributed (pip install distributed)")
        return
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with LocalCluster(**options) as cluster, Client(cluster):
        start = time.perf_counter()
        with joblib.parallel_config("dask"):
            search.fit(x, y)
        print(f"Dask cluster:   {time.perf_counter() - start:5.1f} s")
    print("Scores are identical:", np.array_equal(search.cv_results_["mean_test_score"], expected))


# Worker processes import this file, and must not execute main.
if __name__ == "__main__":
    main()
