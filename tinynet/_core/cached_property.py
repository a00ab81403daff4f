"""Properties that are computed once, without a lock.

`functools.cached_property` of Python 3.10 and 3.11 has one lock for all objects of a class. A
process that is forked while another thread holds it would wait for ever.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

T = TypeVar("T")


class cached_property(Generic[T]):  # noqa: N801  # as functools names its own
    """A property that is computed when it is first read, and may be set.

    Parameters
    ----------
    function : callable
        Computes it from the object.

    Examples
    --------
    >>> class Square:
    ...     side = 3
    ...     @cached_property
    ...     def area(self):
    ...         return self.side**2
    >>> square = Square()
    >>> square.area, "area" in vars(square)
    (9, True)
    """

    def __init__(self, function: Callable[[Any], T]) -> None:
        self.function, self.name, self.__doc__ = function, "", function.__doc__

    def __set_name__(self, owner: Any, name: str) -> None:
        """Note the name of the attribute."""
        self.name = name

    @overload
    def __get__(self, instance: None, owner: Any) -> cached_property[T]: ...

    @overload
    def __get__(self, instance: object, owner: Any) -> T: ...

    def __get__(self, instance: Any, owner: Any) -> Any:
        """Compute the value; it hides this descriptor from then on."""
        if instance is None:
            return self
        value = vars(instance)[self.name] = self.function(instance)
        return value
