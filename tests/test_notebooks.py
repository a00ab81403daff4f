"""Every notebook of the course runs, and is committed with its outputs."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import HUNG
from tests.test_examples import write_small_mnist
from tests.test_packaging import DIST, build

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))
# Number of images that each notebook uses, so that all notebooks run within 90 s.
SLICE = 2_000
# Upper bound on the size of a notebook, most of which is plots.
MOST_BYTES = 250_000


def cells(path: Path) -> list[dict[str, Any]]:
    notebook = json.loads(path.read_text(encoding="utf-8"))
    assert (notebook["nbformat"], notebook["metadata"]["kernelspec"]["name"]) == (4, "python3")
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def test_there_are_notebooks() -> None:
    assert "03_backpropagation" in [path.stem for path in NOTEBOOKS]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_contains_its_outputs(path: Path) -> None:
    assert path.stat().st_size < MOST_BYTES
    found = cells(path)
    # The notebook ran once, from the first cell to the last, in a new process.
    assert [cell["execution_count"] for cell in found] == list(range(1, len(found) + 1))
    outputs = [output for cell in found for output in cell["outputs"]]
    assert outputs
    for output in outputs:
        assert output["output_type"] != "error"
        assert output.get("name") != "stderr", output["text"]
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"(?<![\w.])/(home|Users|root|tmp|opt|work|usr|var)/|[A-Z]:\\\\", text)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_cites_its_data(path: Path) -> None:
    outputs = [output for cell in cells(path) for output in cell["outputs"]]
    printed = "".join("".join(output.get("text", ())) for output in outputs)
    text = path.read_text(encoding="utf-8")
    if "Data: MNIST" in printed:
        assert "Y. LeCun, C. Cortes, C. Burges; CC BY-SA 3.0" in text
    elif "mnist.load_data()" in text:
        assert "synthetic digits" in printed


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_ends_with_changes_to_try(path: Path) -> None:
    last = json.loads(path.read_text(encoding="utf-8"))["cells"][-1]
    assert "**Try it.**" in "".join(last["source"])


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_plots_have_alternative_texts(path: Path) -> None:
    for cell in cells(path):
        if any("image/png" in output.get("data", ()) for output in cell["outputs"]):
            assert cell["metadata"]["mystnb"]["image"]["alt"]


@pytest.fixture
def execute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Execute a notebook with few synthetic digits instead of MNIST, without network access."""
    nbformat = pytest.importorskip("nbformat", reason="needs nbformat: pip install -e '.[test]'")
    nbclient = pytest.importorskip("nbclient", reason="needs nbclient: pip install -e '.[test]'")
    pytest.importorskip("ipykernel", reason="needs ipykernel: pip install -e '.[test]'")
    write_small_mnist(tmp_path, SLICE, 500)
    monkeypatch.setenv("TINYNET_DATA", str(tmp_path))
    monkeypatch.setenv("TINYNET_EXAMPLES_SLICE", str(SLICE))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))

    def run(path: Path, kernel: str = "python3") -> None:
        notebook = nbformat.read(path, as_version=4)
        # A failing cell raises CellExecutionError with its output.
        options = {"kernel_name": kernel, "resources": {"metadata": {"path": str(tmp_path)}}}
        nbclient.NotebookClient(notebook, timeout=HUNG, **options).execute()
        ran = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
        assert ran == list(range(1, len(ran) + 1))

    return run


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path: Path, execute: Callable[..., None]) -> None:
    execute(path)


@pytest.mark.slow
def test_main_notebook_installs_what_is_missing(
    execute: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In an environment that contains only ipykernel, the notebook installs tinynet itself."""
    clone, wheels = tmp_path / "clone", tmp_path / "wheels"
    shutil.copytree(ROOT, clone, ignore=DIST["not_distributed"])
    wheels.mkdir()
    monkeypatch.setenv("TINYNET_SOURCE", str(build("wheel", clone, wheels)))
    monkeypatch.delenv("PYTHONPATH")
    venv.create(tmp_path / "venv", with_pip=True)
    command = [str(tmp_path / "venv" / "bin" / "python"), "-m"]
    if subprocess.run([*command, "pip", "install", "--quiet", "ipykernel"]).returncode:
        pytest.skip("needs a package index")
    kernel = ["ipykernel", "install", "--prefix", str(tmp_path), "--name", "empty"]
    subprocess.run([*command, *kernel], check=True, capture_output=True)
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "share" / "jupyter"))
    execute(NOTEBOOKS[0], "empty")
    subprocess.run([*command, "pip", "show", "tinynet-numba"], check=True)
