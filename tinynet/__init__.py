"""A neural network for handwritten digits, from scratch, with Keras' names.

``import tinynet as keras`` reads like Keras. The maths stands in `functional`, the training
loop in `training`, and the rest is named after what it holds.
"""

from tinynet import (
    activations,
    callbacks,
    config,
    datasets,
    initializers,
    layers,
    losses,
    metrics,
    models,
    optimizers,
    random,
    saving,
    utils,
    visualize,
)
from tinynet.layers import Input
from tinynet.sequential import Model, Sequential
from tinynet.variable import Variable

__version__ = "0.1.0"

__all__ = [
    "Input",
    "Model",
    "Sequential",
    "Variable",
    "activations",
    "callbacks",
    "config",
    "datasets",
    "initializers",
    "layers",
    "losses",
    "metrics",
    "models",
    "optimizers",
    "random",
    "saving",
    "utils",
    "visualize",
]
