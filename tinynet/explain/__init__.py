"""One training step with all of its values, and a check of backpropagation.

`step` runs what `model.train_on_batch` runs, and returns every array that is passed between the
layers, and the optimizer's update of one weight. `check_gradients` compares the gradients with
finite differences.

Both run the program of a copy of the model, instruction by instruction, and read its registers.
"""

from tinynet.explain.gradient_check import GradientCheck, GradientReport, check_gradients
from tinynet.explain.layer_step import LayerStep
from tinynet.explain.training_step import Step, WeightStep, step

__all__ = ["GradientCheck", "GradientReport", "LayerStep", "Step", "WeightStep"]
__all__ += ["check_gradients", "step"]
