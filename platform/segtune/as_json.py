"""What commands print with `--json`: the keys are in `platform/README.md`, and stay."""

import argparse
import dataclasses
import json
import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any


def json_argument(parser: argparse.ArgumentParser) -> None:
    """JSON in place of text."""
    parser.add_argument(
        "--json", action="store_true", help="print JSON in place of text, and nothing else"
    )


def print_json(value: Any) -> None:
    """Print a value of dataclasses, named tuples, dates, mappings and sequences.

    A number that is none, or infinite, is null: JSON has neither.
    """
    print(json.dumps(_plain(value), indent=2))


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if hasattr(value, "_asdict"):
        return _plain(value._asdict())
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, datetime):
        return value.isoformat()
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
