"""Array type used in the signatures of `tinynet.functional`."""

from typing import Any

from numpy.typing import NDArray

__all__ = ["Array"]

#: An array of any dtype and shape.
Array = NDArray[Any]
