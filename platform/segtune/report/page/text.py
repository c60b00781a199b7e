"""Numbers and settings as words."""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from segtune.report.evidence.estimate import Estimate

DASH = "-"
MINUS = "\u2212"
MANY_ARMS = 6
"""From more arms on sentences count them, and the table names them."""
LONGEST_NAME = 30
"""Characters of a name in a figure, and in a table, which has the whole in a hover."""
MISSING = object()
"""Stands for a setting that is not there; a setting that is there may be None."""


def number(value: float | None, digits: int = 3, *, sign: bool = False) -> str:
    """A number with a typographic minus sign; a dash for None."""
    if value is None:
        return DASH
    shown = f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"
    return shown.replace("-", MINUS)


def interval(estimate: Estimate, digits: int = 3, *, sign: bool = False) -> str:
    """`[low, high]`, or a note that one value alone has no interval."""
    if estimate.low is None or estimate.high is None:
        return "n=1, no interval"
    low = number(estimate.low, digits, sign=sign)
    return f"[{low}, {number(estimate.high, digits, sign=sign)}]"


def p_value(p: float | None) -> str:
    """Three decimals; `<0.001` for what is smaller, a dash for None."""
    if p is None:
        return DASH
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def p_text(p: float) -> str:
    """`p=0.012`, `p<0.001`."""
    shown = p_value(p)
    return f"p{shown}" if shown.startswith("<") else f"p={shown}"


def count(n: int, noun: str, plural: str = "") -> str:
    """`1 seed`, `2 seeds`."""
    return f"{n} {noun}" if n == 1 else f"{n} {plural or noun + 's'}"


def setting(value: Any) -> str:
    """A configured value as text, floats with four significant digits."""
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value)


def changes_text(changes: Mapping[str, Any]) -> str:
    """`method=galore, method.rank=4`."""
    return ", ".join(f"{field}={setting(value)}" for field, value in changes.items())


def range_text(counts: Collection[int], noun: str) -> str:
    """`n=3 seeds`, or `n=2 to 3 seeds` where arms differ."""
    low, high = min(counts), max(counts)
    return f"n={count(high, noun)}" if low == high else f"n={low} to {high} {noun}s"


def listing(items: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, [", ".join(items[:-1]), items[-1] if items else ""]))


def dotted(config: Mapping[str, Any], field: str) -> Any:
    """The setting at a dotted field, `MISSING` where there is none.

    A choice by name, such as `method`, gives its name.
    """
    found: Any = config
    # `study.json` keeps the baseline by dotted fields, a trial keeps its configuration nested.
    for part in [field] if field in config else field.split("."):
        if not isinstance(found, Mapping) or part not in found:
            return MISSING
        found = found[part]
    return found.get("name", MISSING) if isinstance(found, Mapping) else found


def some(names: Sequence[str], noun: str, plural: str = "") -> str:
    """Names as a listing; of more than `MANY_ARMS` the first of them and how many there are more:
    `a, b, c, d, e and 7 further arms`."""
    if len(names) <= MANY_ARMS:
        return listing(list(names))
    more = len(names) - (MANY_ARMS - 1)
    return listing([*names[: MANY_ARMS - 1], count(more, f"further {noun}", plural)])


def folded(text: str, longest: int = LONGEST_NAME) -> str:
    """A long text without its middle: its beginning and its end tell names apart."""
    if len(text) <= longest:
        return text
    head = (longest - 1) * 2 // 3
    return f"{text[:head]}\u2026{text[head + 1 - longest :]}"


def percent(share: float) -> str:
    """`73 %`."""
    return f"{100 * share:.0f} %"


def parameters(n: float) -> str:
    """A number of millions of parameters: `0.67 M`, `303 M`; small ones in thousands: `4.1 k`."""
    value, unit = (n, "M") if n >= 0.1 else (1000 * n, "k")
    return f"{value:.{0 if value >= 100 else 1 if value >= 10 else 2}f} {unit}"


def times(ratio: Estimate | None) -> tuple[str, str]:
    """A ratio to the baseline's, `0.83`, and its interval; the latter empty where it is narrower
    than the last digit, or where there is none."""
    if ratio is None:
        return DASH, ""
    digits = 2 if ratio.mean < 10 else 1
    shown = f"{number(ratio.mean, digits)}"
    if ratio.low is None or shown == number(ratio.low, digits) == number(ratio.high, digits):
        return shown, ""
    return shown, interval(ratio, digits)
