"""Constructors built from the arguments that a class declares, as in `dataclasses`.

An argument is declared once, by its name, type, default and check. From the declarations follow
the constructor, which checks the values and keeps them as attributes, its signature, and what
`get_config` returns.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from tinynet._core.suggestions import no_more

T = TypeVar("T")
_BY_POSITION = inspect.Parameter.POSITIONAL_OR_KEYWORD

if TYPE_CHECKING:
    from typing_extensions import dataclass_transform
else:

    def dataclass_transform(**options: Any) -> Any:
        """Return a decorator without effect; the original informs type checkers.

        Parameters
        ----------
        **options : object
            Rules that type checkers apply.

        Returns
        -------
        callable
            The decorator.

        Examples
        --------
        >>> dataclass_transform()("decorated")
        'decorated'
        """
        return lambda decorator: decorator


@dataclass(frozen=True)
class _Argument:
    """Declaration of one argument: its default, its check, and whether it becomes an attribute."""

    default: Any
    check: Callable[[str, Any], Any]
    kept: bool = True


def required(check: Any = None, *args: Any, **options: Any) -> Any:
    """Declare an argument without a default.

    Parameters
    ----------
    check : callable, optional
        ``check(name, value, *args, **options)`` returns the value to keep, as functions of
        `checks` do.
    *args, **options : object
        Further arguments of the check.

    Returns
    -------
    object
        The declaration.

    Examples
    --------
    >>> from tinynet._core.checks import whole
    >>> @declared()
    ... class Circle:
    ...     radius: int = required(whole, 1)
    >>> Circle(2).radius
    2
    """
    return argument(inspect.Parameter.empty, check, *args, **options)


def argument(default: Any, check: Any = None, *args: Any, kept: bool = True, **options: Any) -> Any:
    """Declare an argument with a default; if that is None, None is always accepted.

    Parameters
    ----------
    default : object
        Default value.
    check : callable, optional
        As for `required`.
    *args, **options : object
        Further arguments of the check.
    kept : bool
        If True, it becomes an attribute and part of the configuration; if False, it is only passed
        to ``__complete``.

    Returns
    -------
    object
        The declaration.

    Examples
    --------
    >>> from tinynet._core.checks import number
    >>> @declared()
    ... class Circle:
    ...     radius: float = argument(1.0, number, 0)
    >>> Circle(radius=-1)
    Traceback (most recent call last):
        ...
    ValueError: radius must be a number of at least 0. Received: radius=-1
    """

    def checked(name: str, value: Any) -> Any:
        if check is None or (value is None and default is None):
            return value
        return check(name, value, *args, **options)

    return _Argument(default, checked, kept)


def found(default: Any, find: Callable[[Any], Any]) -> Any:
    """Declare an argument that may be an object, or its name or configuration.

    Parameters
    ----------
    default : object
        Default value.
    find : callable
        Returns the object, as ``activations.get`` does.

    Returns
    -------
    object
        The declaration.

    Examples
    --------
    >>> @declared()
    ... class Label:
    ...     text: str = found("red", str.upper)
    >>> Label("blue").text
    'BLUE'
    """
    return _Argument(default, lambda name, value: find(value))


@dataclass_transform(eq_default=False, field_specifiers=(required,))
def declared(registry: Any = None, *aliases: str) -> Callable[[type[T]], type[T]]:
    """Build a class's constructor from the arguments that it declares.

    The constructor checks all values before it does anything else. Those that the constructor of
    the base class takes by position are passed on to it, and so are further keywords; the others
    become attributes before. At last it calls the private method ``__complete`` of the class, if it
    has one.

    If a class declares none of the arguments that its base class takes by position, it takes these,
    too: as in `dataclasses`, before its own, except for required ones.

    Arguments after ``_: KW_ONLY`` must be passed by name. In derived classes, they follow the
    arguments of these, as ``**kwargs``.

    Parameters
    ----------
    registry : Registry, optional
        Registry to enter the class in.
    *aliases : str
        As for `Registry.register`.

    Returns
    -------
    callable
        Decorator of the class.

    Examples
    --------
    >>> @declared()
    ... class Circle:
    ...     radius: float = argument(1.0)
    ...
    ...     def __complete(self):
    ...         self.area = 3.14 * self.radius**2
    >>> inspect.signature(Circle)
    <Signature (radius: 'float' = 1.0) -> 'None'>
    >>> Circle(2.0).area
    12.56
    >>> @declared()
    ... class Ring(Circle):
    ...     width: float = argument(0.1)
    >>> inspect.signature(Ring)
    <Signature (radius: 'float' = 1.0, width: 'float' = 0.1) -> 'None'>
    """

    def build(cls: type[T]) -> type[T]:
        own = {name: entry for name, entry in vars(cls).items() if isinstance(entry, _Argument)}
        for name in own:
            delattr(cls, name)
        base: Any = cls.__mro__[1]
        inherited, is_root = base.__init__, base.__init__ is object.__init__
        taken = {} if is_root else {**inspect.signature(inherited).parameters}
        taken.pop("self", None)
        passed = [name for name in own if name in taken and taken[name].kind is _BY_POSITION]
        kept = [name for name, entry in own.items() if entry.kept and name not in passed]
        init_only = [name for name, entry in own.items() if not entry.kept]
        signature = _signature(inspect.get_annotations(cls), own, taken)
        defaults = {name: entry.default for name, entry in own.items()}
        complete = vars(cls).get(f"_{cls.__name__.lstrip('_')}__complete")

        def construct(self: Any, *args: Any, **kwargs: Any) -> None:
            bound = signature.bind(self, *args, **kwargs).arguments
            del bound["self"]
            given = {**defaults, **bound.pop("kwargs", {}), **bound}
            others = {name: value for name, value in given.items() if name not in own}
            values = {name: entry.check(name, given[name]) for name, entry in own.items()}
            for name in kept:
                setattr(self, name, values[name])
            if is_root:
                no_more(type(self).__name__, others, keywords(type(self), cls) if others else ())
            else:
                inherited(self, **{name: values[name] for name in passed}, **others)
            if complete is not None:
                complete(self, **{name: values[name] for name in init_only})

        construct.__signature__ = signature  # type: ignore[attr-defined]  # inspect reads it
        construct.__name__, construct.__module__ = "__init__", cls.__module__
        construct.__qualname__ = f"{cls.__qualname__}.__init__"
        cls.__init__ = construct  # type: ignore[method-assign]  # as dataclasses do
        cls._arguments = (*getattr(cls, "_arguments", ()), *kept)  # type: ignore[attr-defined]
        return cls if registry is None else registry.register(*aliases)(cls)

    return build


def _signature(types: dict[str, str], own: Any, taken: Any) -> inspect.Signature:
    """Return the signature of a constructor with the declared arguments, and the base's."""
    kind: Any = _BY_POSITION
    passes_on = "kwargs" in taken
    inherited = [p for p in taken.values() if p.kind is _BY_POSITION]
    if not own.keys().isdisjoint(p.name for p in inherited):
        inherited = []
    parameters = [inspect.Parameter("self", kind)]
    for name, annotation in types.items():
        if annotation == "KW_ONLY":
            kind, passes_on = inspect.Parameter.KEYWORD_ONLY, True
        elif name in own:
            new = inspect.Parameter(name, kind, default=own[name].default, annotation=annotation)
            if new.default is not new.empty or kind is not _BY_POSITION:
                parameters, inherited = parameters + inherited, []
            parameters.append(new)
    parameters += inherited
    if passes_on:
        kind = inspect.Parameter.VAR_KEYWORD
        parameters.append(inspect.Parameter("kwargs", kind, annotation="Any"))
    return inspect.Signature(parameters, return_annotation="None")


def keywords(*classes: type) -> list[str]:
    """List the names of the arguments that the constructors of classes take.

    Parameters
    ----------
    *classes : type
        The classes.

    Returns
    -------
    list of str
        The names, each once.

    Examples
    --------
    >>> @declared()
    ... class Circle:
    ...     radius: float = argument(1.0)
    >>> keywords(Circle)
    ['radius']
    """
    names = (name for cls in classes for name in inspect.signature(cls).parameters)
    return [name for name in dict.fromkeys(names) if name not in ("args", "kwargs")]
