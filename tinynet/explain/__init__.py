"""One training step with every number in sight, and backpropagation checked.

`step` does what `model.train_on_batch` does and tells every array that passes between the layers,
on to one chosen weight and what the optimizer makes of its gradient. `check_gradients` asks
whether the gradients are right at all: a derivative is how fast a number grows when another one
does, and that can be tried out.

Both run the program of a copy of the model, instruction by instruction, and read its registers.
"""

from tinynet.explain.gradient_check import GradientCheck, GradientReport, check_gradients
from tinynet.explain.layer_step import LayerStep
from tinynet.explain.training_step import Step, WeightStep, step

__all__ = ["GradientCheck", "GradientReport", "LayerStep", "Step", "WeightStep"]
__all__ += ["check_gradients", "step"]
