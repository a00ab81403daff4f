"""Type of the arrays that these functions take and return."""

from typing import Any

from numpy.typing import NDArray

__all__ = ["Array"]

#: An array of any dtype and shape.
Array = NDArray[Any]
