"""Run the notebooks and keep their outputs, which readers see without running them.

.venv/bin/python -m scripts.run_notebooks    # all of notebooks/
"""

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

FOLDER = Path(__file__).parents[1] / "notebooks"
CELL_TIMEOUT_S = 900
"""For a busy machine: both notebooks together compute for 40 s."""


def main() -> None:
    """Replace the outputs of each notebook by those of today's code."""
    for path in sorted(FOLDER.glob("*.ipynb")):
        sys.stdout.write(f"{path.name}\n")
        nbformat.write(executed(path), path)  # type: ignore[no-untyped-call]


def read_notebook(path: Path) -> NotebookNode:
    """A notebook with its kept outputs."""
    notebook: NotebookNode = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    return notebook


def executed(path: Path) -> NotebookNode:
    """A notebook with the outputs of all cells, which are run from the first on.

    Raises:
        CellExecutionError: a cell raised; the message has the cell and the traceback.
    """
    notebook = read_notebook(path)
    client = NotebookClient(
        notebook,
        timeout=CELL_TIMEOUT_S,
        kernel_name="python3",
        record_timing=False,
        resources={"metadata": {"path": str(path.parent)}},
    )
    client.execute()
    del notebook.metadata["language_info"]["version"]  # differs between machines
    for cell in notebook.cells:
        if cell.cell_type == "code":  # warnings have paths of this machine
            cell.outputs = [out for out in cell.outputs if out.get("name") != "stderr"]
    return notebook


if __name__ == "__main__":
    main()
