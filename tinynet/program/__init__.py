"""The engine: operations, their tracing into programs, and reverse-mode differentiation."""

from tinynet.program.operations import Operation, apply
from tinynet.program.symbols import Shape, SymbolicTensor
from tinynet.program.tape import GradientTape, value_and_gradients
from tinynet.program.tensor import TABLE, TensorMethods
from tinynet.program.variable import Array, Tensor, Variable, as_tensor

__all__ = ["TABLE", "Array", "GradientTape", "Operation", "Shape", "SymbolicTensor", "Tensor"]
__all__ += ["TensorMethods", "Variable", "apply", "as_tensor", "value_and_gradients"]
