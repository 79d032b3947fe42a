"""The notebooks of docs/notebooks run from top to bottom, and show what they are there for."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[2] / "docs/notebooks").glob("*.ipynb"))
#: What each shows at least once.
SHOWN = {
    "first-steps": ["data:image/svg+xml", "<caption>model"],
    "estimators": ["data:image/svg+xml"],
    "two-owners": ["<caption>policy defaults", "Who may ask", "<caption>receipt"],
}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_as_it_stands(path, tmp_path, monkeypatch):
    # The identities that one makes are of nobody else.
    monkeypatch.setenv("MC2_HOME", str(tmp_path / "mc2"))
    notebook = nbformat.read(path, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "it is kept without outputs"
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()
    pages = [
        output["data"]["text/html"]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "text/html" in output.get("data", {})
    ]
    assert any("NOT SECURE" in page and "<table>" in page for page in pages)
    for words in SHOWN[path.stem]:
        assert any(words in page for page in pages), words
