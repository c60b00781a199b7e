"""Numbers and settings as words."""

from segtune.report.evidence.estimate import Estimate
from segtune.report.page.text import (
    changes_text,
    dotted,
    interval,
    listing,
    number,
    p_value,
    range_text,
)


def test_words() -> None:
    assert number(-0.0123) == "\u22120.012"
    assert interval(Estimate(0.5, None, None, 1)) == "n=1, no interval"
    assert p_value(0.0004) == "<0.001"
    assert changes_text({"method.lr": 1e-4, "method.name": "x", "on": True}) == (
        "method.lr=0.0001, method.name=x, on=true"
    )
    assert [listing(x) for x in ([], ["a"], ["a", "b", "c"])] == ["", "a", "a, b and c"]
    assert range_text([2, 3], "seed") == "n=2 to 3 seeds"
    assert range_text([1, 1], "seed") == "n=1 seed"


def test_dotted_reads_nested_and_flat() -> None:
    assert dotted({"method": {"name": "lora", "rank": None}}, "method") == "lora"
    assert dotted({"method": {"name": "lora", "rank": None}}, "method.rank") is None
    assert dotted({"method.rank": 8}, "method.rank") == 8
