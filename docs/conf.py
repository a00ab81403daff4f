"""Sphinx configuration: ``make docs`` builds the pages into ``docs/_build/html``.

Pages of the API reference are written before each build, one for each public name, and the
notebooks of ``examples/`` are copied. Both are ignored by git.
"""

from __future__ import annotations

import inspect
import shutil
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT))

import tinynet  # noqa: E402  (the path is set above)
from tests import public_names  # noqa: E402

project = "tinynet"
author = "The tinynet developers"
copyright = author
version = release = tinynet.__version__

extensions = ["sphinx.ext.autodoc", "sphinx.ext.autosummary", "numpydoc", "myst_nb"]
source_suffix = {".rst": "restructuredtext", ".md": "myst-nb", ".ipynb": "myst-nb"}
exclude_patterns = ["_build"]
default_role = "literal"
nitpicky = False
autodoc_typehints = "none"
autosummary_generate = False
numpydoc_show_class_members = False
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # the tests run the notebooks
nb_merge_streams = True

html_theme = "pydata_sphinx_theme"
html_title = "tinynet"
html_static_path: list[str] = []
html_show_sourcelink = False
html_theme_options = {
    "navbar_align": "left",
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}

KINDS = {"class": "autoclass", "function": "autofunction", "data": "autodata"}


def write_api() -> None:
    """Write the index of the API reference, a page for each module and one for each name."""
    folder = HERE / "api"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    modules, names = public_names.find_modules(), public_names.find_names()
    first: dict[int, str] = {}
    for path, value in names.items():
        first.setdefault(id(value), path)
    for path, value in names.items():
        write(folder / f"{path}.rst", page_of(path, value, first[id(value)]))
    listed = [path for path in sorted(modules) if any(n.rpartition(".")[0] == path for n in names)]
    for path in listed:
        write(folder / f"module-{path}.rst", page_of_module(path, modules[path], names, first))
    index = "API reference\n=============\n\n.. toctree::\n   :maxdepth: 1\n\n"
    write(folder / "index.rst", index + "".join(f"   module-{path}\n" for path in listed))


def page_of(path: str, value: Any, first: str) -> str:
    """Return the page of a name; other names of the same object refer to its first one."""
    module, _, name = path.rpartition(".")
    title = f":orphan:\n\n{path}\n{'=' * len(path)}\n\n.. currentmodule:: {module}\n\n"
    if first != path:
        kind = "class" if inspect.isclass(value) else "function"
        return f"{title}.. py:{kind}:: {name}\n\n   Alias of :py:obj:`{first}`.\n"
    if inspect.isclass(value):
        own = [n for n, v in vars(value).items() if n[0] != "_" and getattr(v, "__doc__", None)]
        members = f"   :members: {', '.join(own)}\n   :member-order: bysource\n" if own else ""
        return f"{title}.. autoclass:: {name}\n{members}   :show-inheritance:\n"
    if callable(value) and getattr(value, "__doc__", None) and not inspect.isbuiltin(value):
        return f"{title}.. autofunction:: {name}\n"
    return f"{title}.. py:data:: {name}\n\n   Constant.\n"


def page_of_module(path: str, module: Any, names: dict[str, Any], first: dict[int, str]) -> str:
    """Return the page of a module: its docstring and a table of its names."""
    text = f"{path}\n{'=' * len(path)}\n\n.. py:module:: {path}\n\n"
    text += inspect.cleandoc(module.__doc__ or "") + "\n\n.. list-table::\n   :widths: 35 65\n\n"
    for name in public_names.names_of(module):
        value = names.get(f"{path}.{name}")
        if f"{path}.{name}" in names:
            doc = inspect.cleandoc(getattr(value, "__doc__", None) or "").partition("\n\n")[0]
            own = first[id(value)] == f"{path}.{name}"
            line = " ".join(doc.split()) if own else f"Alias of :py:obj:`~{first[id(value)]}`."
            text += f"   * - :doc:`{name} <{path}.{name}>`\n     - {line or 'Constant.'}\n"
    return text


def write(path: Path, text: str) -> None:
    """Write a page."""
    path.write_text(text, encoding="utf-8")


def copy_course() -> None:
    """Copy the notebooks, which the pages of the course are made of."""
    folder = HERE / "course"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for notebook in (ROOT / "examples").glob("*.ipynb"):
        shutil.copy(notebook, folder)


write_api()
copy_course()
