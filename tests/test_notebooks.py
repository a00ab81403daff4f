"""Every notebook of the course runs, and is committed with its outputs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests import HUNG
from tests.test_examples import write_little_mnist

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))
# Number of images that each notebook uses, so that all notebooks run within 90 s.
SLICE = 2_000
# Plots are few and small.
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
def test_notebook_shows_no_pixels_of_mnist(path: Path) -> None:
    text = "".join("".join(cell["source"]) for cell in cells(path))
    if "mnist.load_data()" not in text:
        return
    printed = "".join(
        "".join(output.get("text", ())) for cell in cells(path) for output in cell["outputs"]
    )
    # Each notebook prints its data source.
    assert "drawn digits" in printed
    assert "MNIST" not in printed


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbformat = pytest.importorskip("nbformat", reason="needs nbformat: pip install -e '.[test]'")
    nbclient = pytest.importorskip("nbclient", reason="needs nbclient: pip install -e '.[test]'")
    pytest.importorskip("ipykernel", reason="needs ipykernel: pip install -e '.[test]'")
    # Without network access: a small MNIST of synthetic digits.
    write_little_mnist(tmp_path, SLICE, 500)
    monkeypatch.setenv("TINYNET_DATA", str(tmp_path))
    monkeypatch.setenv("TINYNET_EXAMPLES_SLICE", str(SLICE))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(path, as_version=4)
    # A failing cell raises CellExecutionError with its output.
    options = {"kernel_name": "python3", "resources": {"metadata": {"path": str(tmp_path)}}}
    nbclient.NotebookClient(notebook, timeout=HUNG, **options).execute()
    ran = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
    assert ran == list(range(1, len(ran) + 1))
