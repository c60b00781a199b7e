"""Pages of notebooks: run when the site is built, so that what they show is what they give.

A notebook is kept without outputs. It runs in an empty folder, with the commands of this Python's
environment on the path; a cell that fails ends the build.
"""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nbformat
import plotly.io
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from nbclient import NotebookClient

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
LONGEST = 900
"""Seconds that one cell may take."""
_PLOTLY = "application/vnd.plotly.v1+json"
_drawn: dict[str, str] = {}
"""Mark of a figure or table on a page -> its HTML, which is kept from the Markdown parser."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for each notebook of this folder."""
    for path in sorted(FOLDER.glob("*.ipynb")):
        place = f"{path.relative_to(ROOT).as_posix()}.md"
        files.append(File.generated(config, place, content="\n".join(_page(path))))
    return files


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put figures and tables where their marks are."""
    for mark, drawn in _drawn.items():
        html = html.replace(mark, drawn)
    return html


def _page(path: Path) -> Iterator[str]:
    """The lines of the page of a notebook, which is run for it."""
    notebook = nbformat.read(path, as_version=4)
    commands = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    with TemporaryDirectory() as folder:
        client = NotebookClient(
            notebook,
            timeout=LONGEST,
            coalesce_streams=True,
            kernel_name="python3",
            resources={"metadata": {"path": folder}},
        )
        client.execute(env={**os.environ, "PATH": commands})
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            yield f"{cell.source}\n"
        else:
            yield f"~~~~python\n{cell.source}\n~~~~\n"
            yield from map(_shown, cell.outputs)


def _shown(output: Any) -> str:
    """An output of a cell as Markdown: a figure, a table or text; nothing of warnings."""
    if output.output_type == "stream":
        return _text(output.text) if output.name == "stdout" else ""
    if _PLOTLY in output.data:
        figure = plotly.io.from_json(json.dumps(output.data[_PLOTLY]))
        return _mark(figure.to_html(full_html=False, config={"displayModeBar": False}))
    if "text/html" in output.data:  # a table of pandas', which then looks as the site's own do
        return _mark(output.data["text/html"].replace('border="1" class="dataframe"', ""))
    return _text(output.data["text/plain"])


def _text(shown: str) -> str:
    return f"~~~~ {{.text .output}}\n{shown}\n~~~~\n"


def _mark(html: str) -> str:
    mark = f'<div class="output-{len(_drawn)}"></div>'
    _drawn[mark] = html
    return f"{mark}\n"
