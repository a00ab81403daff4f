"""Restrict all modules to their public names, and suggest alternatives for unknown names.

This module is imported last, after all others.
"""

from __future__ import annotations

import functools
import sys

from tinynet._core import suggestions
from tinynet._core.keras_names import KERAS_NAMES, Absent, guard, public_names

_package = sys.modules["tinynet"]
_lazy = ("compat", "demo", "exercises", "sklearn")  # modules that are imported on first access
_nested = [f"{a}.{b}" for a in public_names(_package) for b in public_names(getattr(_package, a))]
_paths = ["", *public_names(_package), *_nested, *KERAS_NAMES]
_modules = {path: sys.modules.get(f"tinynet.{path}".rstrip(".")) for path in _paths}
_public = {path: public_names(module) for path, module in _modules.items() if module is not None}

suggestions.suggest_keywords(
    getattr(_modules[path], name)
    for path, names in _public.items()
    # Functions of `functional` are called in every step; operations check their arguments.
    if path not in ("functional", "ops")
    for name in names
)
for _path, _module in _modules.items():
    _parent = _public.get(_path.rpartition(".")[0], [])
    if _module is not None:
        _names, _late = _public[_path], () if _path else _lazy
        _shown = {*_names, *_late, *(name for name in vars(_module) if name[:2] == "__")}
        vars(_module).setdefault("__all__", _names)
        vars(_module)["__dir__"] = functools.partial(sorted, _shown)
        if _path in KERAS_NAMES:
            vars(_module)["__getattr__"] = guard(_path, _names, _late)
    elif _path in KERAS_NAMES and _parent:
        sys.modules[f"tinynet.{_path}"] = Absent(f"tinynet.{_path}", _parent)
