"""What the site takes from the repository: READMEs where they lie, and all that they link to.

MkDocs calls `on_files` and `on_page_markdown`. Nothing is copied: a README is a page at its own
path, so that its links hold here as they do on GitHub. What it links to and is no Markdown becomes
a page that shows it (code, folders), or lies beside the pages as it is (pictures, figures as JSON).
"""

import argparse
import os
import re
from functools import partial
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

from segtune.cli import COMMANDS, EXIT_CODES

ROOT = Path(__file__).parents[2]
START = "README.md"
AS_THEY_ARE = (".json", ".png")
"""Endings of linked files that a browser shows by itself."""
NOTEBOOK = ".ipynb"
"""Ending of files whose pages `notebook.py` makes."""
COMMAND_LINE = "api/commands.md"
_LINK = re.compile(r"(\]\()(?!\w+:|#)([^)#\s]+)")
_NOT_SEARCHED = "---\nsearch:\n  exclude: true\n---\n"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the page of the command line, the READMEs and what they link to."""
    files.append(File.generated(config, COMMAND_LINE, content=_command_line()))
    for path in _reached(START):
        if not path.endswith(NOTEBOOK):
            files.append(_file(path, config))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point links to code and folders to the pages that show them."""
    if page.file.generated_by is None or page.file.abs_src_path is None:
        return markdown

    def shown(found: re.Match[str]) -> str:
        path = _target(page.file.src_uri, found[2])
        return found[0] + (".md" if _has_page(path) else "")

    return _LINK.sub(shown, markdown)


def _reached(start: str) -> list[str]:
    """Paths, from the root, of the files and folders that Markdown files link to, one by one."""
    reached = [start]
    for path in reached:
        if path.endswith(".md"):
            text = (ROOT / path).read_text()
            linked = (_target(path, found[2]) for found in _LINK.finditer(text))
            reached += dict.fromkeys(p for p in linked if p not in reached)
    return reached


def _target(page: str, link: str) -> str:
    """The path from the root that a link on a page means.

    Raises:
        PluginError: there is no such file.
    """
    path = os.path.normpath(Path(page).parent / link)
    if not (ROOT / path).exists():
        raise PluginError(f"{page} links to {link}, which is not there")
    return path


def _has_page(path: str) -> bool:
    """Whether a path is shown by a page that is made for it."""
    return not path.endswith((".md", *AS_THEY_ARE))


def _file(path: str, config: MkDocsConfig) -> File:
    there = ROOT / path
    if not _has_page(path):
        return File.generated(config, path, abs_src_path=str(there))
    heading = f"{_NOT_SEARCHED}# `{path}`\n\n"
    if there.is_dir():
        names = sorted(p.name + "/" * p.is_dir() for p in there.iterdir() if p.name[0] not in "._")
        text = heading + "".join(f"- `{name}`\n" for name in names)
    else:
        language = "python" if path.endswith(".py") else "text"
        text = f"{heading}~~~~{language}\n{there.read_text()}\n~~~~\n"
    return File.generated(config, f"{path}.md", content=text, inclusion=InclusionLevel.NOT_IN_NAV)


class _Parser(argparse.ArgumentParser):
    """A parser that knows the parsers of its actions, of `segtune data` say."""

    def __init__(self, **options: Any) -> None:
        width = partial(argparse.HelpFormatter, width=88, max_help_position=28)
        super().__init__(formatter_class=width, **options)
        self.actions: dict[str, argparse.ArgumentParser] = {}

    def add_subparsers(self, **options: Any) -> Any:
        """As its own, whose table of parsers is kept."""
        made = super().add_subparsers(**options)
        self.actions = made.choices
        return made


def _command_line() -> str:
    """Every command's `--help`, from the arguments that the command line itself is made of."""
    lines = ["# Command line", "", "What `segtune COMMAND --help` says.", ""]
    for name, command in COMMANDS.items():
        parser = _Parser(prog=f"segtune {name}", description=command.HELP)
        command.arguments(parser)
        for level, one in [("##", parser), *(("###", p) for p in parser.actions.values())]:
            lines += [f"{level} `{one.prog}`", "", "~~~~text", one.format_help(), "~~~~", ""]
    lines += ["## Exit codes", "", "| code | |", "|---|---|"]
    lines += [f"| {code} | {meaning} |" for code, meaning in EXIT_CODES.items()]
    return "\n".join(lines) + "\n"
