"""The notebooks in examples/ are stored without outputs and run from top to bottom on drawn images."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))


def code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def printed(notebook: nbformat.NotebookNode) -> str:
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    return "".join(output.text for output in outputs if output.get("name") == "stdout")


def pictures(notebook: nbformat.NotebookNode) -> int:
    return sum("image/png" in output.get("data", {}) for cell in code_cells(notebook) for output in cell.outputs)


@pytest.fixture
def run(tmp_path):
    """`run(name)`: a notebook after it ran in a copy of the folders of a clone."""
    (tmp_path / "hub").symlink_to(ROOT / "hub")
    (tmp_path / "examples").mkdir()

    def execute(name: str) -> nbformat.NotebookNode:
        notebook = nbformat.read(ROOT / "examples" / f"{name}.ipynb", as_version=4)
        resources = {"metadata": {"path": str(tmp_path / "examples")}}
        return NotebookClient(notebook, timeout=300, resources=resources).execute()

    return execute


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_notebooks_are_valid_and_stored_without_outputs(file):
    notebook = nbformat.read(file, as_version=4)
    nbformat.validate(notebook)
    assert notebook.cells[0].source.startswith("# ")
    assert all(not cell.outputs and cell.execution_count is None for cell in code_cells(notebook))


@pytest.mark.slow
def test_search_your_photos_finds_the_drawn_category_first(run):
    notebook = run("search_your_photos")
    lines = printed(notebook).splitlines()
    assert lines[0] == "20 photos, 20 new"
    assert "mug" in lines[1]
    assert pictures(notebook) == 3


@pytest.mark.slow
def test_train_on_your_categories_scores_above_chance_on_unseen_ones(run):
    notebook = run("train_on_your_categories")
    words = next(line for line in printed(notebook).splitlines() if line.startswith("mAP@all")).split()
    score, chance = float(words[1].rstrip(",")), float(words[3])
    assert 0 < chance < score <= 1
    assert pictures(notebook) == 1
