"""Inspection of a training step, and gradient checking.

`step` performs the same computation as `model.train_on_batch`, and returns the inputs, outputs and
gradients of every layer and the optimizer's update of one weight. `check_gradients` compares
backpropagation with finite differences.

Both run the program of a copy of the model, and read the values of its registers.
"""

from tinynet.explain.gradient_check import GradientCheck, GradientReport, check_gradients
from tinynet.explain.layer_step import LayerStep
from tinynet.explain.training_step import Step, WeightStep, step

__all__ = ["GradientCheck", "GradientReport", "LayerStep", "Step", "WeightStep"]
__all__ += ["check_gradients", "step"]
