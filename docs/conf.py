"""Sphinx configuration: ``make docs`` builds the pages into ``docs/_build/html``.

Pages of the API reference are written before each build, one for each public name, and the
notebooks of ``examples/`` are copied. Both are ignored by git.
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import Any

from sphinx.pycode import ModuleAnalyzer

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path[:0] = [str(ROOT), str(HERE)]

import public_names  # noqa: E402  (the path is set above)

import tinynet  # noqa: E402  (the path is set above)

project = "tinynet"
author = "The tinynet developers"
copyright = author
version = release = tinynet.__version__

extensions = [
    "sphinx.ext.autodoc",
    "numpydoc",
    "myst_nb",
    "sphinx-mathjax-offline",
]
source_suffix = {".rst": "restructuredtext", ".md": "myst-nb", ".ipynb": "myst-nb"}
exclude_patterns = ["_build"]
default_role = "literal"
autodoc_typehints = "none"
numpydoc_show_class_members = False
myst_heading_anchors = 3
myst_enable_extensions = ["dollarmath"]
nb_execution_mode = "off"  # the tests run the notebooks
nb_merge_streams = True

html_static_path = ["_static"]
html_css_files = ["narrow.css"]
html_theme = "pydata_sphinx_theme"
html_title = "tinynet"
html_show_sourcelink = False
html_theme_options = {
    "navbar_align": "left",
    "header_links_before_dropdown": 4,
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}


def write_api() -> None:
    """Write the index of the API reference, a page for each module and one for each name."""
    pages: dict[str, str] = {}
    modules, names = public_names.find_modules(), public_names.find_names()
    first: dict[int, str] = {}
    for path, value in names.items():
        first.setdefault(id(value), path)
    for path, value in names.items():
        pages[f"{path}.rst"] = page_of(path, value, first[id(value)])
    listed = [path for path in sorted(modules) if any(n.rpartition(".")[0] == path for n in names)]
    for path in listed:
        pages[f"module-{path}.rst"] = page_of_module(path, modules[path], names, first)
    index = "API reference\n=============\n\n.. toctree::\n   :maxdepth: 1\n\n"
    pages["index.rst"] = index + "".join(f"   module-{path}\n" for path in listed)
    write(HERE / "api", pages)


def page_of(path: str, value: Any, first: str) -> str:
    """Return the page of a name; other names of the same object refer to its first one."""
    module, _, name = path.rpartition(".")
    title = f":orphan:\n\n{path}\n{'=' * len(path)}\n\n.. currentmodule:: {module}\n\n"
    title += f"Module: :doc:`{module} <module-{module}>`.\n\n"
    if first != path:
        kind = "class" if inspect.isclass(value) else "function"
        return f"{title}.. py:{kind}:: {name}\n\n   Alias of :py:obj:`{first}`.\n"
    if inspect.isclass(value):
        own = [n for n in vars(value) if n[0] != "_" and is_documented(getattr(value, n))]
        members = f"   :members: {', '.join(own)}\n   :member-order: bysource\n" if own else ""
        return f"{title}.. autoclass:: {name}\n{members}   :show-inheritance:\n"
    if is_documented(value):
        return f"{title}.. autofunction:: {name}\n"
    return f"{title}.. py:data:: {name}\n\n   {description_of(name, value)}\n"


def description_of(name: str, value: Any) -> str:
    """Return the comment that describes a constant, from the module that defines it."""
    for path, module in sorted(sys.modules.items()):
        is_own = path.startswith("tinynet.") and path == module.__name__
        if is_own and vars(module).get(name) is value:
            comments = ModuleAnalyzer.for_module(path).find_attr_docs()
            if ("", name) in comments:
                return " ".join(comments["", name]).strip()
    raise ValueError(f"{name} must be described by a comment that starts with #:")


def is_documented(value: Any) -> bool:
    """Return whether a value is code of tinynet: not a constant, a type or inherited code."""
    value = getattr(value, "fget", value)  # a property
    return bool(value.__doc__) and (getattr(value, "__module__", "") or "").startswith("tinynet")


def page_of_module(path: str, module: Any, names: dict[str, Any], first: dict[int, str]) -> str:
    """Return the page of a module: its docstring and a list of its names."""
    text = f"{path}\n{'=' * len(path)}\n\n.. py:module:: {path}\n\n"
    text += inspect.cleandoc(module.__doc__ or "") + "\n\n"
    for name in public_names.names_of(module):
        if (own := f"{path}.{name}") in names:
            value = names[own]
            if first[id(value)] != own:
                line = f"Alias of :py:obj:`{first[id(value)]}`."
            elif is_documented(value):
                line = " ".join(inspect.cleandoc(value.__doc__).partition("\n\n")[0].split())
            else:
                line = description_of(name, value)
            text += f":doc:`{name} <{own}>`\n    {line}\n"
    return text


def write(folder: Path, pages: dict[str, str]) -> None:
    """Write the pages that have changed to a folder, and remove all others from it."""
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        if path.name not in pages:
            path.unlink()
    for name, text in pages.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def copy_course() -> None:
    """Copy the notebooks, which the pages of the course are made of."""
    notebooks = (ROOT / "examples").glob("*.ipynb")
    write(HERE / "course", {path.name: path.read_text(encoding="utf-8") for path in notebooks})


def signature_of(
    app: Any, what: str, name: str, value: Any, options: Any, signature: str, returned: str
) -> tuple[str, str] | None:
    """Return the signature that `inspect` shows; Sphinx would show that of `__new__`."""
    if what != "class" or issubclass(value, str):  # strings have no signature
        return None
    shown = inspect.signature(value)
    plain = [p.replace(annotation=p.empty) for p in shown.parameters.values()]
    return str(shown.replace(parameters=plain, return_annotation=shown.empty)), ""


def setup(app: Any) -> None:
    """Write the generated pages before a build."""
    write_api()
    copy_course()
    app.connect("autodoc-process-signature", signature_of)
