"""The engine: operations, and their gradients in reverse order."""

from tinynet.program.operations import Operation, apply
from tinynet.program.tape import GradientTape, value_and_gradients
from tinynet.program.tensor import TABLE

__all__ = ["TABLE", "GradientTape", "Operation", "apply", "value_and_gradients"]
