"""Properties that are computed only once, without a lock.

`functools.cached_property` of Python 3.10 and 3.11 has one lock for all instances of a class. In a
process that is forked while another thread holds this lock, it would deadlock.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

T = TypeVar("T")


class cached_property(Generic[T]):  # noqa: N801  # as in functools
    """Property that is computed on first access, and can be assigned."""

    def __init__(self, function: Callable[[Any], T]) -> None:
        self.function, self.name, self.__doc__ = function, "", function.__doc__

    def __set_name__(self, owner: Any, name: str) -> None:
        """Store the name of the attribute."""
        self.name = name

    @overload
    def __get__(self, instance: None, owner: Any) -> cached_property[T]: ...

    @overload
    def __get__(self, instance: object, owner: Any) -> T: ...

    def __get__(self, instance: Any, owner: Any) -> Any:
        """Compute the value, and store it in the instance, where it shadows this descriptor."""
        if instance is None:
            return self
        value = vars(instance)[self.name] = self.function(instance)
        return value
