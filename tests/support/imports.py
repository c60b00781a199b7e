"""The modules that a Python file imports."""

import ast
from collections.abc import Iterator
from pathlib import Path


def imports(path: Path) -> Iterator[str]:
    """Dotted names of a file's imports, wherever in it they stand.

    `from a import b` gives `a` and `a.b`, since `b` may be a module. Relative imports are left out:
    they never leave a package.
    """
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
