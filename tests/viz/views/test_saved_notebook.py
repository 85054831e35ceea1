"""What a saved notebook keeps of a view: run by a kernel, and read without one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat", reason="needs nbformat, nbclient and ipykernel")
nbclient = pytest.importorskip("nbclient", reason="needs nbformat, nbclient and ipykernel")
pytest.importorskip("ipykernel", reason="needs nbformat, nbclient and ipykernel")
WIDGET = "application/vnd.jupyter.widget-view+json"
CODE = """
import mechscope.viz as viz
view = viz.attention([[[1.0, 0.0], [0.25, 0.75]]] * 2, ["<bos>", " </script>"])
view
"""


@pytest.mark.slow
# Jupyter's client warns about its own event loop and about ports that the system chose.
@pytest.mark.filterwarnings("ignore")
def test_the_picture_and_the_widget_are_outputs_of_their_own(tmp_path: Path) -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CODE)])
    # A kernel of this interpreter, whatever kernels are installed, that finds the same mechscope.
    source = str(Path(__file__).parents[3] / "src")
    client = nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}})
    client.execute(env={**os.environ, "PYTHONPATH": source})
    nbformat.write(notebook, tmp_path / "saved.ipynb")
    (cell,) = nbformat.read(tmp_path / "saved.ipynb", as_version=4).cells
    picture, *widgets = cell.outputs
    assert picture.data["text/plain"] == "attention of 2 heads over 2 tokens"
    html = picture.data["text/html"]
    assert "0.75" in html  # as text, before any script runs
    assert "␣&lt;/script&gt;" in html
    assert html.count("</script>") == 2  # the data and the module; not the token
    assert WIDGET not in picture.data
    (widget,) = widgets
    assert WIDGET in widget.data
    assert "run this cell again" in widget.data["text/plain"]
