"""Constructors that are generated from the arguments that a class declares, as in `dataclasses`.

Each argument is declared once, by its name, type, default and check. The constructor validates the
values and stores them as attributes; its signature and the result of `get_config` also follow from
the declarations.
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
        """Return a decorator without effect; the original informs type checkers."""
        return lambda decorator: decorator


@dataclass(frozen=True)
class _Argument:
    """Declaration of an argument: its default, its check, and whether it becomes an attribute."""

    default: Any
    check: Callable[[str, Any], Any]
    kept: bool = True


def required(check: Any = None, *args: Any, **options: Any) -> Any:
    """Declare an argument without a default.

    ``check(name, value, *args, **options)`` returns the value to store, as functions in `checks`
    do.
    """
    return argument(inspect.Parameter.empty, check, *args, **options)


def argument(default: Any, check: Any = None, *args: Any, kept: bool = True, **options: Any) -> Any:
    """Declare an argument with a default; if the default is None, None is always accepted.

    If `kept` is True, the argument becomes an attribute and part of the configuration; otherwise,
    the argument is passed to ``__complete`` only.
    """

    def checked(name: str, value: Any) -> Any:
        if check is None or (value is None and default is None):
            return value
        return check(name, value, *args, **options)

    return _Argument(default, checked, kept)


def found(default: Any, find: Callable[[Any], Any]) -> Any:
    """Declare an argument that accepts an object, its name or its configuration.

    `find` returns the object.
    """
    return _Argument(default, lambda name, value: find(value))


@dataclass_transform(eq_default=False, field_specifiers=(required,))
def declared(registry: Any = None, *aliases: str) -> Callable[[type[T]], type[T]]:
    """Generate a class's constructor from the arguments that it declares, and register the class.

    The constructor validates all values, stores them as attributes, and passes positional arguments
    of the base class, and other keyword arguments, to the constructor of the base class. Finally,
    it calls the private method ``__complete`` of the class, if defined.

    Positional arguments of the base class are inherited unless the class redeclares one of them. As
    in `dataclasses`, they come before the arguments of the class, but after its required arguments.
    Arguments after ``_: KW_ONLY`` are keyword-only; a derived class accepts them as ``**kwargs``.
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

        construct.__signature__ = signature  # type: ignore[attr-defined]  # for inspect
        construct.__name__, construct.__module__ = "__init__", cls.__module__
        construct.__qualname__ = f"{cls.__qualname__}.__init__"
        cls.__init__ = construct  # type: ignore[method-assign]  # as dataclasses do
        cls._arguments = (*getattr(cls, "_arguments", ()), *kept)  # type: ignore[attr-defined]
        return cls if registry is None else registry.register(*aliases)(cls)

    return build


def _signature(types: dict[str, str], own: Any, taken: Any) -> inspect.Signature:
    """Return the signature of a constructor with the declared and the inherited arguments."""
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
    """Return the names of the arguments of the constructors of classes, without duplicates."""
    names = (name for cls in classes for name in inspect.signature(cls).parameters)
    return [name for name in dict.fromkeys(names) if name not in ("args", "kwargs")]
