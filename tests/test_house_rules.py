"""Style and architecture rules, checked on the source code."""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import tinynet
from docs import public_names
from tests import size

pytestmark = pytest.mark.thread_unsafe(reason="parses source files")
ROOT = Path(tinynet.__file__).parents[1]
PACKAGE = ROOT / "tinynet"
FILES = sorted(PACKAGE.rglob("*.py"))
NAMES = [path.relative_to(ROOT).as_posix() for path in FILES]

# A module may import only from its own row and the rows above; a package counts as one module.
# Imports inside functions are included; imports under TYPE_CHECKING are ignored.
ROWS = (
    ("config",),
    ("functional", "_core"),
    ("kernels",),
    ("program",),
    ("activations", "constraints", "random", "regularizers", "sparse"),
    ("initializers", "ops"),
    ("layers", "losses", "optimizers", "datasets"),
    ("metrics", "callbacks"),
    ("saving",),
    ("training",),
    ("models",),
    ("visualize", "explain", "export", "utils", "backend"),
    ("repeats", "sklearn", "demo", "exercises"),
    ("namespace",),
    ("__init__",),
    ("cli", "compat"),
    ("__main__",),
)
# These modules may import only the listed modules of tinynet. In particular, `functional` and
# `kernels` do not import each other.
ALONE: dict[str, set[str]] = {
    "config": set(),
    "functional": set(),
    "_core": {"config"},
    "kernels": {"_core", "config"},
    "program": {"_core", "config", "functional", "kernels"},
}
# Modules that may use only public names of other modules.
PUBLIC_ONLY = {"visualize", "explain", "demo", "exercises", "compat", "cli", "__main__"}
# Packages that the library never imports, not even inside a function.
FORBIDDEN = {"reference", "benchmarks", "tests", "keras", "tensorflow", "pickle"}
# INSTALLED may be imported inside functions, AT_THE_TOP at module level. Kernel modules may import
# Numba at module level, because they are themselves imported lazily.
INSTALLED = {"numpy", "PIL", "numba", "llvmlite", "matplotlib", "h5py", "joblib", "onnx"}
INSTALLED |= {"typing_extensions"}  # for type checkers only
AT_THE_TOP = {
    "_core": {"numpy", "platformdirs"},
    "kernels": {"numpy", "numba", "llvmlite"},
    "sklearn": {"numpy", "sklearn"},
}


@functools.cache
def text(path: Path) -> str:
    """Return the text of a file."""
    return path.read_text(encoding="utf-8")


@functools.cache
def nodes(path: Path) -> list[ast.AST]:
    """Return the nodes of a file's syntax tree, the file itself first."""
    return list(ast.walk(ast.parse(text(path))))


@functools.cache
def concept(path: Path) -> str:
    """Return the name of the top-level module or package of tinynet that contains the file."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


class Import(NamedTuple):
    """An imported name, and whether the import is inside a function."""

    name: str
    late: bool


@functools.cache
def imports(path: Path) -> list[Import]:
    """Return all imports of a file, except those under TYPE_CHECKING."""
    late, for_types = set(), set()
    for node in nodes(path):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            late.update(map(id, ast.walk(node)))
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for_types.update(id(inner) for part in node.body for inner in ast.walk(part))
    found = []
    for node in nodes(path):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.Import):
            found += [Import(alias.name, id(node) in late) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: imports must be absolute"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found += [Import(name, id(node) in late) for name in names]
    return found


@functools.cache
def inner(name: str) -> str | None:
    """Return the top-level module of tinynet that contains a name, or None for other packages."""
    parts = name.split(".")
    if parts[0] != "tinynet":
        return None
    is_file = len(parts) > 1 and any(concept(path) == parts[1] for path in FILES)
    return parts[1] if is_file else "__init__"


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_import_layers(path: Path) -> None:
    rows = {name: i for i, row in enumerate(ROWS) for name in row}
    own = concept(path)
    assert own in rows, f"{own} is not listed in ROWS"
    for name, late in imports(path):
        top = name.split(".")[0]
        used = inner(name)
        assert top not in FORBIDDEN, f"{path.name} imports {name}"
        if used is None:
            if top not in sys.stdlib_module_names:
                allowed = INSTALLED if late else AT_THE_TOP.get(own, {"numpy"})
                assert top in allowed, f"{path.name} imports {name}"
            continue
        assert not late or used == "kernels", f"{path.name} imports {name} inside a function"
        if used != own:
            assert used in ALONE.get(own, {used}), f"{own} must not import {name} (see ALONE)"
            assert rows[used] <= rows[own], f"{own} is listed above {used}, but imports {name}"
        if own in PUBLIC_ONLY:
            assert not any(re.match("_[^_]", part) for part in name.split(".")[2:]), name


def module_of(name: str) -> str | None:
    """Return the file that defines a dotted name, or None if it is not part of tinynet."""
    parts = name.split(".")
    for end in (len(parts), len(parts) - 1):
        place = ROOT.joinpath(*parts[:end])
        for path in (place.with_suffix(".py"), place / "__init__.py"):
            if path in FILES:
                return path.relative_to(ROOT).as_posix()
    return None


def test_no_circular_imports() -> None:
    files = {
        name: {module_of(i.name) for i in imports(p)} for name, p in zip(NAMES, FILES, strict=True)
    }
    folders: dict[str, set[str | None]] = {}
    for path in FILES:
        used = {inner(i.name) for i in imports(path)}
        folders.setdefault(concept(path), set()).update(used - {concept(path)})
    for graph in (files, folders):
        done: set[str | None] = {None}
        while graph:
            free = [name for name, used in graph.items() if used <= done | {name}]
            assert free, f"circular imports between {sorted(graph)}"
            done.update(free)
            for name in free:
                del graph[name]


def test_import_loads_no_heavy_packages() -> None:
    heavy = [
        "tensorflow",
        "keras",
        "matplotlib",
        "numba",
        "h5py",
        "sklearn",
        "scipy",
        "torch",
        "joblib",
        "onnx",
    ]
    program = f"import sys, tinynet; print([m for m in {heavy} if m in sys.modules])"
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], cwd=ROOT, capture_output=True, text=True
    )
    assert (run.stdout.strip(), run.stderr) == ("[]", "")


# ------------------------------------------------------------ public names


LAZY = ("compat", "demo", "exercises", "sklearn")


def test_dir_shows_only_public_names() -> None:
    """`dir` does not list imported or internal modules, and every listed name exists."""
    shown = {name for name in dir(tinynet) if not name.startswith("__")}
    assert shown == {*tinynet.__all__, *LAZY}
    assert {"functional", "sparse", "version", "visualize", "layers", "Sequential"} <= shown
    assert (
        not {"sys", "checks", "blas_threads", "keyboard_interrupt", "registry", "training"} & shown
    )
    assert "__version__" in dir(tinynet)
    for name in shown:
        module = getattr(tinynet, name)
        if inspect.ismodule(module):
            public = [entry for entry in dir(module) if not entry.startswith("__")]
            assert public
            for entry in public:
                member = getattr(module, entry)
                inner = getattr(member, "__name__", "").startswith(f"{module.__name__}.")
                # A submodule is shown only where it is itself public, as datasets.mnist is.
                assert not inspect.ismodule(member) or (inner and entry in module.__all__), entry
    assert {"get", "serialize", "deserialize"} <= set(dir(tinynet.initializers))
    assert "Dense" in dir(tinynet.layers)
    assert "dense" not in dir(tinynet.layers)


@pytest.mark.wide
def test_lazy_modules_are_imported_when_used() -> None:
    program = (
        "import sys\nimport tinynet\nfrom tinynet import *\n"
        f"names = ['tinynet.' + name for name in {LAZY}]\n"
        "assert not [name for name in names if name in sys.modules]\n"
        "assert Sequential is tinynet.Sequential and functional is tinynet.functional\n"
        "from rlcompleter import Completer\n"
        "assert Completer({'tinynet': tinynet}).complete('tinynet.comp', 0) == 'tinynet.compat'\n"
        "assert tinynet.compat.tensorflow.keras is tinynet\n"
        "assert tinynet.sklearn.TinyNetClassifier and tinynet.demo.page\n"
    )
    run = subprocess.run([sys.executable, "-W", "error", "-c", program], cwd=ROOT, text=True)
    assert run.returncode == 0


@pytest.mark.wide
def test_missing_optional_package_is_named() -> None:
    program = (
        "import sys\nsys.modules['sklearn'] = None\nimport inspect\nimport tinynet\n"
        "assert not hasattr(tinynet, 'sklearn')\n"
        "assert dict(inspect.getmembers(tinynet))['compat']\n"
        "for line in ('tinynet.sklearn', 'from tinynet import sklearn'):\n"
        "    try:\n        exec(line)\n"
        "    except (AttributeError, ImportError) as error:\n"
        "        assert \"pip install -e '.[sklearn]'\" in str(error), error\n"
        "    else:\n        sys.exit(line)\n"
    )
    run = subprocess.run([sys.executable, "-W", "error", "-c", program], cwd=ROOT, text=True)
    assert run.returncode == 0


# ------------------------------------------------------------ docstrings


def modules() -> list[Any]:
    found = pkgutil.walk_packages(tinynet.__path__, "tinynet.")
    names = [info.name for info in found if not info.name.endswith("__main__")]
    return [tinynet, *map(importlib.import_module, names)]


def own_functions_and_classes() -> dict[str, Any]:
    """Return all functions and classes that tinynet defines under a public name, by dotted name."""
    found = {}
    for module in modules():
        if module.__name__.startswith("tinynet.compat."):
            continue  # these functions have TensorFlow's names and are documented there
        for name, value in vars(module).items():
            of_its_own = getattr(value, "__module__", None) == module.__name__
            is_code = inspect.isfunction(value) or inspect.isclass(value)
            if of_its_own and is_code and not name.startswith("_") and value.__name__ == name:
                found[f"{module.__name__}.{name}"] = value
    return found


def test_dir_shows_no_imported_names() -> None:
    foreign = {
        path
        for path, value in public_names.find_names().items()
        if callable(value) and not (getattr(value, "__module__", "") or "").startswith("tinynet")
    }
    assert foreign == {"tinynet.callbacks.Logs", "tinynet.functional.Array"}  # types


DEFINED = own_functions_and_classes()
PUBLIC = [*public_names.find_names().values()]
# In these modules, a docstring needs only a formula and the shapes, so that forward and backward
# fit on one screen.
FORMULAS = ("tinynet.functional.", "tinynet.ops")


def is_short(entry: Any) -> bool:
    """Return whether a short docstring is sufficient: not public, or in one of FORMULAS."""
    return entry not in PUBLIC or entry.__module__.startswith(FORMULAS)


def section(doc: str, title: str) -> str:
    """Return the text of one section of a numpydoc docstring."""
    match = re.search(rf"^{title}\n-+\n(.*?)(?=^\S[^\n]*\n---|\Z)", doc, re.M | re.S)
    return match[1] if match else ""


def documented(doc: str) -> set[str]:
    """Return the parameters that a docstring names."""
    heads = re.findall(r"^(\*+\w+$|[*\w][\w*, ]*(?= : ))", section(doc, "Parameters"), re.M)
    return {name.strip(" *") for head in heads for name in head.split(",")}


def parameters(function: Any) -> set[str]:
    if inspect.isclass(function):  # `inspect.signature` may use `__new__` in Python 3.10
        function = function.__init__
    names = inspect.signature(function).parameters
    return {name for name in names if name not in ("self", "cls") and name.strip("_")}


def test_docstring_parser() -> None:
    doc = (
        "Do.\n\nParameters\n----------\na, b : int\n    Two.\n*c : str\n    Rest.\n**d\n    More.\n"
    )
    assert documented(doc + "\nReturns\n-------\ne : int\n") == {"a", "b", "c", "d"}


def assert_parameters_are_documented(entry: Any) -> None:
    doc = inspect.cleandoc(entry.__doc__ or "")
    assert doc, "has no docstring"
    if is_short(entry):
        return
    if inspect.isfunction(entry):
        assert documented(doc) == parameters(entry)
        if inspect.signature(entry).return_annotation != "None" and "._" not in entry.__module__:
            assert section(doc, "Returns") or section(doc, "Yields"), "has no Returns section"
        return
    if getattr(entry, "_is_protocol", False):
        return  # protocols have no code and are never instantiated
    if "__init__" in vars(entry) or "Parameters\n---" in doc:
        assert documented(doc) == parameters(entry)
    for name, member in vars(entry).items():
        if name.startswith("_"):
            continue
        plain = getattr(member, "__func__", member)
        if isinstance(member, property):
            assert member.__doc__, f"{name} has no docstring"
        elif inspect.isfunction(plain):
            assert plain.__doc__, f"{name} has no docstring"
            own = documented(inspect.cleandoc(plain.__doc__))
            inherited: set[str] = set()
            for base in entry.__mro__[1:]:
                if name in vars(base):
                    inherited |= documented(inspect.cleandoc(vars(base)[name].__doc__ or ""))
            # Hooks of callbacks and `call` of layers are documented in the base class.
            hook = re.match(r"(on|after)_|call$", name)
            assert own <= parameters(plain), f"{name} documents too many parameters"
            assert hook or parameters(plain) <= own | inherited, f"{name} documents too few"


def assert_an_example_is_shown(entry: Any) -> None:
    is_error = inspect.isclass(entry) and issubclass(entry, BaseException)
    if not (is_short(entry) or is_error):
        assert ">>> " in entry.__doc__, "has no example"


@pytest.mark.parametrize("rule", [assert_parameters_are_documented, assert_an_example_is_shown])
def test_docstrings(rule: Callable[[Any], None]) -> None:
    faults = []
    for name, entry in DEFINED.items():
        try:
            rule(entry)
        except AssertionError as error:
            faults.append(f"{name}: {error}")
    assert not faults, "\n".join(faults)


def test_public_callables_have_docstrings() -> None:
    found = public_names.find_names().items()
    without = [name for name, value in found if callable(value) and not value.__doc__]
    assert not without


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_modules_have_docstrings(path: Path) -> None:
    doc = ast.get_docstring(nodes(path)[0])
    assert doc
    assert doc[0].isupper() or doc.startswith("``")


# ------------------------------------------------------------ forbidden text

TEXTS = [
    path
    for pattern in ("*.*", "*/*.*", "*/*/*.*")
    for path in sorted(ROOT.glob(pattern))
    if path.suffix in {".py", ".md", ".cfg", ".toml", ".ipynb", ".yml", ".txt"}
    and not any(part.startswith((".", "_build")) for part in path.relative_to(ROOT).parts)
    and not path.is_relative_to(ROOT / "output")  # written by commands
    and path.parent.parent.name != "docs"  # written by `make docs`
]
# Absolute paths of a machine, issue numbers, and TODO comments.
NEVER = re.compile(
    r"(?<![\w.~])/(?:home|root|Users|work|opt)/\w|\bissue #?\d|\b(?:TODO|FIXME|XXX)\b(?!\|)"
)
PICTURE = re.compile(r'"image/png": "[^"]*"')  # base64 may match by chance


def test_no_forbidden_phrases() -> None:
    assert PACKAGE / "__init__.py" in TEXTS
    own = Path(__file__)
    found = {
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in TEXTS
        if path != own
        for match in NEVER.finditer(PICTURE.sub("", text(path)))
    }
    assert not found


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_single_source_of_uninitialized_memory(path: Path) -> None:
    """TINYNET_DEBUG_BUFFERS fills only arrays from `buffers.aligned` with NaN.

    So all uninitialized arrays must be allocated there.
    """
    found = re.findall(r"np\.empty(?:_like)?\(|np\.ndarray\(", text(path))
    allowed = {"buffers.py": 1, "sparse.py": 1}
    assert len(found) <= (100 if path.parent.name == "functional" else allowed.get(path.name, 0))


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_functools_cached_property_is_not_used(path: Path) -> None:
    """Before Python 3.12, a forked process may inherit its lock while another thread holds it."""
    found = re.search(r"functools\b.*\bcached_property", text(path))
    assert path.name == "cached_property.py" or not found


def test_install_commands_use_the_checkout() -> None:
    """On PyPI, `tinynet` is a different package, and this project has no release there yet."""
    hidden = [path for folder in (".ci", ".github") for path in sorted((ROOT / folder).glob("*"))]
    texts = [*TEXTS, ROOT / "Makefile", ROOT / "MANIFEST.in", *hidden]
    wrong = re.compile(r"pip3? install[^\n#;`]*?(?<![\w./-])(?<!in )tinynet(?:-numba)?(?![\w/.])")
    assert wrong.search("pip install -U 'tinynet[sklearn]'")
    found = {
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in texts
        if path != Path(__file__) and path.is_file()
        for match in wrong.finditer(text(path))
    }
    assert not found
    assert "[metadata]\nname = tinynet\n" not in (ROOT / "setup.cfg").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_errors_are_not_swallowed(path: Path) -> None:
    # Any error of a learner's answer is part of the result of the exercise.
    allowed = ["Exception"] if concept(path) == "exercises" else []
    source = text(path)
    for node in nodes(path):
        if isinstance(node, ast.ExceptHandler):
            caught = ast.unparse(node.type) if node.type else "everything"
            assert caught in allowed or caught not in ("everything", "Exception"), caught
    assert "allow_pickle=True" not in source
    for line in source.splitlines():
        _, noqa, reason = line.partition("# noqa")
        _, ignore, why = line.partition("# type: ignore")
        assert not noqa or re.match(r": [A-Z0-9, ]+  # \w", reason), line
        assert not ignore or why.startswith("["), line


# Errors of private modules are re-raised by public modules, which add `Received:`.
PUBLIC_FILES = [path for path in FILES if path.name[0] != "_" or path.name == "__init__.py"]


@pytest.mark.parametrize("path", PUBLIC_FILES, ids=[p.stem for p in PUBLIC_FILES])
def test_public_errors_end_with_received(path: Path) -> None:
    for node in nodes(path):
        if not (isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)):
            continue
        name = ast.unparse(node.exc.func)
        first = node.exc.args[0] if node.exc.args else None
        # Messages that are built elsewhere, and errors that are re-raised, are not checked.
        passed_on = node.cause is not None or not isinstance(first, ast.Constant | ast.JoinedStr)
        if name in ("ValueError", "TypeError", "IndexError") and not passed_on:
            assert "Received: " in ast.unparse(first), f"line {node.lineno}"


# Public names that begin with an underscore: methods of standard protocols, and `os._exit`.
MEANT_FOR_ALL = {"_asdict", "_exit", "_fields", "_replace", "_repr_html_", "_repr_png_"}


def private_names(path: Path) -> set[str]:
    """Return the private names that a file imports, or accesses on other objects than `self`."""
    found = set()
    for node in nodes(path):
        if isinstance(node, ast.ImportFrom):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.Attribute):
            own = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
            found.update(set() if own else {node.attr})
    return {name for name in found - MEANT_FOR_ALL if re.match("_[^_]", name)}


def test_only_internal_tests_use_private_names() -> None:
    paths = [path for path in (ROOT / "tests").rglob("*.py") if path.parent.name != "internals"]
    assert private_names(ROOT / "tests" / "internals" / "settings.py") == {
        *("_SECONDS", "_functions", "_settings")
    }
    assert not {path.stem: names for path in paths if (names := private_names(path))}


def test_code_lines_exclude_comments_and_docstrings() -> None:
    source = '"""Doc."""\n\n# why\nx = """a\n\nb"""\n\n\ndef f():\n    """Doc."""\n    return 1\n'
    assert size.code_lines(source) == 5


def test_imports_in_strings_exist() -> None:
    """Linters do not check programs in strings, and some of them run only in benchmarks."""
    written = re.compile(
        r"^[ >.]*from (tinynet\.(?:kernels|program|training|_core)\S*) import (.*)", re.M
    )
    found = 0
    for path in [*(ROOT / "benchmarks").rglob("*.py"), *(ROOT / "tests").rglob("*.py"), *FILES]:
        for node in nodes(path):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                for package, names in written.findall(node.value):
                    for given in re.split("[#;]", names)[0].split(","):
                        found, name = found + 1, given.split()[0]
                        module = importlib.import_module(package)
                        if not hasattr(module, name):
                            importlib.import_module(f"{package}.{name}")
    assert found > 20


def test_tests_named_in_documents_exist() -> None:
    tests = [*(ROOT / "tests").rglob("*.py")]
    functions = {n.name for path in tests for n in nodes(path) if isinstance(n, ast.FunctionDef)}
    known = functions | {path.stem for path in tests}
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md"):
        assert set(re.findall(r"`(test_\w+)", text(path))) <= known, path
