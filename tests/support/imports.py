"""The modules that a Python file imports."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path


@cache
def imports(path: Path) -> tuple[str, ...]:
    """Dotted names of a file's imports, wherever in it they stand. A file is read once.

    `from a import b` gives `a` and `a.b`, since `b` may be a module. Relative imports are left out:
    they never leave a package.
    """
    return tuple(_imports(path))


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
